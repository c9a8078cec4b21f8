"""How much of what is wanted a set of architectures covers."""

from collections.abc import Iterable, Sequence
from math import prod

from nasgait.search.evolution import Evolution
from nasgait.search.ledger import Entry
from nasgait.search.pareto import minima

Point = tuple[float, ...]


def hypervolume(vectors: Iterable[Point], reference: Point) -> float:
    """Exact volume that the vectors dominate, all objectives minimised, up to ``reference``.

    Vectors that are not better than the reference everywhere count for nothing.  For any number
    of objectives; fast enough for some hundred non-dominated vectors of four.
    """
    inside = (v for v in vectors if all(x < r for x, r in zip(v, reference, strict=True)))
    return _volume(minima(inside), reference)


def _volume(front: list[Point], reference: Point) -> float:
    """Sum of what each vector adds to those that are better in the last objective.

    Those cut a box out of the vector's own that reaches as deep in the last objective, so what
    is left is a prism over a difference of volumes of one dimension less.
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


class Coverage:
    """The hypervolume of a search's objectives, as a share of all that could be wanted.

    The reference point is a rate of 0 % and, for each cost, its limit; without a limit the
    space's largest MACs or params, or the latency of the architecture with the most MACs.  The
    whole is the box from there to 100 % at no cost.
    """

    def __init__(self, evolution: Evolution) -> None:
        self.objectives = evolution.objectives
        bounds = [_largest(evolution, name) for name in self.objectives.costs]
        costs = dict(zip(self.objectives.costs, bounds, strict=True))
        self.reference = tuple(costs.get(name, 0.0) for name in self.objectives.names)
        self._whole = prod(costs.get(name, 100.0) for name in self.objectives.names)

    def share(self, entries: Sequence[Entry]) -> float:
        """The share (0..1) that the entries dominate; an entry at a limit adds nothing."""
        vectors = self.objectives.vectors(entry.values for entry in entries)
        return hypervolume(vectors, self.reference) / self._whole


def _largest(evolution: Evolution, name: str) -> float:
    """The value of a cost from which on an architecture counts for nothing."""
    budget, measure = evolution.budget, evolution.measure
    if measure is not None and name == measure.name:
        return (
            measure.value(budget.costs.largest("macs")) if measure.limit is None else measure.limit
        )
    if name in budget.limits:
        return budget.limits[name]
    return budget.costs.total(budget.costs.largest(name))[name]
