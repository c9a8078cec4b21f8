"""Numbers as the report prints them."""

from collections.abc import Sequence
from typing import Any

UNKNOWN = "–"


def percent(value: float | None) -> str:
    """A percentage with one decimal, without the sign."""
    return UNKNOWN if value is None else f"{value:.1f}"


def amount(value: float | None) -> str:
    """MACs or params with three digits and K, M, G or T."""
    if value is None:
        return UNKNOWN
    for unit, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "K")):
        if value >= 0.9995 * unit:  # what rounds to 1000 of a unit is 1 of the next
            digits = 2 if value < 9.995 * unit else 1 if value < 99.95 * unit else 0
            return f"{value / unit:.{digits}f} {letter}"
    return f"{value:g}"


def limit(cost: str, value: float) -> str:
    """A budget's limit: milliseconds of latency, or an amount."""
    return f"{1000 * value:g} ms" if cost == "latency" else amount(value)


def duration(seconds: float | None) -> str:
    """A duration in its two largest units."""
    if seconds is None:
        return UNKNOWN
    if seconds < 59.5:
        return f"{seconds:.0f} s" if seconds >= 9.95 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def seed_range(values: Sequence[float | None] | None) -> str | None:
    """The range of a metric over the seeds, if there is more than one."""
    known = [value for value in values or () if value is not None]
    return f"{min(known):.1f} to {max(known):.1f}" if len(known) > 1 else None


def interval(ends: Sequence[float] | None) -> str:
    """`` [58.0, 62.0]``; empty where it is not known."""
    return f" [{ends[0]:.1f}, {ends[1]:.1f}]" if ends else ""


def count(number: int, noun: str) -> str:
    """``1 seed``, ``3 seeds``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def input_shape(values: dict[str, Any]) -> str:
    """``16 × 32 × 22``: frames, height, width."""
    frames, size = values.get("frames"), values.get("size")
    return f"{frames} × {size[0]} × {size[1]}" if frames and size else UNKNOWN


def text_table(study: dict[str, Any]) -> list[str]:
    """The study of ``results.json`` as aligned lines, its notes below."""
    lines = [study["columns"], *study["rows"]]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    padded = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return [*padded, "", *study["notes"]]
