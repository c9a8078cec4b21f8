"""NSGA-II of the search against pymoo's, by hypervolume at equal evaluations.

Problems are made of choices, as architectures are: the ZDT functions over a grid, and random tables
(additive costs, a rate with a main effect for each choice and an effect for each pair of successive
layers).  Both sides get the same number of evaluations, random population included; the hypervolume
is that of everything evaluated, as a share of the box between the problem's reference point and its
ideal.  pymoo runs twice: with its operators for whole numbers (SBX and polynomial mutation,
rounded) and with those for choices (uniform crossover and random reset); both drop duplicates.

    python tools/search_study.py --seeds 100 --jobs 2

needs pymoo, which ``pip install -e .[test]`` brings.
"""

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.problem import Problem
from pymoo.operators.crossover.sbx import SBX
from pymoo.operators.crossover.ux import UniformCrossover
from pymoo.operators.mutation.pm import PM
from pymoo.operators.mutation.rm import ChoiceRandomMutation
from pymoo.operators.repair.rounding import RoundingRepair
from pymoo.operators.sampling.rnd import IntegerRandomSampling
from pymoo.optimize import minimize

from nasgait.config.schema import SearchConfig
from nasgait.search.budget import Budget, Choices, Costs
from nasgait.search.evolution import Evolution
from nasgait.search.hypervolume import hypervolume
from nasgait.search.ledger import Ledger, LedgerEntry
from nasgait.search.state import SearchState, search

UNIT = 10**9  # costs are whole numbers


@dataclass(frozen=True)
class Toy:
    """A problem of choices: additive costs from a table, rates from a function."""

    name: str
    costs: Costs
    rates: Callable[[Choices], tuple[float, ...]]
    """Larger is better; one for each of ``rate_names``."""
    reference: tuple[float, ...]
    """The worst that counts, all minimised: first costs, then negated rates."""
    ideal: tuple[float, ...]
    rate_names: tuple[str, ...] = ("map",)

    def vector(self, choices: Choices) -> tuple[float, ...]:
        """All objectives, minimised."""
        costs = self.costs.total(choices).values()
        return (*(c / UNIT for c in costs), *(-rate for rate in self.rates(choices)))

    def covered(self, vectors: list[tuple[float, ...]]) -> float:
        """Hypervolume as a share of the box from the reference to the ideal."""
        box = np.prod(np.subtract(self.reference, self.ideal))
        return hypervolume(vectors, self.reference) / float(box)


def zdt(name: str, layers: int = 10, choices: int = 11) -> Toy:
    """A ZDT function (Zitzler, Deb, Thiele 2000) on a grid; its first variable is the cost."""
    grid = np.linspace(0, 1, choices)
    first = 1 - np.exp(-4 * grid) * np.sin(6 * np.pi * grid) ** 6 if name == "zdt6" else grid
    cost = tuple((round(float(value) * UNIT),) for value in first)
    rest = ((0,),) * choices

    def rates(picked: Choices) -> tuple[float, ...]:
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
    return Toy(name, Costs(("macs",), (0,), (cost, *(rest,) * (layers - 1))), rates,
               (1.1, worst), ideal)  # fmt: skip


def table(seed: int, objectives: int, layers: int = 10, choices: int = 6) -> Toy:
    """A random table: costs add up, cheaper choices tend to score less, neighbours interact."""
    rng = np.random.default_rng([seed, 77])
    names = ("macs", "params")[: objectives - 1]
    price = rng.gamma(2.0, 1.0, (layers, choices, len(names))) * UNIT
    single = rng.normal(size=(layers, choices)) + 0.5 * price[..., 0] / UNIT
    pairs = rng.normal(size=(layers - 1, choices, choices))
    costs = Costs(names, (0,) * len(names),
                  tuple(tuple(tuple(map(int, c)) for c in layer) for layer in price))  # fmt: skip

    def rates(picked: Choices) -> tuple[float, ...]:
        value = sum(single[i, c] for i, c in enumerate(picked))
        value += sum(pairs[i, a, b] for i, (a, b) in enumerate(pairwise(picked)))
        return (float(value),)

    most = tuple(float(c) / UNIT for c in price.max(1).sum(0))
    least = tuple(float(c) / UNIT for c in price.min(1).sum(0))
    top = float(single.max(1).sum() + pairs.max((1, 2)).sum())
    return Toy(f"table-{objectives}", costs, rates, (*most, 0.0), (*least, -top))


class Kept(Ledger):
    """A ledger without a file: what is written is not what is studied."""

    def append(self, entry: LedgerEntry) -> None:
        """Keep the entry in memory."""
        self._entries[entry.choices] = entry


