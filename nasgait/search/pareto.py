"""Non-dominated points: what nothing else beats in every respect."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from nasgait.core.errors import DataError
from nasgait.core.files import write_atomically
from nasgait.search.ledger import Entry

Vector = TypeVar("Vector", tuple[int, ...], tuple[float, ...])


def minima(vectors: Iterable[Vector]) -> list[Vector]:
    """The distinct vectors that no other one equals or undercuts everywhere, sorted."""
    kept: list[Vector] = []
    for vector in sorted(set(vectors)):
        # Sorted, so only earlier ones can dominate, and most often a recent one does.
        if not any(_covers(other, vector) for other in reversed(kept)):
            kept.append(vector)
    return kept


def _covers(a: Sequence[float], b: Sequence[float]) -> bool:
    return all(x <= y for x, y in zip(a, b, strict=True))


def pareto(entries: Sequence[Entry], up: Sequence[str], down: Sequence[str]) -> list[Entry]:
    """The entries that no other one beats, cheapest first.

    An entry is beaten when another is at least as good in every value (``up``:
    larger is better, ``down``: smaller is better) and better in one.
    """

    def vector(entry: Entry) -> tuple[float, ...]:
        return (*(entry.values[n] for n in down), *(-entry.values[n] for n in up))

    front = set(minima(map(vector, entries)))
    chosen = [entry for entry in entries if vector(entry) in front]
    return sorted(chosen, key=lambda entry: (vector(entry), entry.choices))


def write_pareto(
    path: str | Path, entries: Sequence[Entry], up: Sequence[str], down: Sequence[str]
) -> None:
    """Write the front of ``entries`` as JSON ``{"up", "down", "front": [ledger lines]}``.

    Without the seconds, so that an interrupted and an undisturbed search write
    the same file.  Replaces the file in one step.
    """
    lines = [entry.line() for entry in pareto(entries, up, down)]
    front = [{name: value for name, value in line.items() if name != "seconds"} for line in lines]
    document = {"up": list(up), "down": list(down), "front": front}
    write_atomically(path, json.dumps(document, indent=2) + "\n")


def read_pareto(path: str | Path) -> dict:
    """Read what :func:`write_pareto` wrote; ``DataError`` for anything else."""
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
        return {
            "up": [str(name) for name in document["up"]],
            "down": [str(name) for name in document["down"]],
            "front": [Entry.parse(line) for line in document["front"]],
        }
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path}: not a Pareto front written by the search ({error})") from error
