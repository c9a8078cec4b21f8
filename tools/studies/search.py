"""Compare the search's NSGA-II with pymoo's, by hypervolume at equal evaluations.

Problems are made of choices, as architectures are: the ZDT functions on a grid, and random tables
(additive costs; a metric with a main effect for each choice and an effect for each pair of choices
in successive layers).  Both sides get the same number of evaluations, the random population
included.  The hypervolume is that of everything evaluated, as a share of the box between the
problem's reference point and its ideal.  pymoo runs twice: with its operators for integers (SBX and
polynomial mutation, rounded) and with those for choices (uniform crossover and random reset).

    python tools/studies/search.py --seeds 100 --jobs 2

It needs pymoo: ``pip install -e .[test]``.
"""

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from problems import MemoryLedger, ToyProblem, toys
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
from nasgait.search.budget import Budget
from nasgait.search.evolution import Evolution
from nasgait.search.state import SearchState, search


def run_ours(
    toy: ToyProblem,
    population: int,
    epochs: int,
    seed: int,
    batches: int = SearchConfig.batches_per_generation,
    lookahead: int = SearchConfig.lookahead,
) -> float:
    """Run the search's NSGA-II; the hypervolume share that it reaches."""
    layers = len(toy.costs.layers)
    config = SearchConfig(
        population=population, mutations=population // 2, crossovers=population // 2,
        mutation_prob=1 / layers, max_epochs=epochs,
        batches_per_generation=batches, lookahead=lookahead,
        objectives=(*toy.metric_names, *toy.costs.names),
    )  # fmt: skip
    state = SearchState(Evolution(Budget(toy.costs), config, seed), MemoryLedger(Path("none"), []))
    result = search(
        state,
        lambda chunk: [
            (c, dict(zip(toy.metric_names, toy.metrics(c), strict=True)), 0.0) for c in chunk
        ],
        chunk=population,
    )
    return toy.hypervolume_share([toy.vector(entry.choices) for entry in result.ranking])


def run_pymoo(toy: ToyProblem, population: int, epochs: int, seed: int, operators: str) -> float:
    """Run pymoo's NSGA-II on the same problem; the hypervolume share that it reaches."""
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
        "integers": (
            SBX(prob=1.0, eta=3.0, vtype=float, repair=rounding),
            PM(prob=1.0, eta=3.0, vtype=float, repair=rounding),
        ),
        "choices": (UniformCrossover(), ChoiceResets()),
    }[operators]
    algorithm = NSGA2(population, sampling=IntegerRandomSampling(), crossover=crossover,
                      mutation=mutation, eliminate_duplicates=True)  # fmt: skip
    total = population * (1 + epochs)
    minimize(Choice(), algorithm, ("n_eval", total), seed=seed)
    return toy.hypervolume_share(evaluated[:total])


class ChoiceResets(ChoiceRandomMutation):
    """Redraw each layer with probability 1 / layers, as the search does."""

    def _do(self, problem: Problem, x: np.ndarray, random_state: np.random.Generator,
            **keywords: object) -> np.ndarray:  # fmt: skip
        redraw = random_state.random(x.shape) < 1 / problem.n_var
        return np.where(redraw, random_state.integers(0, problem.xu + 1, x.shape), x)


ARMS: dict[str, Callable[[ToyProblem, int, int, int], float]] = {
    "ours, 1 batch, lookahead 1": lambda *a: run_ours(*a, batches=1, lookahead=1),
    "ours, 2 batches, lookahead 2": lambda *a: run_ours(*a, batches=2, lookahead=2),
    "ours, 5 batches, lookahead 3": lambda *a: run_ours(*a, batches=5, lookahead=3),
    "pymoo, integers": lambda *a: run_pymoo(*a, operators="integers"),
    "pymoo, choices": lambda *a: run_pymoo(*a, operators="choices"),
}


def outcome(seed: int, population: int, epochs: int) -> dict[str, dict[str, float]]:
    """Hypervolumes by problem and arm, for one seed."""
    return {
        toy.name: {arm: run(toy, population, epochs, seed) for arm, run in ARMS.items()}
        for toy in toys(seed)
    }


def main() -> None:
    """Print each mean, and how often it is no worse than the better pymoo."""
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
    print("mean, gain over the pymoo with the better mean (95 % interval), seeds not below it")
    for problem, arms in found.items():
        rival = max((a for a in arms if a.startswith("pymoo")), key=lambda a: np.mean(arms[a]))
        print(problem)
        for arm, values in arms.items():
            gain = np.array(values) - np.array(arms[rival])
            error = 1.96 * gain.std(ddof=1) / len(gain) ** 0.5
            print(
                f"  {arm:28} {np.mean(values):.4f}  {gain.mean():+.4f} +- {error:.4f}"
                f"  {np.mean(gain >= -1e-12):.0%}"
            )
    print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