def ours(
    toy: Toy,
    population: int,
    epochs: int,
    seed: int,
    batches: int = SearchConfig.batches_per_generation,
    lookahead: int = SearchConfig.lookahead,
) -> float:
    """The search's NSGA-II."""
    layers = len(toy.costs.layers)
    config = SearchConfig(
        population=population, mutations=population // 2, crossovers=population // 2,
        mutation_prob=1 / layers, max_epochs=epochs,
        batches_per_generation=batches, lookahead=lookahead,
        objectives=(*toy.rate_names, *toy.costs.names),
    )  # fmt: skip
    state = SearchState(Evolution(Budget(toy.costs), config, seed), Kept(Path("none"), []))
    result = search(
        state,
        lambda chunk: [
            (c, dict(zip(toy.rate_names, toy.rates(c), strict=True)), 0.0) for c in chunk
        ],
        chunk=population,
    )
    return toy.covered([toy.vector(entry.choices) for entry in result.ranking])


def pymoos(toy: Toy, population: int, epochs: int, seed: int, operators: str) -> float:
    """pymoo's NSGA-II on the same problem."""
    evaluated: list[tuple[float, ...]] = []

    class Choice(Problem):
        def __init__(self) -> None:
            upper = np.array(toy.costs.choices) - 1
            super().__init__(len(upper), len(toy.reference), xl=0 * upper, xu=upper, vtype=int)

        def _evaluate(self, x: np.ndarray, out: dict, *args: object, **keywords: object) -> None:
            vectors = [toy.vector(tuple(map(int, row))) for row in x]
            evaluated.extend(vectors)
            out["F"] = np.array(vectors)

    rounding = RoundingRepair()
    crossover, mutation = {
        "whole numbers": (
            SBX(prob=1.0, eta=3.0, vtype=float, repair=rounding),
            PM(prob=1.0, eta=3.0, vtype=float, repair=rounding),
        ),
        "choices": (UniformCrossover(), ChoiceResets()),
    }[operators]
    algorithm = NSGA2(population, sampling=IntegerRandomSampling(), crossover=crossover,
                      mutation=mutation, eliminate_duplicates=True)  # fmt: skip
    total = population * (1 + epochs)
    minimize(Choice(), algorithm, ("n_eval", total), seed=seed)
    return toy.covered(evaluated[:total])


class ChoiceResets(ChoiceRandomMutation):
    """Redraw each layer with chance 1 / layers, as the search does."""

    def _do(self, problem: Problem, x: np.ndarray, random_state: np.random.Generator,
            **keywords: object) -> np.ndarray:  # fmt: skip
        redraw = random_state.random(x.shape) < 1 / problem.n_var
        return np.where(redraw, random_state.integers(0, problem.xu + 1, x.shape), x)


ARMS: dict[str, Callable[[Toy, int, int, int], float]] = {
    "ours, 1 batch, lookahead 1": lambda *a: ours(*a, batches=1, lookahead=1),
    "ours, 2 batches, lookahead 2": lambda *a: ours(*a, batches=2, lookahead=2),
    "ours, 5 batches, lookahead 3": lambda *a: ours(*a, batches=5, lookahead=3),
    "pymoo, whole numbers": lambda *a: pymoos(*a, operators="whole numbers"),
    "pymoo, choices": lambda *a: pymoos(*a, operators="choices"),
}


def toys(seed: int) -> list[Toy]:
    """Every problem; the tables are drawn anew for each seed."""
    return [*(zdt(f"zdt{n}") for n in (1, 2, 3, 4, 6)), table(seed, 2), table(seed, 3)]


def outcome(seed: int, population: int, epochs: int) -> dict[str, dict[str, float]]:
    """Hypervolumes by problem and arm, for one seed."""
    return {
        toy.name: {arm: run(toy, population, epochs, seed) for arm, run in ARMS.items()}
        for toy in toys(seed)
    }


def main() -> None:
    """Print a table of the mean and of the seeds won against the better pymoo."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--population", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=10, help="generations after the first")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    args = parser.parse_args()
    began = time.perf_counter()
    with ProcessPoolExecutor(args.jobs) as pool:
        one = partial(outcome, population=args.population, epochs=args.epochs)
        outcomes = list(pool.map(one, range(args.first, args.first + args.seeds)))
    found = {
        problem: {arm: [o[problem][arm] for o in outcomes] for arm in ARMS}
        for problem in outcomes[0]
    }
    print(f"hypervolume, {args.seeds} seeds, {args.population * (1 + args.epochs)} evaluations")
    print("mean, difference to the pymoo with the better mean (95 % interval), seeds not below it")
    for problem, arms in found.items():
        rival = max((a for a in arms if a.startswith("pymoo")), key=lambda a: np.mean(arms[a]))
        print(problem)
        for arm, values in arms.items():
            gain = np.array(values) - np.array(arms[rival])
            error = 1.96 * gain.std(ddof=1) / len(gain) ** 0.5
            print(
                f"  {arm:24} {np.mean(values):.4f}  {gain.mean():+.4f} +- {error:.4f}"
                f"  {np.mean(gain >= -1e-12):.0%}"
            )
    print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
