"""Repair children over the budget, or draw them again?  The best score at equal evaluations.

Problems are random tables whose budget the stated share of all architectures meets.  Both sides are
the search as it is, for one metric; one side first repairs a child over the budget: layers in
random order get a cheaper choice, drawn uniformly, until the child meets the budget.  A score is a
share of the range from the best of a search's random first generation to the best of either side.

    python tools/studies/repair.py --seeds 200 --jobs 2
"""

import argparse
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from problems import MemoryLedger, budgeted_table

from nasgait.config.schema import SearchConfig
from nasgait.search.budget import Budget, Choices
from nasgait.search.evolution import Evolution
from nasgait.search.selection import MatingPool
from nasgait.search.state import SearchState, search

Attempt = Callable[[], Choices]


class Repairing(Evolution):
    """The search, with children repaired where they exceed the budget."""

    def _attempts(
        self, share: int, pool: MatingPool, rng: np.random.Generator
    ) -> Iterator[Attempt]:
        for attempt in super()._attempts(share, pool, rng):
            yield lambda attempt=attempt: repaired(attempt(), self.budget, rng)


def repaired(child: Choices, budget: Budget, rng: np.random.Generator) -> Choices:
    """Make choices cheaper, in random layers, until the child meets the budget."""
    names = budget.costs.names
    for layer in map(int, rng.permutation(len(child))):
        total = budget.costs.total(child)
        over = [i for i, name in enumerate(names) if total[name] > budget.limits.get(name, np.inf)]
        if not over:
            break
        prices = budget.costs.layers[layer]
        now = prices[child[layer]]
        cheaper = [c for c, price in enumerate(prices) if all(price[i] < now[i] for i in over)]
        if cheaper:
            child = (*child[:layer], int(rng.choice(cheaper)), *child[layer + 1 :])
    return child


def best_of(
    kind: type[Evolution], budget: Budget, score: Callable[[Choices], float], seed: int
) -> tuple[float, float]:
    """The best score of the first generation and of the whole search (550 evaluations)."""
    config = SearchConfig(max_epochs=10, batches_per_generation=1, lookahead=1)
    state = SearchState(kind(budget, config, seed), MemoryLedger(Path("none"), []))
    result = search(state, lambda chunk: [(c, {"map": score(c)}, 0.0) for c in chunk], 50)
    first = max(entry.values["map"] for entry in result.generations[0].entries)
    return first, result.best.values["map"]


def outcome(seed: int, layers: int, choices: int, share: float) -> tuple[float, float]:
    """What each side reaches on one table: children drawn again, children repaired."""
    budget, score = budgeted_table(seed, share, layers, choices)
    start, plain = best_of(Evolution, budget, score, seed)
    _, with_repair = best_of(Repairing, budget, score, seed)
    reach = max(plain, with_repair) - start or 1.0
    return (plain - start) / reach, (with_repair - start) / reach


def line(name: str, pairs: list[tuple[float, float]]) -> str:
    """Means of both sides and the gain of the second over the first."""
    plain, with_repair = np.array(pairs).T
    gain = with_repair - plain
    error = 1.96 * gain.std(ddof=1) / len(gain) ** 0.5
    low, high = gain.mean() - error, gain.mean() + error
    return (
        f"{name} | {plain.mean():11.3f} {with_repair.mean():9.3f}"
        f"  {gain.mean():+.3f} ({low:+.3f} to {high:+.3f})"
        f"  {np.mean(gain > 0):.0%}/{np.mean(gain < 0):.0%}"
    )


def main() -> None:
    """Print, for each size and budget, the mean gain of repair with its 95 % interval."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    args = parser.parse_args()
    print("layers choices affordable | drawn again  repaired  gain (95 % interval)  better/worse")
    every = []
    with ProcessPoolExecutor(args.jobs) as pool:
        for layers, choices in ((10, 8), (20, 6), (6, 6)):
            for share in (0.05, 0.001):
                one = partial(outcome, layers=layers, choices=choices, share=share)
                pairs = list(pool.map(one, range(args.seeds)))
                every += pairs
                print(line(f"{layers:6} {choices:7} {share:10.1%}", pairs), flush=True)
    print(line(f"{'all of them':25}", every))


if __name__ == "__main__":
    main()
