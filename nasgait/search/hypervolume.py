"""Hypervolume: how much of the objectives' space a set of architectures dominates."""

from collections.abc import Iterable, Sequence
from math import prod

from nasgait.search.evolution import Evolution
from nasgait.search.ledger import LedgerEntry
from nasgait.search.pareto import minima

Point = tuple[float, ...]


def hypervolume(vectors: Iterable[Point], reference: Point) -> float:
    """Exact volume that the vectors dominate, all objectives minimised, up to ``reference``.

    Vectors that are not better than the reference in every objective add nothing.  For any number
    of objectives; fast enough for a few hundred non-dominated vectors of four.
    """
    inside = (v for v in vectors if all(x < r for x, r in zip(v, reference, strict=True)))
    return _volume(minima(inside), reference)


def _volume(front: list[Point], reference: Point) -> float:
    """The sum of what each vector adds to those that are better in the last objective.

    Along the last objective, the part of the vector's box that those already cover has the same
    cross-section everywhere, so what it adds is a prism over a difference of volumes of one
    dimension less.
    """
    if not front:
        return 0.0
    if len(reference) == 1:
        return reference[0] - front[0][0]
    total = 0.0
    ordered = sorted(front, key=lambda vector: vector[-1], reverse=True)
    for index, (*head, last) in enumerate(ordered):
        base = prod(r - x for r, x in zip(reference, head, strict=False))
        better = (tuple(map(max, other[:-1], head)) for other in ordered[index + 1 :])
        total += (reference[-1] - last) * (base - _volume(minima(better), reference[:-1]))
    return total


class RelativeHypervolume:
    """The hypervolume of a search's objectives, as a share of the largest conceivable one.

    The reference point is a metric of 0 % and, for each cost, its limit; without a limit, the
    space's largest MACs or params, or the latency of the architecture with the most MACs.  The
    largest conceivable hypervolume is the box from there to 100 % at no cost.
    """

    def __init__(self, evolution: Evolution) -> None:
        self.objectives = evolution.objectives
        bounds = [_largest(evolution, name) for name in self.objectives.costs]
        costs = dict(zip(self.objectives.costs, bounds, strict=True))
        self.reference = tuple(costs.get(name, 0.0) for name in self.objectives.names)
        self._whole = prod(costs.get(name, 100.0) for name in self.objectives.names)

    def share(self, entries: Sequence[LedgerEntry]) -> float:
        """The share (0..1) that the entries dominate; an entry at a limit adds nothing."""
        vectors = self.objectives.vectors(entries)
        return hypervolume(vectors, self.reference) / self._whole


def _largest(evolution: Evolution, name: str) -> float:
    """The value from which on a cost adds nothing to the hypervolume."""
    budget, measured = evolution.budget, evolution.measured
    if measured is not None and name == measured.name:
        return (
            measured.value(budget.costs.largest("macs"))
            if measured.limit is None
            else measured.limit
        )
    if name in budget.limits:
        return budget.limits[name]
    return budget.costs.total(budget.costs.largest(name))[name]
