"""How a search comes along: a bar, the cost of a score, metrics of each generation."""

import logging
from pathlib import Path
from statistics import median

import torch
from tqdm import tqdm

from nasgait.engine.logging import MetricsLog
from nasgait.engine.memory import peak_memory
from nasgait.search.evolution import Evolution
from nasgait.search.ledger import Entry
from nasgait.search.state import Generation

logger = logging.getLogger(__name__)


class Progress:
    """What is shown and logged while a search runs, with any backend."""

    def __init__(self, out: Path, evolution: Evolution, device: torch.device) -> None:
        self._evolution, self._rate = evolution, evolution.objectives.rate
        asked = evolution.config.population * (1 + evolution.config.max_epochs)
        self._left = asked
        self._bar = tqdm(total=asked, unit="arch")
        self._metrics = MetricsLog(out, -1)
        self._best: tuple[Entry, ...] = ()
        self._device = device
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

    def scored(self, seconds: float) -> None:
        """One more architecture; after the first, say what the rest will cost."""
        self._bar.update()
        self._left -= 1
        if not self._announced:
            self._announced = True
            logger.info(
                "cost: %.1f s an architecture, about %.1f minutes to go; peak memory %.2f GiB",
                seconds,
                seconds * self._left / 60,
                peak_memory(self._device) / 2**30,
            )

    def generation(self, generation: Generation) -> None:
        """A generation is scored: its best, its median and the best so far."""
        self._best = self._evolution.rank([*self._best, *generation.entries])[:1]
        scores = [entry.values[self._rate] for entry in generation.entries]
        best = self._best[0].values[self._rate]
        values = {"best": best, "generation_best": max(scores), "generation_median": median(scores)}
        self._metrics.log(generation.number, values)
        self._bar.set_postfix_str(f"generation {generation.number}, best {best:.1f} %")
