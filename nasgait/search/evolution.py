"""Evolution over architectures under a budget, as published for single-path supernets.

Guo et al., "Single Path One-Shot Neural Architecture Search with Uniform
Sampling" (ECCV 2020), with the budget met by construction and every architecture
scored at most once.  Architectures are bred in broods, the even shares of a
generation.  Those of the first are random.  Any other is a function of the seed,
its number, the scores of the broods at least ``ahead`` before it and what was
bred before it: so scores may come in any order, and a resumed search breeds the
same broods again.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from nasgait.config.objectives import Objectives
from nasgait.config.schema import SearchConfig
from nasgait.core.errors import ConfigError
from nasgait.search.breeding import Children, Measure, Screen, cross, mutate
from nasgait.search.budget import Budget, Choices
from nasgait.search.ledger import Entry
from nasgait.search.predictor import Forecast
from nasgait.search.selection import NSGA2, Pool, Selection, TopK


@dataclass(frozen=True)
class Brood:
    """What is bred in one go."""

    number: int
    generation: int
    """0 is the first, random one."""
    choices: tuple[Choices, ...]
    """Its architectures in the order they were bred."""
    repeats: int = 0
    """Affordable children that were proposed on the way and had been bred before."""
    passed_over: int = 0
    """Affordable new children that were proposed beside a more promising one."""
    short: str | None = None
    """Why it is smaller than its share, if it is; then it is the last."""


class Evolution:
    """The search within ``budget``; ``seed`` decides everything that is drawn.

    ``measure`` is a cost that architectures are held to besides (latency).  Raises ConfigError
    when mutations and crossovers do not fit the population.
    """

    def __init__(
        self,
        budget: Budget,
        config: SearchConfig,
        seed: int = 0,
        measure: Measure | None = None,
    ) -> None:
        if config.mutations + config.crossovers > config.population:
            raise ConfigError(
                f"search: {config.mutations} mutations and {config.crossovers} crossovers do not "
                f"fit a population of {config.population}; raise population or lower them"
            )
        self.budget = budget
        self.config = config
        self.seed = seed
        self.measure = measure
        self.objectives = Objectives(config.objectives)
        self.selection: Selection = (
            TopK(config.top_k)
            if len(config.objectives) == 1
            else NSGA2(self.objectives, config.population)
        )

    @property
    def total(self) -> int:
        """Broods of the whole search."""
        return self.config.broods * (1 + self.config.max_epochs)

    def costs(self, choices: Choices) -> dict[str, float]:
        """What the architecture costs, measured costs included."""
        costs: dict[str, float] = dict(self.budget.costs.total(choices))
        if self.measure is not None:
            costs[self.measure.name] = self.measure.value(choices)
        return costs

    def rank(self, entries: Sequence[Entry]) -> tuple[Entry, ...]:
        """Best first; equal rates by cost, then by choices, so the order is never in doubt."""

        def order(entry: Entry) -> tuple[float, list[float], Choices]:
            costs = [entry.values[name] for name in self.budget.costs.names]
            return -entry.values[self.objectives.rate], costs, entry.choices

        return tuple(sorted(entries, key=order))

    def breed(self, number: int, scored: Sequence[Entry], before: set[Choices]) -> Brood:
        """The brood of a number: affordable architectures, new, all different.

        ``scored`` holds all entries of the broods at least ``ahead`` before it, ``before`` all
        that was bred.  Mutations first, then crossovers, then random ones; fewer than its share
        only when nothing affordable and new is found.  Raises BudgetError when nothing at all
        keeps a measured limit.
        """
        rng = np.random.default_rng([self.seed, number])
        children = Children(self.budget, self.measure, before, rng, self._screen(scored))
        generation, share = divmod(number, self.config.broods)
        # The first generation is random, whatever of it is scored by the time a brood is bred.
        pool = self.selection.pool(self.rank(scored)) if generation else Pool(())
        attempts = self._attempts(share, pool, rng)
        short = next(filter(None, map(children.add, attempts)), None)
        return Brood(
            number,
            generation,
            tuple(children.choices),
            children.repeats,
            children.passed_over,
            short,
        )

    def _screen(self, scored: Sequence[Entry]) -> Screen | None:
        """What chooses among proposals, where it is asked for and enough is scored."""
        if self.config.proposals == 1 or len(scored) < max(2, self.config.population):
            return None
        costs = self.budget.costs
        forecast = Forecast(scored, self.objectives, costs.choices, costs.total)
        return Screen(forecast, self.config.proposals)

    def _attempts(
        self, share: int, pool: Pool, rng: np.random.Generator
    ) -> Iterator[Callable[[], Choices]]:
        """For each place of a brood, the way in which its child is tried."""
        sizes, prob = self.budget.costs.choices, self.config.mutation_prob

        def mutation() -> Choices:
            return mutate(pool.draw(rng), sizes, prob, rng)

        def crossover() -> Choices:
            first = pool.draw(rng)
            return cross(first, pool.draw(rng, other_than=first), rng)

        def fresh() -> Choices:
            return self.budget.sample(rng)

        mutations, crossovers = self.config.mutations, self.config.crossovers
        rest = self.config.population - mutations - crossovers
        ways = [mutation] * mutations + [crossover] * crossovers + [fresh] * rest
        if not pool.members:
            ways = [fresh] * len(ways)
        # Dealt like cards, so that each share has its part of every way.
        return iter(ways[share :: self.config.broods])
