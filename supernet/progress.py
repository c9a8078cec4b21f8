"""The progress of a search: a bar, an estimate of what is left, metrics of each generation."""

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
"""Pixels along each side of a cell of the heat map."""


class Progress:
    """Shows and logs how a search proceeds, with ``scorers`` at work at a time."""

    def __init__(self, out: Path, evolution: Evolution, scorers: int = 1) -> None:
        self._generations = Generations(out / "generations.jsonl", evolution)
        self._left = evolution.config.population * (1 + evolution.config.max_epochs)
        self._bar = tqdm(total=self._left, unit="arch")
        self._metrics = MetricsLog(out, -1)
        self._scorers = scorers
        self._estimated = False

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()
        self._metrics.close()

    def begin(self, scored: int) -> None:
        """Start the bar at the number of architectures that were scored before."""
        self._left -= scored
        self._bar.n = self._bar.initial = scored
        self._bar.refresh()

    def scored(self, seconds: float, peak_memory: int) -> None:
        """Count one more architecture; after the first, log an estimate for the rest.

        ``seconds`` is how long scoring it took, ``peak_memory`` the bytes its scorer has held.
        """
        self._bar.update()
        self._left -= 1
        if not self._estimated:
            self._estimated = True
            minutes = seconds * self._left / self._scorers / 60
            logger.info(
                f"cost: {seconds:.1f} s for the first, less for those that share a prefix with it: "
                f"roughly {minutes:.1f} minutes to go; peak memory {peak_memory / 2**30:.2f} GiB"
            )

    def generation(self, generation: Generation) -> None:
        """Describe a scored generation in ``generations.jsonl``, the metrics and the bar."""
        line = self._generations.add(generation)
        numbers = {name: value for name, value in line.items() if isinstance(value, int | float)}
        del numbers["generation"]
        self._metrics.log(generation.number, numbers)
        self._metrics.picture("frequencies", generation.number, heat_map(line["frequencies"]))
        volume = f", hypervolume {line['hypervolume']:.3f}" if "hypervolume" in line else ""
        self._bar.set_postfix_str(
            f"generation {generation.number}, best {line['best']:.1f} %{volume}"
        )


def heat_map(frequencies: Sequence[Sequence[float]]) -> np.ndarray:
    """Choice frequencies as a picture [h, w] in 0..1: a row per layer, a column per choice."""
    picture = np.zeros((len(frequencies), max(map(len, frequencies))))
    for row, shares in zip(picture, frequencies, strict=True):
        row[: len(shares)] = shares
    return picture.repeat(CELL, axis=0).repeat(CELL, axis=1)
