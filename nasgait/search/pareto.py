"""The Pareto front: what no other architecture dominates."""

import json
from collections.abc import Iterable, Sequence
from itertools import compress
from pathlib import Path
from typing import TypeVar

from nasgait.core.errors import DataError
from nasgait.core.files import parse_json, write_atomically
from nasgait.search.ledger import LedgerEntry

Vector = TypeVar("Vector", tuple[int, ...], tuple[float, ...])


def minima(vectors: Iterable[Vector]) -> list[Vector]:
    """The distinct non-dominated vectors, all objectives minimised, sorted.

    Whole numbers are compared exactly up to 2^53, as floats are.
    """
    from moocore import is_nondominated  # here, as training does without it

    distinct = sorted(set(vectors))
    if len(distinct) < 2:
        return distinct  # also where the vectors have no values
    return list(compress(distinct, is_nondominated(distinct)))


def pareto(
    entries: Sequence[LedgerEntry], up: Sequence[str], down: Sequence[str]
) -> list[LedgerEntry]:
    """The non-dominated entries, cheapest first.

    An entry is dominated when another is at least as good in every value (``up``:
    larger is better, ``down``: smaller is better) and better in one.
    """

    def vector(entry: LedgerEntry) -> tuple[float, ...]:
        return (*(entry.values[n] for n in down), *(-entry.values[n] for n in up))

    front = set(minima(map(vector, entries)))
    chosen = [entry for entry in entries if vector(entry) in front]
    return sorted(chosen, key=lambda entry: (vector(entry), entry.choices))


def write_pareto(
    path: str | Path, entries: Sequence[LedgerEntry], up: Sequence[str], down: Sequence[str]
) -> None:
    """Write the front of ``entries`` as JSON ``{"up", "down", "front": [ledger lines]}``.

    Without the seconds, so that a resumed search and an uninterrupted one write
    the same file.  Replaces the file in one step.
    """
    lines = [entry.line() for entry in pareto(entries, up, down)]
    front = [{name: value for name, value in line.items() if name != "seconds"} for line in lines]
    document = {"up": list(up), "down": list(down), "front": front}
    write_atomically(path, json.dumps(document, indent=2) + "\n")


def read_pareto(path: str | Path) -> dict:
    """Read what :func:`write_pareto` wrote; ``DataError`` for anything else."""
    try:
        document = parse_json(Path(path).read_text(encoding="utf-8"))
        return {
            "up": [str(name) for name in document["up"]],
            "down": [str(name) for name in document["down"]],
            "front": [LedgerEntry.parse(line) for line in document["front"]],
        }
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path}: not a Pareto front written by the search ({error})") from error
