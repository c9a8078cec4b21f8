"""Search problems with known scores, made of choices as architectures are; a ledger in memory."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from nasgait.search.budget import Budget, Choices, Costs
from nasgait.search.hypervolume import hypervolume
from nasgait.search.ledger import Ledger, LedgerEntry

UNIT = 10**9
"""Costs are whole numbers."""


@dataclass(frozen=True)
class ToyProblem:
    """Additive costs from a table, metrics from a function."""

    name: str
    costs: Costs
    metrics: Callable[[Choices], tuple[float, ...]]
    """Larger is better; one for each of ``metric_names``."""
    reference: tuple[float, ...]
    """The worst values that count, all minimised: costs first, then negated metrics."""
    ideal: tuple[float, ...]
    metric_names: tuple[str, ...] = ("map",)

    def vector(self, choices: Choices) -> tuple[float, ...]:
        """All objectives, minimised."""
        costs = self.costs.total(choices).values()
        return (*(c / UNIT for c in costs), *(-metric for metric in self.metrics(choices)))

    def hypervolume_share(self, vectors: list[tuple[float, ...]]) -> float:
        """Hypervolume as a share of the box from the reference point to the ideal."""
        box = np.prod(np.subtract(self.reference, self.ideal))
        return hypervolume(vectors, self.reference) / float(box)


def zdt(name: str, layers: int = 10, choices: int = 11) -> ToyProblem:
    """A ZDT function (Zitzler, Deb, Thiele 2000) on a grid; its first variable is the cost."""
    grid = np.linspace(0, 1, choices)
    first = 1 - np.exp(-4 * grid) * np.sin(6 * np.pi * grid) ** 6 if name == "zdt6" else grid
    cost = tuple((round(float(value) * UNIT),) for value in first)
    rest = ((0,),) * choices

    def metrics(picked: Choices) -> tuple[float, ...]:
        x = grid[list(picked)]
        f, tail = float(first[picked[0]]), x[1:]
        if name == "zdt4":
            tail = 10 * tail - 5
            g = 1 + 10 * len(tail) + float(np.sum(tail**2 - 10 * np.cos(4 * np.pi * tail)))
        elif name == "zdt6":
            g = 1 + 9 * float(np.mean(tail)) ** 0.25
        else:
            g = 1 + 9 * float(np.mean(tail))
        if name in ("zdt1", "zdt4"):
            return (-g * (1 - (f / g) ** 0.5),)
        if name == "zdt3":
            return (-g * (1 - (f / g) ** 0.5 - f / g * np.sin(10 * np.pi * f)),)
        return (-g * (1 - (f / g) ** 2),)

    worst = {"zdt4": 200.0}.get(name, 10.0)
    ideal = (0.0, -1.0) if name == "zdt3" else (0.0, 0.0)
    return ToyProblem(name, Costs(("macs",), (0,), (cost, *(rest,) * (layers - 1))), metrics,
               (1.1, worst), ideal)  # fmt: skip


def table(seed: int, objectives: int, layers: int = 10, choices: int = 6) -> ToyProblem:
    """A random table: costs add up, cheaper choices tend to score less, layers interact."""
    rng = np.random.default_rng([seed, 77])
    names = ("macs", "params")[: objectives - 1]
    price = rng.gamma(2.0, 1.0, (layers, choices, len(names))) * UNIT
    single = rng.normal(size=(layers, choices)) + 0.5 * price[..., 0] / UNIT
    pairs = rng.normal(size=(layers - 1, choices, choices))
    costs = Costs(names, (0,) * len(names),
                  tuple(tuple(tuple(map(int, c)) for c in layer) for layer in price))  # fmt: skip

    def metrics(picked: Choices) -> tuple[float, ...]:
        value = sum(single[i, c] for i, c in enumerate(picked))
        value += sum(pairs[i, a, b] for i, (a, b) in enumerate(pairwise(picked)))
        return (float(value),)

    most = tuple(float(c) / UNIT for c in price.max(1).sum(0))
    least = tuple(float(c) / UNIT for c in price.min(1).sum(0))
    top = float(single.max(1).sum() + pairs.max((1, 2)).sum())
    return ToyProblem(f"table-{objectives}", costs, metrics, (*most, 0.0), (*least, -top))


def toys(seed: int) -> list[ToyProblem]:
    """Every problem; the tables are drawn anew for each seed."""
    return [*(zdt(f"zdt{n}") for n in (1, 2, 3, 4, 6)), table(seed, 2), table(seed, 3)]


def budgeted_table(
    seed: int, share: float, layers: int, choices: int, interaction: float = 1.0
) -> tuple[Budget, Callable[[Choices], float]]:
    """A random table's budget, which ``share`` of its architectures meets, and its scores.

    Costs add up, choices that cost more tend to score more, successive layers interact;
    ``interaction`` is the standard deviation of what each pair of successive choices adds.
    """
    rng = np.random.default_rng([seed, 5])
    prices = rng.gamma(2.0, 1e6, (layers, choices)).astype(int)
    single = rng.normal(size=(layers, choices)) + prices / 1e6
    pairs = interaction * rng.normal(size=(layers - 1, choices, choices))
    costs = Costs(("macs",), (0,), tuple(tuple((int(p),) for p in layer) for layer in prices))
    drawn = rng.integers(choices, size=(200_000, layers))
    totals = prices[np.arange(layers), drawn].sum(1)

    def score(picked: Choices) -> float:
        c = np.array(picked)
        both = pairs[np.arange(layers - 1), c[:-1], c[1:]]
        return float(single[np.arange(layers), c].sum() + both.sum())

    return Budget(costs, {"macs": float(np.quantile(totals, share))}), score


class MemoryLedger(Ledger):
    """A ledger without a file."""

    def append(self, entry: LedgerEntry) -> None:
        """Keep the entry in memory."""
        self._entries[entry.choices] = entry
