"""Evaluations that the search needs with its predictor, against those it needs without.

Both sides are the search as it is, from the same seeds; the target is the best score, or the
hypervolume where there are several objectives, that the search without the predictor ends with.
It reaches that by its last new find; the predictor's side is counted until it has as much, or as
"never" within the same budget, so the ratio favours the search without.  Problems are those of
search_study.py, the random tables of repair_study.py and, from the ledger of a search that scored
a whole space, real scores:

    nasgait search --config demo --supernet CKPT --out all search.population=216 search.max_epochs=0
    python tools/predictor_study.py --seeds 50 --ledger all/ledger.jsonl
"""

import argparse
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import repair_study
import search_study

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
    """What is searched, how, and how far a search has come."""

    name: str
    budget: Budget
    config: SearchConfig
    rate: Callable[[Choices], float]
    reached: Reached


def best(entries: Sequence[LedgerEntry]) -> float:
    """The best score."""
    return max(entry.values["map"] for entry in entries)


def toy_problems(seed: int) -> list[Problem]:
    """For several objectives: those of search_study.py, in the same numbers."""

    def problem(toy: search_study.Toy) -> Problem:
        config = SearchConfig(
            population=40, mutations=20, crossovers=20, mutation_prob=1 / len(toy.costs.layers),
            max_epochs=10, objectives=(*toy.rate_names, *toy.costs.names),
        )  # fmt: skip

        def covered(entries: Sequence[LedgerEntry]) -> float:
            return toy.covered([toy.vector(entry.choices) for entry in entries])

        return Problem(
            toy.name, Budget(toy.costs), config, lambda choices: toy.rates(choices)[0], covered
        )

    return [problem(toy) for toy in search_study.toys(seed)]


def table_problems(seed: int) -> list[Problem]:
    """For one rate within a budget that one architecture in twenty meets: random tables."""
    found = []
    for layers, choices, interaction in ((10, 8, 1.0), (20, 6, 1.0), (10, 8, 3.0)):
        name = f"{layers} layers of {choices}, pairs x{interaction:g}"
        budget, score = repair_study.problem(seed, 0.05, layers, choices, interaction)
        found.append(Problem(name, budget, SearchConfig(max_epochs=10), score, best))
    return found


def scored_problems(ledger: Path) -> list[Problem]:
    """For one rate and for two objectives, as the demo searches: a space that was scored."""
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
    """What a search scores, in order."""
    evolution = Evolution(problem.budget, replace(problem.config, candidates=candidates), seed)
    state = SearchState(evolution, search_study.Kept(Path("none"), []))
    chunk = problem.config.population
    search(state, lambda some: [(c, {"map": problem.rate(c)}, 0.0) for c in some], chunk)
    return state.ledger.entries


def needed(entries: Sequence[LedgerEntry], target: float, reached: Reached) -> float:
    """The entries, from the first, that reach the target; infinite if all do not."""
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
    """By problem: entries, those needed without and with the predictor, and the final gain."""
    found = {}
    for problem in problems(seed):
        plain, led = (searched(problem, seed, count) for count in (1, candidates))
        target = problem.reached(plain)
        counts = [needed(entries, target, problem.reached) for entries in (plain, led)]
        found[problem.name] = [len(plain), *counts, problem.reached(led) - target]
    return found


def line(name: str, rows: list[list[float]]) -> str:
    """A row of the table: medians, the ratio's with its interval by bootstrap over the seeds."""
    total, plain, led, gain = np.array(rows).T
    ratio = led / plain
    draws = np.random.default_rng(0).integers(len(ratio), size=(4000, len(ratio)))
    medians = np.sort(np.quantile(ratio[draws], 0.5, axis=1, method="higher"))
    error = 1.96 * gain.std(ddof=1) / len(gain) ** 0.5
    return (
        f"| {name} | {np.median(total):.0f} | {np.median(plain):.0f} | {np.median(led):.0f} "
        f"| {np.median(ratio):.2f} ({medians[100]:.2f} to {medians[-101]:.2f}) "
        f"| {np.isinf(led).mean():.0%} | {gain.mean():+.4f} +- {error:.4f} |"
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
