"""Numbers in print, and what the report says about how they were measured."""

from collections.abc import Sequence
from typing import Any

from nasgait.report.rundir import Network, RunDir

NONE = "–"
RATE_NAMES = {"map": "mAP", "rank1": "rank-1", "rank5": "rank-5"}
COST_NAMES = {"macs": "MACs", "params": "params", "latency": "latency"}
METRICS = {"euc": "Euclidean", "cos": "cosine"}


def percent(value: float | None) -> str:
    """A rate with one decimal, without the sign."""
    return NONE if value is None else f"{value:.1f}"


def amount(value: float | None) -> str:
    """MACs or params with three digits and K, M, G or T."""
    if value is None:
        return NONE
    for unit, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "K")):
        if value >= 0.9995 * unit:  # what rounds to 1000 of a unit is 1 of the next
            digits = 2 if value < 9.995 * unit else 1 if value < 99.95 * unit else 0
            return f"{value / unit:.{digits}f} {letter}"
    return f"{value:g}"


def duration(seconds: float | None) -> str:
    """A time in its two largest units."""
    if seconds is None:
        return NONE
    if seconds < 59.5:
        return f"{seconds:.0f} s" if seconds >= 9.95 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def spread(values: Sequence[float | None] | None) -> str | None:
    """The range of the seeds' rates, for more than one seed."""
    known = [value for value in values or () if value is not None]
    return f"{min(known):.1f} to {max(known):.1f}" if len(known) > 1 else None


def count(number: int, thing: str) -> str:
    """``1 seed``, ``3 seeds``."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def shape(values: dict) -> str:
    """``16 × 32 × 22``: frames, height, width; a dash where unknown."""
    frames, size = values.get("frames"), values.get("size")
    return f"{frames} × {size[0]} × {size[1]}" if frames and size else NONE


def costed(networks: Sequence[Network]) -> str:
    """At which input MACs are counted."""
    shapes = {shape(network.values) for network in networks} - {NONE}
    if len(shapes) != 1:
        return "MACs are those of one sequence at the network's own input size"
    return f"MACs are those of one sequence of {shapes.pop()} (frames × height × width)"


def judged(run: RunDir) -> str:
    """The protocol of the final networks: probes, gallery, distance, frames, seeds."""
    finals = [final for network in run.networks for final in network.finals]
    settings = next((f["evaluation"] for f in finals if f.get("evaluation")), None)
    settings = settings or run.setting("evaluation") or {}
    protocol = settings.get("protocol") or run.results.get("protocol")
    if protocol == "leave-one-out":
        gallery = settings.get("gallery_ids")
        place = f"its gallery of {gallery} identities" if gallery else "the test identities"
        how = f"leave-one-out: each test sequence is a probe against all others of {place}"
    elif protocol == "grew" and settings.get("truth"):
        how = "GREW: each unlabelled probe against the whole gallery, scored by the labels given"
    elif protocol == "grew":
        how = "GREW without its hidden labels: gallery 01 against probe 02 of each test identity"
    else:
        how = f"protocol {protocol or 'not recorded'}"
    distance = _distance(settings, finals)
    seeds = sorted({final["seed"] for final in finals if "seed" in final})
    over = f"; seeds {', '.join(map(str, seeds))}" if len(seeds) > 1 else ""
    one = f"; one seed ({seeds[0]})" if len(seeds) == 1 else ""
    return f"{how}; {distance}, mean over parts; {_frames(settings)}{over or one}"


def scored(run: RunDir) -> str:
    """How the search scored an architecture."""
    search = run.setting("search") or {}
    sequences = search.get("max_sequences")
    calibration = (search.get("calibration") or {}).get("sequences")
    parts = [
        f"leave-one-out {RATE_NAMES[objective(run)]} on search-val identities, which are no test "
        "identities, with the supernet's shared weights"
    ]
    if calibration:
        parts.append(f"BatchNorm recalibrated on {calibration} training sequences")
    if sequences:
        parts.append(f"at most {sequences} sequences")
    parts.append(_frames(search))
    return "; ".join(parts)


def ended_early(run: RunDir) -> str:
    """A sentence for a finished search that scored fewer architectures than asked for."""
    population, epochs = (run.setting("search", key) for key in ("population", "max_epochs"))
    if run.front is None or not population or len(run.ledger) >= population * (1 + (epochs or 0)):
        return ""
    return (
        f" The search ended before the {population * (1 + (epochs or 0))} scores asked for: "
        "nothing else is within the budget."
    )


def objective(run: RunDir) -> str:
    """The rate that names the best of the search, ``map`` or ``rank1``."""
    named = run.setting("search", "objectives") or ["map"]
    return next((name for name in named if name in ("map", "rank1")), "map")


def objectives(run: RunDir) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The rates and the costs that the front is over; all costs of the table for a single rate."""
    named = run.setting("search", "objectives") or ["map"]
    rates = tuple(name for name in named if name not in COST_NAMES)
    costs = tuple(name for name in named if name in COST_NAMES)
    return rates, costs if len(named) > 1 else ("macs", "params")


def goals(run: RunDir) -> str:
    """What the front is over, in words."""
    rates, costs = objectives(run)
    *most, last = [*(RATE_NAMES[name] for name in rates), *(COST_NAMES[name] for name in costs)]
    return f"{', '.join(most)} and {last}"


def budget(run: RunDir) -> str:
    """The limits of the search in words."""
    limits = limits_of(run)
    if not limits:
        return "none"
    return ", ".join(
        f"{COST_NAMES.get(name, name)} ≤ {_quantity(name, limit)}" for name, limit in limits.items()
    )


def limits_of(run: RunDir) -> dict[str, float]:
    """The budget's limits by metric; from the configuration when nothing is compared yet."""
    limits = run.results.get("budget")
    if limits is None:
        limits = {name: run.setting("search", f"max_{name}") for name in COST_NAMES}
    return {name: limit for name, limit in limits.items() if limit is not None}


def text_table(study: dict[str, Any]) -> list[str]:
    """The study of ``results.json`` as aligned lines, its notes below."""
    lines = [study["columns"], *study["rows"]]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    padded = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return [*padded, "", *study["notes"]]


def _distance(settings: dict, finals: Sequence[dict[str, Any]]) -> str:
    """The distance of the judgement; all of them where networks are judged by different ones."""
    found = {final["evaluation"].get("metric") for final in finals if final.get("evaluation")}
    found = (found or {settings.get("metric")}) - {None}
    if not found:
        return "distance not recorded"
    kinds = " or ".join(sorted(METRICS.get(metric, metric) for metric in found))
    return f"{kinds} distance" + (", as each network is set" if len(found) > 1 else "")


def _quantity(name: str, limit: float) -> str:
    return f"{1000 * limit:g} ms" if name == "latency" else amount(limit)


def _frames(settings: dict) -> str:
    limit = settings.get("max_frames")
    return f"at most {limit} frames of each sequence" if limit else "all frames of each sequence"
