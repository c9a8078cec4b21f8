"""Children over the budget: repaired, or drawn again?  The best score at equal evaluations.

Random tables: costs add up, dearer choices tend to score more, successive layers interact.  Budgets
are as tight as the stated share of all architectures is affordable.  Both sides are the search as
it is, by one rate; on one side a child over the budget is mended first: layers in random order get
a cheaper choice, drawn evenly, until the budget holds.  Scores are shares of the range from the
best random architecture of a search's first generation to the best found by either side.

    python tools/repair_study.py --seeds 200 --jobs 2
"""

import argparse
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from nasgait.config.schema import SearchConfig
from nasgait.search.budget import Budget, Choices, Costs
from nasgait.search.evolution import Evolution
from nasgait.search.ledger import Ledger, LedgerEntry
from nasgait.search.selection import MatingPool
from nasgait.search.state import SearchState, search

Attempt = Callable[[], Choices]


class Repairing(Evolution):
    """The search, with children mended where they cost too much."""

    def _attempts(
        self, share: int, pool: MatingPool, rng: np.random.Generator
    ) -> Iterator[Attempt]:
        for attempt in super()._attempts(share, pool, rng):
            yield lambda attempt=attempt: repaired(attempt(), self.budget, rng)


def repaired(child: Choices, budget: Budget, rng: np.random.Generator) -> Choices:
    """The child with as few choices made cheaper, in random layers, as the budget asks for."""
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


class _Kept(Ledger):
    """A ledger without a file: what is written is not what is studied."""

    def append(self, entry: LedgerEntry) -> None:
        self._entries[entry.choices] = entry


def problem(
    seed: int, share: float, layers: int, choices: int, interaction: float = 1.0
) -> tuple[Budget, Callable[[Choices], float]]:
    """A table's budget, met by ``share`` of its architectures, and its scores.

    ``interaction`` is the standard deviation of what each pair of choices adds.
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


def best_of(
    kind: type[Evolution], budget: Budget, score: Callable[[Choices], float], seed: int
) -> tuple[float, float]:
    """The best score of the first generation and that of the whole search (550 evaluations)."""
    config = SearchConfig(max_epochs=10, batches_per_generation=1, lookahead=1)
    state = SearchState(kind(budget, config, seed), _Kept(Path("none"), []))
    result = search(state, lambda chunk: [(c, {"map": score(c)}, 0.0) for c in chunk], 50)
    first = max(entry.values["map"] for entry in result.generations[0].entries)
    return first, result.best.values["map"]


def outcome(seed: int, layers: int, choices: int, share: float) -> tuple[float, float]:
    """What either side reaches on one table: drawn again, repaired."""
    budget, score = problem(seed, share, layers, choices)
    start, plain = best_of(Evolution, budget, score, seed)
    _, mended = best_of(Repairing, budget, score, seed)
    reach = max(plain, mended) - start or 1.0
    return (plain - start) / reach, (mended - start) / reach


def line(name: str, pairs: list[tuple[float, float]]) -> str:
    """Means of both sides and the gain of the second over the first."""
    plain, mended = np.array(pairs).T
    gain = mended - plain
    error = 1.96 * gain.std(ddof=1) / len(gain) ** 0.5
    low, high = gain.mean() - error, gain.mean() + error
    return (
        f"{name} | {plain.mean():11.3f} {mended.mean():9.3f}"
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
