"""Who breeds: the best few by one rate, or survivors of non-dominated sorting."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from nasgait.config.objectives import Objectives
from nasgait.search.budget import Choices
from nasgait.search.ledger import Entry
from nasgait.search.nondominated import crowding, fronts


@dataclass(frozen=True)
class Pool:
    """The parents of a brood, best first."""

    members: tuple[Choices, ...]
    contestants: int = 1
    """Members drawn for each parent, of which the best is taken."""

    def draw(self, rng: np.random.Generator, other_than: Choices | None = None) -> Choices:
        """A parent; ``other_than`` only when there is no other."""
        members = [member for member in self.members if member != other_than] or self.members
        count = min(self.contestants, len(members))
        return members[int(rng.choice(len(members), size=count, replace=False).min())]


class Selection(Protocol):
    """How parents are chosen."""

    def pool(self, ranking: Sequence[Entry]) -> Pool:
        """The parents among the scored, which come best first (by rate, then by costs)."""
        ...


@dataclass(frozen=True)
class TopK:
    """The best ``count`` of all scored, with equal chances: published single-path search."""

    count: int

    def pool(self, ranking: Sequence[Entry]) -> Pool:
        """The head of the ranking."""
        return Pool(tuple(entry.choices for entry in ranking[: self.count]))


@dataclass(frozen=True)
class NSGA2:
    """The ``count`` best of all scored by front, then by crowding; parents win duels (NSGA-II)."""

    objectives: Objectives
    count: int

    def pool(self, ranking: Sequence[Entry]) -> Pool:
        """The survivors, those of the first front first, the loneliest first in each."""
        vectors = self.objectives.vectors(entry.values for entry in ranking)
        members: list[Choices] = []
        for front in fronts(vectors):
            lonely = crowding([vectors[index] for index in front])
            members += [ranking[front[i]].choices for i in np.argsort(-lonely, kind="stable")]
            if len(members) >= self.count:
                break
        return Pool(tuple(members[: self.count]), contestants=2)
