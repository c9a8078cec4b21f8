"""Compute budgets over an additive cost table: exact feasibility, sampling, enumeration.

An architecture is a tuple with one choice for each layer.  Each choice of each
layer has a fixed cost of every kind (MACs, params, ...), and costs add up.
Whether a prefix can still be completed within the limits is decided exactly,
from the Pareto front of the least that the remaining layers can cost, so neither
sampling nor enumeration ever runs into a dead end.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nasgait.core.errors import BudgetError
from nasgait.search.pareto import minima

Choices = tuple[int, ...]
Vector = tuple[int, ...]

REJECTIONS = 100  # uniform draws tried before layers are drawn one by one


@dataclass(frozen=True)
class Costs:
    """What architectures cost: ``total = base + sum over layers of layers[l][choice]``."""

    names: tuple[str, ...]
    """The kinds of cost, in the order of every vector below."""
    base: Vector
    """What every architecture costs, of each kind."""
    layers: tuple[tuple[Vector, ...], ...]
    """For each layer, for each of its choices, its cost of each kind."""

    @property
    def choices(self) -> Choices:
        """The number of choices of each layer."""
        return tuple(len(layer) for layer in self.layers)

    def total(self, choices: Sequence[int]) -> dict[str, int]:
        """What the architecture costs, by kind."""
        picked = [layer[choice] for layer, choice in zip(self.layers, choices, strict=True)]
        return dict(zip(self.names, map(sum, zip(self.base, *picked, strict=True)), strict=True))

    def largest(self, name: str) -> Choices:
        """The architecture with the largest cost of one kind."""
        kind = self.names.index(name)
        return tuple(
            max(range(len(layer)), key=lambda choice: layer[choice][kind]) for layer in self.layers
        )


class Budget:
    """The architectures whose cost is within every limit (limits included).

    ``limits`` maps kinds of ``costs`` to the largest allowed value; a kind left
    out is not limited.  Raises :class:`BudgetError` for an unknown kind, for a
    limit that is not a positive number, and when no architecture is affordable,
    naming the smallest costs that can be reached.
    """

    def __init__(self, costs: Costs, limits: Mapping[str, float] | None = None) -> None:
        self.costs = costs
        self.limits = dict(limits or {})
        for name, limit in self.limits.items():
            if name not in costs.names:
                raise BudgetError(f"budget on {name!r}: known costs are {', '.join(costs.names)}")
            if not limit > 0:  # also catches NaN
                raise BudgetError(f"budget {name} <= {limit}: a limit must be a positive number")
        self._sizes = np.array(costs.choices)
        self._names = tuple(self.limits)
        self._columns = [costs.names.index(name) for name in self._names]
        self._base = self._pick(costs.base)
        self._layers = [[self._pick(choice) for choice in layer] for layer in costs.layers]
        self._fronts = self._suffix_fronts()
        if not self._completable(self._base, 0):
            raise BudgetError(self._infeasible())

    def smallest(self) -> dict[str, int]:
        """The smallest reachable cost of each kind, each taken alone."""
        return {
            name: base + sum(min(choice[m] for choice in layer) for layer in self.costs.layers)
            for m, (name, base) in enumerate(zip(self.costs.names, self.costs.base, strict=True))
        }

    def affordable(self, choices: Sequence[int]) -> bool:
        """Whether the architecture is within every limit."""
        total = self.costs.total(choices)
        return all(total[name] <= limit for name, limit in self.limits.items())

    def sample(self, rng: np.random.Generator) -> Choices:
        """Draw an affordable architecture.

        Uniformly, by rejection.  Where affordable ones are rare, each layer is drawn
        uniformly among the choices that can still be completed (every affordable
        architecture can come up, but not equally often).
        """
        for _ in range(REJECTIONS):
            choices = tuple(map(int, rng.integers(self._sizes)))
            if self.affordable(choices):
                return choices
        return next(self._enumerate(rng))

    def enumerate_unseen(
        self, seen: Collection[Choices], rng: np.random.Generator | None = None
    ) -> Iterator[Choices]:
        """Yield every affordable architecture that is not in ``seen``, once.

        In lexicographic order, or in a random one with ``rng``.  Lazy: at most
        ``len(seen)`` others are skipped before the first.
        """
        return (choices for choices in self._enumerate(rng) if choices not in seen)

    def _enumerate(self, rng: np.random.Generator | None) -> Iterator[Choices]:
        """All affordable architectures, depth first, pruned exactly."""

        def complete(prefix: Choices, spent: Vector) -> Iterator[Choices]:
            depth = len(prefix)
            if depth == len(self._layers):
                yield prefix
                return
            count = len(self._layers[depth])
            for choice in range(count) if rng is None else map(int, rng.permutation(count)):
                total = _add(spent, self._layers[depth][choice])
                if self._completable(total, depth + 1):
                    yield from complete((*prefix, choice), total)

        return complete((), self._base)

    def _completable(self, spent: Vector, depth: int) -> bool:
        """Whether the layers from ``depth`` on can be chosen within what is left."""
        left = [limit - used for limit, used in zip(self.limits.values(), spent, strict=True)]
        return any(
            all(cost <= rest for cost, rest in zip(suffix, left, strict=True))
            for suffix in self._fronts[depth]
        )

    def _suffix_fronts(self) -> list[list[Vector]]:
        """For each depth, the non-dominated costs of the layers from there to the end."""
        fronts = [[(0,) * len(self._names)]]
        for layer in reversed(self._layers):
            fronts.append(minima(_add(choice, rest) for choice in layer for rest in fronts[-1]))
        return fronts[::-1]

    def _pick(self, vector: Vector) -> Vector:
        return tuple(vector[column] for column in self._columns)

    def _infeasible(self) -> str:
        asked = ", ".join(f"{name} <= {limit:,.12g}" for name, limit in self.limits.items())
        smallest = self.smallest()
        alone = ", ".join(f"{name} {smallest[name]:,}" for name in self._names)
        message = f"no architecture meets the budget {asked}; the smallest reachable is {alone}"
        if all(smallest[name] <= limit for name, limit in self.limits.items()):
            together = [
                " with ".join(
                    f"{name} {cost:,}"
                    for name, cost in zip(self._names, _add(self._base, suffix), strict=True)
                )
                for suffix in self._fronts[0]
            ]
            ends = together if len(together) < 3 else [together[0], together[-1]]
            message += f", but not together: {' or '.join(ends)}"
        return f"{message}; raise the limit"


def _add(a: Vector, b: Vector) -> Vector:
    return tuple(x + y for x, y in zip(a, b, strict=True))
