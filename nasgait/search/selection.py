"""Who breeds: the best few by one metric, or the survivors of non-dominated sorting."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from nasgait.config.objectives import Objectives
from nasgait.search.budget import Choices
from nasgait.search.ledger import LedgerEntry
from nasgait.search.nondominated import crowding, fronts


@dataclass(frozen=True)
class MatingPool:
    """The possible parents of a batch, best first."""

    members: tuple[Choices, ...]
    tournament_size: int = 1
    """Members drawn for each parent; the best of them becomes it."""

    def draw(self, rng: np.random.Generator, other_than: Choices | None = None) -> Choices:
        """Draw a parent; ``other_than`` only when there is no other."""
        members = [member for member in self.members if member != other_than] or self.members
        count = min(self.tournament_size, len(members))
        return members[int(rng.choice(len(members), size=count, replace=False).min())]


class Selection(Protocol):
    """How parents are chosen."""

    def pool(self, ranking: Sequence[LedgerEntry]) -> MatingPool:
        """The parents among the scored, given best first (by metric, then by costs)."""
        ...


@dataclass(frozen=True)
class TopK:
    """The best ``count`` of all scored, equally likely: published single-path search."""

    count: int

    def pool(self, ranking: Sequence[LedgerEntry]) -> MatingPool:
        """The head of the ranking."""
        return MatingPool(tuple(entry.choices for entry in ranking[: self.count]))


@dataclass(frozen=True)
class NSGA2:
    """NSGA-II: the best ``count`` by front, then by crowding distance; binary tournaments."""

    objectives: Objectives
    count: int

    def pool(self, ranking: Sequence[LedgerEntry]) -> MatingPool:
        """The survivors, front by front, in each the largest crowding distance first."""
        vectors = self.objectives.vectors(ranking)
        members: list[Choices] = []
        for front in fronts(vectors):
            distances = crowding([vectors[index] for index in front])
            members += [ranking[front[i]].choices for i in np.argsort(-distances, kind="stable")]
            if len(members) >= self.count:
                break
        return MatingPool(tuple(members[: self.count]), tournament_size=2)
