"""Evolution over architectures under a budget, as published for single-path supernets.

Guo et al., "Single Path One-Shot Neural Architecture Search with Uniform
Sampling" (ECCV 2020), with the budget met by construction and every architecture
scored at most once.  A generation is bred in batches, its even shares.  Those of
the first generation are random.  Any other depends on the seed, its number, the
scores of the batches at least ``lookahead`` before it and on what was bred before
it: so scores may arrive in any order, and a resumed search breeds the same batches.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from nasgait.config.objectives import Objectives
from nasgait.config.schema import SearchConfig
from nasgait.core.errors import ConfigError
from nasgait.search.breeding import MeasuredCost, Offspring, Preselection, cross, mutate
from nasgait.search.budget import Budget, Choices
from nasgait.search.ledger import LedgerEntry
from nasgait.search.predictor import Predictor
from nasgait.search.selection import NSGA2, MatingPool, Selection, TopK


@dataclass(frozen=True)
class ArchitectureBatch:
    """Architectures that are bred together: one share of a generation."""

    number: int
    """Counted over the whole search."""
    generation: int
    """0 is the first, random one."""
    choices: tuple[Choices, ...]
    """Its architectures in the order they were bred."""
    repeats: int = 0
    """Affordable candidates that had been bred before."""
    passed_over: int = 0
    """Affordable new candidates that lost to a more promising one."""
    short: str | None = None
    """Why it is smaller than its share, if it is; then it is the last."""


class Evolution:
    """The search within ``budget``; ``seed`` decides everything that is drawn.

    Of ``config`` only the settings of breeding are read.  ``measured`` is a cost that no table
    knows (latency).  Raises ConfigError when mutations and crossovers do not fit the population.
    """

    def __init__(
        self,
        budget: Budget,
        config: SearchConfig,
        seed: int = 0,
        measured: MeasuredCost | None = None,
    ) -> None:
        if config.mutations + config.crossovers > config.population:
            raise ConfigError(
                f"search: {config.mutations} mutations and {config.crossovers} crossovers do not "
                f"fit a population of {config.population}; raise population or lower them"
            )
        self.budget = budget
        self.config = config
        self.seed = seed
        self.measured = measured
        self.objectives = Objectives(config.objectives)
        self.selection: Selection = (
            TopK(config.top_k)
            if len(config.objectives) == 1
            else NSGA2(self.objectives, config.population)
        )

    @property
    def total(self) -> int:
        """Batches of the whole search."""
        return self.config.batches_per_generation * (1 + self.config.max_epochs)

    def costs(self, choices: Choices) -> dict[str, float]:
        """What the architecture costs, by name, measured costs included."""
        costs: dict[str, float] = dict(self.budget.costs.total(choices))
        if self.measured is not None:
            costs[self.measured.name] = self.measured.value(choices)
        return costs

    def rank(self, entries: Sequence[LedgerEntry]) -> tuple[LedgerEntry, ...]:
        """Best first; ties are broken by cost, then by choices, so the order is unique."""

        def order(entry: LedgerEntry) -> tuple[float, list[float], Choices]:
            costs = [entry.values[name] for name in self.budget.costs.names]
            return -entry.values[self.objectives.metric], costs, entry.choices

        return tuple(sorted(entries, key=order))

    def breed(
        self, number: int, scored: Sequence[LedgerEntry], before: set[Choices]
    ) -> ArchitectureBatch:
        """Breed the batch of a number: affordable architectures, new, all different.

        Mutations come first, then crossovers, then random ones.  There are fewer than the share
        only when nothing affordable and new is found.

        Args:
            number: counts all batches of the search.
            scored: the entries of the batches at least ``lookahead`` before this one.
            before: everything bred before.

        Raises:
            BudgetError: no architecture at all meets the measured limit.
        """
        rng = np.random.default_rng([self.seed, number])
        preselection = self._preselection(scored)
        offspring = Offspring(self.budget, self.measured, before, rng, preselection)
        generation, share = divmod(number, self.config.batches_per_generation)
        # The first generation is random, even if some of it is scored when a batch is bred.
        pool = self.selection.pool(self.rank(scored)) if generation else MatingPool(())
        attempts = self._attempts(share, pool, rng)
        short = next(filter(None, map(offspring.add, attempts)), None)
        return ArchitectureBatch(
            number,
            generation,
            tuple(offspring.choices),
            offspring.repeats,
            offspring.passed_over,
            short,
        )

    def _preselection(self, scored: Sequence[LedgerEntry]) -> Preselection | None:
        """What chooses among candidates, where it is configured and enough is scored."""
        if self.config.candidates == 1 or len(scored) < max(2, self.config.population):
            return None
        costs = self.budget.costs
        predictor = Predictor(scored, self.objectives, costs.choices, costs.total)
        return Preselection(predictor, self.config.candidates)

    def _attempts(
        self, share: int, pool: MatingPool, rng: np.random.Generator
    ) -> Iterator[Callable[[], Choices]]:
        """For each place of a batch, the operator that proposes its candidates."""
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
        operators = [mutation] * mutations + [crossover] * crossovers + [fresh] * rest
        if not pool.members:
            operators = [fresh] * len(operators)
        # Dealt in turn, so that each batch has its part of every operator.
        return iter(operators[share :: self.config.batches_per_generation])
