"""Offspring of an evolution: mutation, crossover, and the search for one new and affordable."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np

from nasgait.core.errors import BudgetError
from nasgait.search.budget import Budget, Choices
from nasgait.search.predictor import Predictor

TRIES = 100
"""Draws from an operator before the next way to a new, affordable architecture is taken."""

UNFILTERED = 0.2
"""Share of the offspring that is bred without the predictor."""


class MeasuredCost(Protocol):
    """A cost that no table knows: measured when an architecture comes up, with or without limit."""

    name: str
    unit: str

    @property
    def limit(self) -> float | None:
        """The largest value that is allowed."""
        ...

    def value(self, choices: Choices) -> float:
        """The architecture's value; every call for it returns the same."""
        ...


def mutate(parent: Choices, sizes: Sequence[int], prob: float, rng: np.random.Generator) -> Choices:
    """Redraw each layer of ``parent``, among ``sizes`` choices, with probability ``prob``."""
    redraw = rng.random(len(sizes)) < prob
    return tuple(map(int, np.where(redraw, rng.integers(sizes), parent)))


def cross(first: Choices, second: Choices, rng: np.random.Generator) -> Choices:
    """Take each layer from one of two parents, with equal probability."""
    from_first = rng.random(len(first)) < 0.5
    return tuple(map(int, np.where(from_first, first, second)))


@dataclass(frozen=True)
class Preselection:
    """Chooses the most promising of several candidates before any is scored."""

    predictor: Predictor
    candidates: int
    """Candidates for each architecture that is bred."""

    def skips(self, rng: np.random.Generator) -> bool:
        """Whether to breed the next without it, so that the predictor's errors exclude nothing."""
        return bool(rng.random() < UNFILTERED)


class Offspring:
    """The architectures of one batch: affordable, and different from each other and ``before``.

    Args:
        budget: the limits on costs from the table.
        measured: a cost that is measured, if there is one.
        before: everything bred before.
        rng: decides all draws.
        preselection: chooses among candidates; without it the first good one is taken.
    """

    def __init__(
        self,
        budget: Budget,
        measured: MeasuredCost | None,
        before: set[Choices],
        rng: np.random.Generator,
        preselection: Preselection | None = None,
    ) -> None:
        self.budget, self.measured, self.rng = budget, measured, rng
        self.preselection = preselection
        self.choices: list[Choices] = []
        self.repeats = 0
        """Affordable candidates that had been bred before."""
        self.passed_over = 0
        """Affordable new candidates that lost to a more promising one."""
        self._seen = set(before)
        self._over_limit: dict[Choices, float] = {}

    def add(self, attempt: Callable[[], Choices]) -> str | None:
        """Add the first good child of ``attempt``, else a random one; else say why there is none.

        Raises BudgetError when nothing at all has met the measured limit so far.
        """
        child = self._first(attempt)
        if child is not None:
            self.choices.append(child)
            self._seen.add(child)
            return None
        if not self._over_limit:
            return f"all {len(self._seen)} architectures within the budget are scored"
        assert self.measured is not None
        unit, other = self.measured.unit, "other " if self._seen else ""
        reason = (
            f"no {other}architecture with {self.measured.name} <= {self._limit:g} {unit} was found "
            f"among {len(self._over_limit)} measured"
        )
        if self._seen:
            return reason
        least = min(self._over_limit.values())
        raise BudgetError(f"{reason}; the smallest measured is {least:.4g} {unit}; raise the limit")

    def _first(self, attempt: Callable[[], Choices]) -> Choices | None:
        """The child to add: from the operator, else drawn, else from the list of what is left."""
        preselection = self.preselection
        if preselection is not None and preselection.skips(self.rng):
            preselection = None
        count = 1 if preselection is None else preselection.candidates
        for operator in (attempt, lambda: self.budget.sample(self.rng)):
            candidates = self._candidates(operator)
            while some := list(dict.fromkeys(islice(candidates, count))):
                ordered = some if preselection is None else preselection.predictor.best_first(some)
                child = next(filter(self._within_limit, ordered), None)
                if child is not None:
                    self.passed_over += len(some) - 1
                    return child
        # With a limit each costs a measurement, so a large space is never tried to its end.
        most = None if self._limit is None else TRIES
        passed = self._seen | self._over_limit.keys()
        unseen = islice(self.budget.enumerate_unseen(passed, self.rng), most)
        return next((child for child in unseen if self._within_limit(child)), None)

    def _candidates(self, operator: Callable[[], Choices]) -> Iterator[Choices]:
        """The affordable new architectures among ``TRIES`` of an operator."""
        for _ in range(TRIES):
            child = operator()
            if not self.budget.affordable(child):
                continue
            if child in self._seen:
                self.repeats += 1
            else:
                yield child

    @property
    def _limit(self) -> float | None:
        return None if self.measured is None else self.measured.limit

    def _within_limit(self, child: Choices) -> bool:
        """Whether the measured cost, if there is one, is within its limit."""
        if child in self._over_limit:
            return False
        if self.measured is None:
            return True
        value = self.measured.value(child)
        if self._limit is None or value <= self._limit:
            return True
        self._over_limit[child] = value
        return False
