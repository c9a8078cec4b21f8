"""How a search comes along: a bar, the cost of a score, metrics of each generation."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from nasgait.core.metrics_log import MetricsLog
from nasgait.search.evolution import Evolution
from nasgait.search.generations import Generations
from nasgait.search.state import Generation

logger = logging.getLogger(__name__)

CELL = 16
"""Pixels of a cell of the heat map."""


class Progress:
    """What is shown and logged while a search runs, with ``scorers`` at work at a time."""

    def __init__(self, out: Path, evolution: Evolution, scorers: int = 1) -> None:
        self._generations = Generations(out / "generations.jsonl", evolution)
        asked = evolution.config.population * (1 + evolution.config.max_epochs)
        self._left = asked
        self._bar = tqdm(total=asked, unit="arch")
        self._metrics = MetricsLog(out, -1)
        self._scorers = scorers
        self._announced = False

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()
        self._metrics.close()

    def begin(self, scored: int) -> None:
        """So many architectures were scored before."""
        self._left -= scored
        self._bar.n = self._bar.initial = scored
        self._bar.refresh()

    def scored(self, seconds: float, peak_memory: int) -> None:
        """One more architecture; after the first, say what the rest will cost.

        Args:
            seconds: how long it took its scorer.
            peak_memory: bytes that this one has held at most.
        """
        self._bar.update()
        self._left -= 1
        if not self._announced:
            self._announced = True
            logger.info(
                "cost: %.1f s for the first, less for those that begin like it: roughly %.1f "
                "minutes to go; peak memory %.2f GiB",
                seconds,
                seconds * self._left / self._scorers / 60,
                peak_memory / 2**30,
            )

    def generation(self, generation: Generation) -> None:
        """A generation is scored: describe it in ``generations.jsonl``, metrics and the bar."""
        line = self._generations.add(generation)
        numbers = {name: value for name, value in line.items() if isinstance(value, int | float)}
        del numbers["generation"]
        self._metrics.log(generation.number, numbers)
        self._metrics.picture("frequencies", generation.number, heat_map(line["frequencies"]))
        covered = f", hypervolume {line['hypervolume']:.3f}" if "hypervolume" in line else ""
        self._bar.set_postfix_str(
            f"generation {generation.number}, best {line['best']:.1f} %{covered}"
        )


def heat_map(frequencies: Sequence[Sequence[float]]) -> np.ndarray:
    """Choice frequencies as a picture [h, w] in 0..1: a row for each layer, a column a choice."""
    picture = np.zeros((len(frequencies), max(map(len, frequencies))))
    for row, shares in zip(picture, frequencies, strict=True):
        row[: len(shares)] = shares
    return picture.repeat(CELL, axis=0).repeat(CELL, axis=1)
