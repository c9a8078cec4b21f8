"""A description of each generation of a search, for people: a JSON line each."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from nasgait.core.errors import DataError
from nasgait.core.files import parse_json, write_atomically
from nasgait.search.evolution import Evolution
from nasgait.search.hypervolume import RelativeHypervolume
from nasgait.search.ledger import LedgerEntry
from nasgait.search.state import Generation


class Generations:
    """Describes the generations of a search in the file ``path``, as they are completed.

    The file is rewritten with each, so a resumed search leaves the same file.
    """

    def __init__(self, path: str | Path, evolution: Evolution) -> None:
        self.path = Path(path)
        self._evolution = evolution
        self._hypervolume = (
            RelativeHypervolume(evolution) if len(evolution.objectives.names) > 1 else None
        )
        self._scored: list[LedgerEntry] = []
        self._lines: list[dict[str, Any]] = []

    def add(self, generation: Generation) -> dict[str, Any]:
        """Describe the next generation; returns its line.

        ``best`` so far, ``generation_best``, ``generation_median`` and ``spread`` (interquartile
        range) are of the metric that ranks [%].  ``diversity``: the share of layers in which two
        of its architectures differ, on average.  ``new``: the share of the affordable candidates
        that had not been bred before.  ``frequencies``: for each layer the share of each choice.
        With more than one objective also ``hypervolume``: that of all scored so far
        (:class:`RelativeHypervolume`, 0..1).
        """
        self._scored.extend(generation.entries)
        metric, entries = self._evolution.objectives.metric, generation.entries
        values = [entry.values[metric] for entry in entries]
        low, median, high = np.percentile(values, [25, 50, 75])
        frequencies = choice_frequencies(entries, self._evolution.budget.costs.choices)
        new = len(entries) + generation.passed_over
        line = {
            "generation": generation.number,
            "architectures": len(entries),
            "best": max(entry.values[metric] for entry in self._scored),
            "generation_best": max(values),
            "generation_median": float(median),
            "spread": float(high - low),
            "diversity": diversity(frequencies, len(entries)),
            "new": new / (new + generation.repeats),
        }
        if self._hypervolume is not None:
            line["hypervolume"] = self._hypervolume.share(self._scored)
        self._lines.append(line | {"frequencies": frequencies})
        write_atomically(self.path, "".join(json.dumps(line) + "\n" for line in self._lines))
        return self._lines[-1]


def choice_frequencies(
    entries: tuple[LedgerEntry, ...], sizes: tuple[int, ...]
) -> list[list[float]]:
    """For each layer, the share of the architectures that take each of its choices."""
    layers = zip(*(entry.choices for entry in entries), strict=True)
    counts = [Counter(layer) for layer in layers]
    return [
        [count[choice] / len(entries) for choice in range(size)]
        for count, size in zip(counts, sizes, strict=True)
    ]


def diversity(frequencies: list[list[float]], count: int) -> float:
    """The share of layers in which two different ones of ``count`` architectures differ."""
    if count < 2:
        return 0.0
    # Two drawn with replacement agree with chance sum(f^2); without, n/(n-1) of the rest differ.
    apart = [1 - sum(share**2 for share in layer) for layer in frequencies]
    return sum(apart) / len(apart) * count / (count - 1)


def read_generations(path: str | Path) -> list[dict[str, Any]]:
    """The lines that :class:`Generations` wrote; ``DataError`` for anything else."""
    try:
        lines = [parse_json(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]
        if all(isinstance(line["frequencies"], list) for line in lines):
            return lines
        raise ValueError("no frequencies")
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path}: not the generations of a search ({error!r})") from error
