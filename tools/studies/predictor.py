"""Count the evaluations that the search needs with its predictor, and without.

Both sides are the search as it is, from the same seeds.  The target is what the search without the
predictor ends with: its best score or, with several objectives, its hypervolume.  Both sides are
counted until they reach the target; with the predictor a search may never do so within the same
number of evaluations, so the ratio favours the search without.  Problems are those of search.py and
repair.py and, from the ledger of a search that scored a whole space, real scores:

    nasgait search --config demo --supernet CKPT --out all search.population=216 search.max_epochs=0
    python tools/studies/predictor.py --seeds 50 --ledger all/ledger.jsonl
"""

import argparse
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from problems import MemoryLedger, ToyProblem, budgeted_table, toys

from nasgait.config.load import load_config
from nasgait.config.schema import SearchConfig
from nasgait.search.budget import Budget, Choices
from nasgait.search.evolution import Evolution
from nasgait.search.hypervolume import hypervolume
from nasgait.search.ledger import LedgerEntry, read_ledger
from nasgait.search.state import SearchState, search
from search_spaces import load_space
from supernet.search import evolution_of

Reached = Callable[[Sequence[LedgerEntry]], float]


@dataclass(frozen=True)
class Problem:
    """What is searched, how, and the measure of progress."""

    name: str
    budget: Budget
    config: SearchConfig
    score: Callable[[Choices], float]
    reached: Reached


def best(entries: Sequence[LedgerEntry]) -> float:
    """The best score."""
    return max(entry.values["map"] for entry in entries)


def toy_problems(seed: int) -> list[Problem]:
    """Problems of several objectives: those of search.py, with the same population."""

    def problem(toy: ToyProblem) -> Problem:
        config = SearchConfig(
            population=40, mutations=20, crossovers=20, mutation_prob=1 / len(toy.costs.layers),
            max_epochs=10, objectives=(*toy.metric_names, *toy.costs.names),
        )  # fmt: skip

        def covered(entries: Sequence[LedgerEntry]) -> float:
            return toy.hypervolume_share([toy.vector(entry.choices) for entry in entries])

        return Problem(
            toy.name, Budget(toy.costs), config, lambda choices: toy.metrics(choices)[0], covered
        )

    return [problem(toy) for toy in toys(seed)]


def table_problems(seed: int) -> list[Problem]:
    """Problems of one metric: random tables with a budget that one architecture in twenty meets."""
    found = []
    for layers, choices, interaction in ((10, 8, 1.0), (20, 6, 1.0), (10, 8, 3.0)):
        name = f"{layers} layers of {choices}, pairs x{interaction:g}"
        budget, score = budgeted_table(seed, 0.05, layers, choices, interaction)
        found.append(Problem(name, budget, SearchConfig(max_epochs=10), score, best))
    return found


def scored_problems(ledger: Path) -> list[Problem]:
    """Problems of one and of two objectives: the demo's search in a space that was scored."""
    config = load_config("demo")
    scores = {entry.choices: entry.values["map"] for entry in read_ledger(ledger)}
    search_of_demo = evolution_of(config, load_space(str(config.space)))
    budget, one = search_of_demo.budget, search_of_demo.config
    limit = budget.limits["macs"]

    def covered(entries: Sequence[LedgerEntry]) -> float:
        vectors = [(-e.values["map"] / 100, e.values["macs"] / limit) for e in entries]
        return hypervolume(vectors, (0.0, 1.0))

    name = f"{config.space}, scored"
    both = replace(one, objectives=("map", "macs"))
    return [
        Problem(name, budget, one, scores.__getitem__, best),
        Problem(f"{name}, 2 objectives", budget, both, scores.__getitem__, covered),
    ]


def searched(problem: Problem, seed: int, candidates: int) -> list[LedgerEntry]:
    """Run a search; what it scores, in order."""
    evolution = Evolution(problem.budget, replace(problem.config, candidates=candidates), seed)
    state = SearchState(evolution, MemoryLedger(Path("none"), []))
    chunk = problem.config.population
    search(state, lambda some: [(c, {"map": problem.score(c)}, 0.0) for c in some], chunk)
    return state.ledger.entries


def needed(entries: Sequence[LedgerEntry], target: float, reached: Reached) -> float:
    """How many entries, from the first, reach the target; infinite where all do not."""
    enough = target - 1e-9 * abs(target)
    if reached(entries) < enough:
        return np.inf
    few, many = 0, len(entries)
    while many - few > 1:
        middle = (few + many) // 2
        if reached(entries[:middle]) >= enough:
            many = middle
        else:
            few = middle
    return many


def outcome(
    seed: int, candidates: int, problems: Callable[[int], list[Problem]]
) -> dict[str, list[float]]:
    """By problem: entries, entries needed without and with the predictor, and the final gain."""
    found = {}
    for problem in problems(seed):
        without, assisted = (searched(problem, seed, count) for count in (1, candidates))
        target = problem.reached(without)
        counts = [needed(entries, target, problem.reached) for entries in (without, assisted)]
        found[problem.name] = [len(without), *counts, problem.reached(assisted) - target]
    return found


def line(name: str, rows: list[list[float]]) -> str:
    """A row of the table: medians, the ratio's with its interval by bootstrap over the seeds."""
    total, without, assisted, gain = np.array(rows).T
    ratio = assisted / without
    draws = np.random.default_rng(0).integers(len(ratio), size=(4000, len(ratio)))
    medians = np.sort(np.quantile(ratio[draws], 0.5, axis=1, method="higher"))
    error = 1.96 * gain.std(ddof=1) / len(gain) ** 0.5
    return (
        f"| {name} | {np.median(total):.0f} | {np.median(without):.0f} | {np.median(assisted):.0f} "
        f"| {np.median(ratio):.2f} ({medians[100]:.2f} to {medians[-101]:.2f}) "
        f"| {np.isinf(assisted).mean():.0%} | {gain.mean():+.4f} +- {error:.4f} |"
    )


def main() -> None:
    """Print a row for each problem."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--candidates", type=int, default=8)
    parser.add_argument("--ledger", type=Path, help="of a search that scored a whole space")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    args = parser.parse_args()
    groups: list[Callable[[int], list[Problem]]] = [toy_problems, table_problems]
    if args.ledger is not None:
        scored = scored_problems(args.ledger)
        groups.insert(0, lambda seed: scored)
    print("problem, evaluations, needed without, with, ratio (95 %), never, gain at the end")
    for problems in groups:
        one = partial(outcome, candidates=args.candidates, problems=problems)
        if args.jobs == 1:
            outcomes = [one(seed) for seed in range(args.seeds)]
        else:
            with ProcessPoolExecutor(args.jobs) as pool:
                outcomes = list(pool.map(one, range(args.seeds)))
        for name in outcomes[0]:
            print(line(name, [found[name] for found in outcomes]), flush=True)


if __name__ == "__main__":
    main()
