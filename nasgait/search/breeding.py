"""Children of an evolution: mutation, crossover, and the way to one that is new and affordable."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np

from nasgait.core.errors import BudgetError
from nasgait.search.budget import Budget, Choices
from nasgait.search.predictor import Forecast

TRIES = 100  # attempts at a new, affordable child before another way is taken
UNSCREENED = 0.2  # share of children that are bred whatever a forecast says


class Measure(Protocol):
    """A cost that no table knows: measured when an architecture comes up, with a limit or none."""

    name: str
    unit: str

    @property
    def limit(self) -> float | None:
        """The largest value that is admitted."""
        ...

    def value(self, choices: Choices) -> float:
        """The architecture's value; the same whenever it is asked for again."""
        ...


def mutate(parent: Choices, sizes: Sequence[int], prob: float, rng: np.random.Generator) -> Choices:
    """Redraw each layer of ``parent``, among ``sizes`` choices, with chance ``prob``."""
    redraw = rng.random(len(sizes)) < prob
    return tuple(map(int, np.where(redraw, rng.integers(sizes), parent)))


def cross(first: Choices, second: Choices, rng: np.random.Generator) -> Choices:
    """Take each layer from one of two parents, with even chance."""
    from_first = rng.random(len(first)) < 0.5
    return tuple(map(int, np.where(from_first, first, second)))


@dataclass(frozen=True)
class Screen:
    """Chooses among children before they are scored."""

    forecast: Forecast
    proposals: int
    """Children proposed for each one that is bred."""

    def skips(self, rng: np.random.Generator) -> bool:
        """Whether the next child is bred without it: where a forecast errs, others go on."""
        return bool(rng.random() < UNSCREENED)


class Children:
    """The children of one brood: affordable, and unlike each other and all ``before``.

    With ``screen`` a child is the most promising of so many that are proposed.
    """

    def __init__(
        self,
        budget: Budget,
        measure: Measure | None,
        before: set[Choices],
        rng: np.random.Generator,
        screen: Screen | None = None,
    ) -> None:
        self.budget, self.measure, self.rng = budget, measure, rng
        self.screen = screen
        self.choices: list[Choices] = []
        self.repeats = 0
        """Affordable children that were proposed and had come before."""
        self.passed_over = 0
        """Affordable new children that were proposed beside a more promising one."""
        self._seen = set(before)
        self._refused: dict[Choices, float] = {}

    def add(self, attempt: Callable[[], Choices]) -> str | None:
        """Add the first good child of ``attempt``, else a random one; else say why there is none.

        Raises BudgetError when the measured limit has kept out everything so far.
        """
        child = self._first(attempt)
        if child is not None:
            self.choices.append(child)
            self._seen.add(child)
            return None
        if not self._refused:
            return f"all {len(self._seen)} architectures within the budget are scored"
        assert self.measure is not None
        unit, other = self.measure.unit, "other " if self._seen else ""
        refusal = (
            f"no {other}architecture with {self.measure.name} <= {self._limit:g} {unit} was found "
            f"among {len(self._refused)} measured"
        )
        if self._seen:
            return refusal
        least = min(self._refused.values())
        raise BudgetError(
            f"{refusal}; the smallest measured is {least:.4g} {unit}; raise the limit"
        )

    def _first(self, attempt: Callable[[], Choices]) -> Choices | None:
        screen = self.screen
        if screen is not None and screen.skips(self.rng):
            screen = None
        count = 1 if screen is None else screen.proposals
        for source in (attempt, lambda: self.budget.sample(self.rng)):
            proposals = self._proposals(source)
            while some := list(dict.fromkeys(islice(proposals, count))):
                ordered = some if screen is None else screen.forecast.best_first(some)
                child = next(filter(self._admits, ordered), None)
                if child is not None:
                    self.passed_over += len(some) - 1
                    return child
        # Each costs a measurement, where there is a limit on one: a large space is never tried out.
        most = None if self._limit is None else TRIES
        passed = self._seen | self._refused.keys()
        unseen = islice(self.budget.enumerate_unseen(passed, self.rng), most)
        return next((child for child in unseen if self._admits(child)), None)

    def _proposals(self, source: Callable[[], Choices]) -> Iterator[Choices]:
        """The affordable new children among ``TRIES`` of a source."""
        for _ in range(TRIES):
            child = source()
            if not self.budget.affordable(child):
                continue
            if child in self._seen:
                self.repeats += 1
            else:
                yield child

    @property
    def _limit(self) -> float | None:
        return None if self.measure is None else self.measure.limit

    def _admits(self, child: Choices) -> bool:
        if child in self._refused:
            return False
        if self.measure is None:
            return True
        value = self.measure.value(child)
        if self._limit is None or value <= self._limit:
            return True
        self._refused[child] = value
        return False
