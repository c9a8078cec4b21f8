"""Simulate racing: what does dropping architectures early save, and is the result the same?

Every architecture of a small space is embedded once, which gives a table of exact scores.  Searches
then run on the table twice from the same seeds: with whole scores, and with each chunk scored first
on a quarter, then on half of the identities, in an order drawn for each seed.  After each stage an
architecture is dropped if it is worse than the last parent on the same identities, with the stated
one-sided confidence (t interval of the paired differences of each identity's mean average
precision).  Its score is then that of the parent less the difference, and it does not breed.

    nasgait supernet --config demo --out SUPERNET
    python tools/studies/racing.py --config demo --supernet SUPERNET/checkpoints/step-002000.pt
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
import torch
from problems import MemoryLedger
from scipy.stats import t as student

from nasgait.config.load import load_config
from nasgait.data.split import split_as
from nasgait.data.store import GaitStore
from nasgait.evaluation.distance import blocks
from nasgait.evaluation.metrics import retrieve
from nasgait.search.budget import Choices
from nasgait.search.evolution import Evolution
from nasgait.search.state import SearchState, search
from search_spaces import load_space
from supernet.scoring.scorer import Scorer
from supernet.search import evolution_of
from supernet.weights import load_supernet


@dataclass(frozen=True)
class Table:
    """Distances between all scored sequences, [n, n] for each architecture, and labels [n]."""

    distances: dict[Choices, np.ndarray]
    labels: np.ndarray

    @cached_property
    def whole(self) -> dict[Choices, float]:
        """Each architecture's score: mAP on all identities, in percent."""
        square, names = self.distances, self.labels
        return {c: 100 * retrieve(square[c], names, names, True).ap.mean() for c in square}

    def by_identity(self, choices: Choices, identities: np.ndarray) -> np.ndarray:
        """Mean average precision of each of these identities, in percent, with no others around."""
        among = np.isin(self.labels, identities)
        square, names = self.distances[choices][np.ix_(among, among)], self.labels[among]
        codes = np.unique(names, return_inverse=True)[1]
        return (
            100 * np.bincount(codes, retrieve(square, names, names, True).ap) / np.bincount(codes)
        )


def scored_table(config_name: str, supernet: str) -> Table:
    """Embed with every architecture of the configuration's space, as the search would."""
    config = load_config(config_name)
    store, metric = GaitStore.open(config.data.store), config.evaluation.metric
    weights = load_supernet(supernet, str(config.space))
    scorer = Scorer(config, weights, store, split_as(store, config.data), torch.device("cpu"))
    every = list(product(*map(range, weights.space.choices)))
    distances = {}
    for start in range(0, len(every), 36):
        distances |= {c: np.concatenate([d for _, d in blocks(e, e, metric)])
                      for c, e in scorer.embed(every[start : start + 36])}  # fmt: skip
    return Table(distances, np.array(scorer.labels))


class Race:
    """Score the chunks of a search in stages.

    ``spent`` and ``asked`` count layers, computed and asked for: one for all scored sequences and
    all architectures with the same prefix.
    """

    def __init__(self, table: Table, evolution: Evolution, confidence: float) -> None:
        self.table, self.parents = table, evolution.config.top_k
        self.confidence = confidence
        self.order = np.random.default_rng([evolution.seed, 9]).permutation(np.unique(table.labels))
        self.whole: list[tuple[float, Choices]] = []
        self.spent = self.asked = 0.0

    def score_all(self, chunk: Sequence[Choices]) -> list[tuple[Choices, dict[str, float], float]]:
        """Score as a search expects: choices, metrics, seconds (none)."""
        last = sorted(self.whole)[-self.parents] if len(self.whole) >= self.parents else None
        alive, scores, begun = list(chunk), {}, 0.0
        for stage in (0.25, 0.5):
            self.spent += layers_of(alive) * (stage - begun)
            begun = stage
            for choices in list(alive) if last else ():
                behind, significant = self._behind(choices, last[1], stage)
                if significant:
                    alive.remove(choices)
                    scores[choices] = last[0] - behind
        self.spent += layers_of(alive) * (1 - begun)
        self.asked += layers_of(chunk)
        scores |= {choices: self.table.whole[choices] for choices in alive}
        self.whole += [(scores[choices], choices) for choices in alive]
        return [(choices, {"map": scores[choices]}, 0.0) for choices in chunk]

    def _behind(self, choices: Choices, parent: Choices, stage: float) -> tuple[float, bool]:
        """How much worse than a parent an architecture is, and whether that is significant."""
        some = self.order[: round(stage * len(self.order))]
        lead = self.table.by_identity(parent, some) - self.table.by_identity(choices, some)
        error = lead.std(ddof=1) / len(lead) ** 0.5
        return lead.mean(), lead.mean() > student.ppf(self.confidence, len(lead) - 1) * error


def layers_of(architectures: Sequence[Choices]) -> int:
    """Layers to compute when architectures share common prefixes."""
    return len({path[: i + 1] for path in architectures for i in range(len(path))})


def main() -> None:
    """Print a row for each confidence."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="demo")
    parser.add_argument("--supernet", required=True)
    parser.add_argument("--seeds", type=int, default=100)
    args = parser.parse_args()
    config = load_config(args.config)
    table = scored_table(args.config, args.supernet)
    settings, chunk = evolution_of(config, load_space(str(config.space))), config.search.chunk
    n = len(table.labels)
    print("confidence, layers saved in scoring, with 64 and 128 calibration sequences, same, gain")
    for confidence in (0.99, 0.95, 0.9, 0.8):
        rows = []
        for seed in range(args.seeds):
            evolution = Evolution(settings.budget, settings.config, seed)
            races = [Race(table, evolution, sure) for sure in (1.0, confidence)]
            whole, raced = (
                search(SearchState(evolution, MemoryLedger("none", [])), race.score_all, chunk)
                for race in races
            )
            gain = raced.best.values["map"] - whole.best.values["map"]
            same = raced.best.choices == whole.best.choices
            rows.append((1 - races[1].spent / races[1].asked, same, gain))
        saved, same, gain = np.mean(rows, axis=0)
        errors = 1.96 * np.std(rows, axis=0, ddof=1) / args.seeds**0.5
        shares = " ".join(f"{saved * n / (n + count):.1%}" for count in (64, 128))
        print(f"{confidence:.0%} | {saved:.1%} +- {errors[0]:.1%} | {shares} | {same:.0%} "
              f"| {gain:+.3f} +- {errors[2]:.3f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
