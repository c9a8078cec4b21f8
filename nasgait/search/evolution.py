"""Evolution over architectures under a budget, as published for single-path supernets.

Guo et al., "Single Path One-Shot Neural Architecture Search with Uniform
Sampling" (ECCV 2020), with the budget met by construction and every architecture
scored at most once.  A generation is a function of the seed, its number and the
scores of earlier generations, so the ledger is the only state: a resumed search
breeds the same generations again and scores what the ledger lacks.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nasgait.errors import ConfigError, DataError, RunFailed
from nasgait.search.budget import Budget, Choices
from nasgait.search.ledger import Entry, Ledger

TRIES = 100  # attempts at an unseen, affordable child before another way is taken

Score = Callable[[Choices, int], Mapping[str, float]]
"""Scores one architecture of a generation: finite numbers by name, the objective among them."""


@dataclass(frozen=True)
class EvolutionConfig:
    """How to breed (the defaults are those published with SPOSGait)."""

    population: int = 50
    """Architectures in each generation."""
    top_k: int = 10
    """The best of all scored so far, which breed."""
    mutations: int = 25
    """Children by mutation in each generation; what children leave free is drawn at random."""
    crossovers: int = 25
    """Children by crossover in each generation."""
    mutation_prob: float = 0.1
    """Chance that a mutation redraws a layer."""
    max_epochs: int = 20
    """Generations bred after the first, random one."""
    objective: str = "map"
    """The score that ranks architectures; larger is better."""

    def __post_init__(self) -> None:
        if self.population < 1 or self.top_k < 1:
            raise ConfigError("search: population and top_k must be at least 1")
        if min(self.mutations, self.crossovers, self.max_epochs) < 0:
            raise ConfigError("search: mutations, crossovers and max_epochs must not be negative")
        if self.mutations + self.crossovers > self.population:
            raise ConfigError(
                f"search: {self.mutations} mutations and {self.crossovers} crossovers do not fit "
                f"a population of {self.population}; raise population or lower them"
            )
        if not 0 <= self.mutation_prob <= 1:
            raise ConfigError(f"search: mutation_prob {self.mutation_prob} is not within 0..1")


@dataclass(frozen=True)
class Generation:
    """One scored generation."""

    number: int
    """0 is the first, random one."""
    entries: tuple[Entry, ...]
    """Its architectures in the order they were bred."""


@dataclass(frozen=True)
class SearchResult:
    """What a search found; equal for an undisturbed and a resumed one."""

    ranking: tuple[Entry, ...]
    """Every scored architecture, best first; equal scores rank the cheaper one first."""
    generations: tuple[Generation, ...]
    """The generations in turn."""
    ended_early: str | None
    """Why there are fewer architectures than asked for, if there are."""

    @property
    def best(self) -> Entry:
        """The winner."""
        return self.ranking[0]


class Evolution:
    """The search within ``budget``; ``seed`` decides everything that is drawn."""

    def __init__(self, budget: Budget, config: EvolutionConfig, seed: int = 0) -> None:
        self.budget = budget
        self.config = config
        self.seed = seed

    def run(
        self,
        score: Score,
        ledger: Ledger,
        on_generation: Callable[[Generation], None] | None = None,
    ) -> SearchResult:
        """Score generation after generation; go on where the ledger stops.

        Raises ``DataError`` when the ledger was written by another search (seed,
        budget, settings or costs differ) and ``RunFailed`` for a score that is
        not finite.
        """
        generations: list[Generation] = []
        scored: list[Entry] = []
        ended_early = None
        for number in range(self.config.max_epochs + 1):
            population = self.breed(number, scored)
            self._check(ledger, number, population)
            if population:
                entries = tuple(self._entry(c, number, score, ledger) for c in population)
                generations.append(Generation(number, entries))
                scored.extend(entries)
                if on_generation is not None:
                    on_generation(generations[-1])
            if len(population) < self.config.population:
                ended_early = (
                    f"all {len(scored)} architectures within the budget are scored "
                    f"(in generation {number} of {self.config.max_epochs})"
                )
                break
        return SearchResult(self.rank(scored), tuple(generations), ended_early)

    def rank(self, entries: Sequence[Entry]) -> tuple[Entry, ...]:
        """Best first; equal scores by cost, then by choices, so the order is never in doubt."""

        def order(entry: Entry) -> tuple[float, list[float], Choices]:
            costs = [entry.values[name] for name in self.budget.costs.names]
            return -entry.values[self.config.objective], costs, entry.choices

        return tuple(sorted(entries, key=order))

    def breed(self, number: int, scored: Sequence[Entry]) -> list[Choices]:
        """The architectures of a generation: affordable, unseen, all different.

        ``scored`` holds all entries of the earlier generations.  Mutations first,
        then crossovers, then random ones up to the population's size; fewer only
        when nothing affordable and unseen remains.
        """
        rng = np.random.default_rng([self.seed, number])
        parents = [entry.choices for entry in self.rank(scored)[: self.config.top_k]]
        seen = {entry.choices for entry in scored}
        population: list[Choices] = []
        for attempts in self._attempts(rng, parents):
            child = self._first_new(attempts, seen, rng)
            if child is None:
                break
            population.append(child)
            seen.add(child)
        return population

    def _attempts(
        self, rng: np.random.Generator, parents: Sequence[Choices]
    ) -> Iterator[Callable[[], Choices]]:
        """For each place in the population, the way in which its child is tried."""
        bred = (self.config.mutations, self.config.crossovers) if parents else (0, 0)
        for _ in range(bred[0]):
            yield lambda: self._mutate(parents[int(rng.integers(len(parents)))], rng)
        for _ in range(bred[1]):
            yield lambda: self._cross(parents, rng)
        for _ in range(self.config.population - sum(bred)):
            yield lambda: self.budget.sample(rng)

    def _first_new(
        self, attempt: Callable[[], Choices], seen: set[Choices], rng: np.random.Generator
    ) -> Choices | None:
        """The first attempt that is affordable and unseen, else a random one, else nothing."""
        for source in (attempt, lambda: self.budget.sample(rng)):
            for _ in range(TRIES):
                child = source()
                if child not in seen and self.budget.affordable(child):
                    return child
        return next(self.budget.enumerate_unseen(seen, rng), None)

    def _mutate(self, parent: Choices, rng: np.random.Generator) -> Choices:
        """Redraw each layer with the mutation's probability."""
        sizes = self.budget.costs.choices
        redraw = rng.random(len(sizes)) < self.config.mutation_prob
        return tuple(map(int, np.where(redraw, rng.integers(sizes), parent)))

    def _cross(self, parents: Sequence[Choices], rng: np.random.Generator) -> Choices:
        """Take each layer from one of two parents, with even chance."""
        first, second = rng.choice(len(parents), size=2, replace=len(parents) < 2)
        from_first = rng.random(len(parents[0])) < 0.5
        return tuple(map(int, np.where(from_first, parents[first], parents[second])))

    def _entry(self, choices: Choices, number: int, score: Score, ledger: Ledger) -> Entry:
        """The architecture's ledger entry, scored now unless it is there."""
        known = ledger.get(choices)
        if known is not None:
            return known
        start = time.perf_counter()
        scores = {name: float(value) for name, value in score(choices, number).items()}
        if self.config.objective not in scores or not all(map(math.isfinite, scores.values())):
            raise RunFailed(
                f"architecture {'-'.join(map(str, choices))} scored {scores}: expected finite "
                f"numbers with {self.config.objective!r} among them"
            )
        values = scores | self.budget.costs.total(choices)
        entry = Entry(choices, number, values, time.perf_counter() - start)
        ledger.append(entry)
        return entry

    def _check(self, ledger: Ledger, number: int, population: Sequence[Choices]) -> None:
        """Refuse a ledger that this search cannot have written, before anything is added to it."""
        there = {entry.choices: entry for entry in ledger.entries if entry.generation == number}
        foreign = there.keys() - set(population)
        unfinished = set(population) - there.keys()
        went_on = any(entry.generation > number for entry in ledger.entries)
        if foreign or (unfinished and went_on) or not all(map(self._agrees, there.values())):
            raise DataError(
                f"{ledger.path}: generation {number} was written by another search (its seed, "
                "space, budget or settings differ from those now given); search into a new folder"
            )

    def _agrees(self, entry: Entry) -> bool:
        """Whether the entry has the objective's score and the costs known here."""
        costs = self.budget.costs.total(entry.choices)
        return self.config.objective in entry.values and costs.items() <= entry.values.items()
