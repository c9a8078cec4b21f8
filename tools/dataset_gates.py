"""Measure the gates of the embedded dataset: is it a fair and useful exam for gait networks?

    python tools/dataset_gates.py [--preset wild-mini] [--store DIR] [--steps 1000] [--seeds 2]

All figures are rank-1 in percent, leave-one-out among the test identities in disjoint galleries
of 20.  Measured are metadata alone (length, strides per second, area), the nearest mean
silhouette, and a nano network trained on the train and search-val identities, once on ordered
and once on shuffled frames.  One JSON object on stdout; progress on stderr.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from nasgait.config.schema import (
    AugmentConfig,
    BatchConfig,
    CrossEntropyConfig,
    LossConfig,
    OptimizerConfig,
    ScheduleConfig,
    TrainConfig,
)
from nasgait.core.distributed import World
from nasgait.core.rng import generator
from nasgait.data.loader import TrainLoader
from nasgait.data.split import Split, split
from nasgait.data.store import GaitStore
from nasgait.data.synthetic.dataset import VERSION, recorded_walk, write_dataset
from nasgait.data.synthetic.population import PRESETS, identity_of, recordings
from nasgait.data.transforms import fit
from nasgait.evaluation.distance import distances
from nasgait.evaluation.embed import embed
from nasgait.evaluation.evaluation_set import evaluation_set
from nasgait.evaluation.protocols import PROTOCOLS
from nasgait.training.loop import Training, train_step
from search_spaces import load_space

GALLERY_IDS = 20


class ShuffledStore:
    """A store whose frames come in random order, the same at every reading."""

    def __init__(self, store: GaitStore) -> None:
        self.sequences, self.size, self._store = store.sequences, store.size, store

    def read(self, i: int, frames: np.ndarray) -> np.ndarray:
        """Read ``frames`` of sequence ``i``, shuffled: uint8 [len(frames), h, w]."""
        return self._store.read(i, generator(0, "shuffle", i).permutation(frames))


def recipe(steps: int, order: str) -> TrainConfig:
    """The recipe of the network: AdamW, one cycle, batches of 8 x 4 clips of 16 frames."""
    return TrainConfig(
        steps=steps,
        batch=BatchConfig(ids=8, seqs=4, frames=16, order=order),  # type: ignore[arg-type]
        loss=LossConfig(cross_entropy=CrossEntropyConfig(weight=1.0)),
        optimizer=OptimizerConfig(kind="adamw", lr=3e-3, weight_decay=1e-2, clip_norm=1.0),
        schedule=ScheduleConfig(kind="one-cycle", warmup=steps // 4, final=0.01),
        augment=AugmentConfig(flip=0.5),
    )


def train(
    store: GaitStore, members: list[int], arch: str, config: TrainConfig, seed: int
) -> torch.nn.Module:
    """Train a network of the nano space."""
    torch.manual_seed(seed)
    space = load_space("nano")
    loader = TrainLoader(store, members, config.batch, config.augment, space.size, seed)
    model = space.build(space.parse(arch), num_classes=loader.classes)
    training = Training(model, config, World(0, 1, torch.device("cpu")))
    model.train()
    bar = tqdm(loader.stream(0, config.steps), f"{config.batch.order} {seed}", config.steps)
    for batch in bar:
        train_step(training, batch, None)
    return model


class Exam:
    """The test sequences and the rates of embeddings on them."""

    def __init__(self, store: GaitStore, parts: Split) -> None:
        self.store, self.test = store, parts.test
        rows = [store.sequences[i] for i in parts.test]
        self.labels = [row.label for row in rows]
        self.types, self.views = [row.type for row in rows], [row.view for row in rows]
        self.kin = np.array([identity_of(label).kin for label in self.labels])
        self.pair = np.array([identity_of(label).number // 2 for label in self.labels])

    def rates(self, embeddings: np.ndarray) -> dict[str, float]:
        """Rank-1 and mAP over all, rank-1 of each kin, and of body twins against the twin alone."""
        known = (embeddings, self.labels, self.types, self.views)
        outcome = PROTOCOLS["leave-one-out"].evaluate(
            evaluation_set(*known, gallery_ids=GALLERY_IDS)
        )
        assert len(outcome.probes) == len(self.test)
        hits = outcome.retrieval.first_hit == 0
        result = {"rank1": hits.mean(), "map": outcome.retrieval.ap.mean()}
        for kin in ("body-twin", "dynamics-twin", "single"):
            result[f"rank1 {kin}"] = hits[self.kin == kin].mean()
        result["body-twin pair"] = self._pairs(embeddings)
        return {name: round(100 * float(value), 2) for name, value in result.items()}

    def _pairs(self, embeddings: np.ndarray) -> float:
        """Share of body twins' sequences nearest to one of their own, not of their twin's."""
        labels = np.array(self.labels)
        hits = []
        for pair in np.unique(self.pair[self.kin == "body-twin"]):
            members = np.flatnonzero(self.pair == pair)
            between = distances(embeddings[members], embeddings[members], "euc")
            np.fill_diagonal(between, np.inf)
            hits.append(labels[members[between.argmin(1)]] == labels[members])
        return float(np.concatenate(hits).mean())


def mean_silhouettes(exam: Exam) -> np.ndarray:
    """Embeddings [n, pixels, 1]: the mean frame of every test sequence at the network's input."""
    means = [fit(exam.store[i][None], (64, 44))[0].mean(0).numpy().ravel() for i in exam.test]
    return np.stack(means)[:, :, None].astype(np.float32)


def metadata(store: GaitStore, preset: str, chosen: list[int]) -> np.ndarray:
    """Log length, log strides per second (the true ones) and log area of sequences [n, 3]."""
    made = store.meta["synthetic"]
    plan = recordings(PRESETS[preset], made["ids"], made["seqs"], made["seed"])
    walks = {(r.identity.label, r.type): r for r in plan}
    rows = []
    for i in chosen:
        sequence = store.sequences[i]
        recording = walks[sequence.label, sequence.type]
        walk = recorded_walk(recording, PRESETS[preset].wild, made["seed"])
        area = (store[i] > 127).mean()
        rows.append([sequence.length, walk.pace * walk.dynamics.cadence, area])
    return np.log(np.array(rows))


def classify_metadata(exam: Exam, preset: str, parts: Split) -> np.ndarray:
    """Embed metadata by Fisher's discriminant, learnt on the train and search-val identities."""
    members = parts.train + parts.search_val
    known, asked = (metadata(exam.store, preset, chosen) for chosen in (members, exam.test))
    labels = np.array([exam.store.sequences[i].label for i in members])
    within = np.concatenate([known[labels == n] - known[labels == n].mean(0) for n in set(labels)])
    values, vectors = np.linalg.eigh(np.cov(within.T))
    means = np.stack([known[labels == n].mean(0) for n in set(labels)])
    white = vectors / np.sqrt(values)
    # Weigh each direction by how far identities lie apart in it.
    apart, turn = np.linalg.eigh(np.cov((means @ white).T))
    return (asked @ white @ turn * np.sqrt(apart)).astype(np.float32)[:, :, None]


def measure(store: GaitStore, preset: str, arch: str, steps: int, seeds: int) -> dict[str, object]:
    """All figures of the card."""
    parts = split(store, 0, 0)
    exam, members = Exam(store, parts), parts.train + parts.search_val
    size = load_space("nano").size
    networks: dict[str, list[dict[str, float]]] = {}
    seconds = []
    for seed in range(seeds):
        for order in ("ordered", "unordered"):
            began = time.perf_counter()
            model = train(store, members, arch, recipe(steps, order), seed)
            seconds.append(time.perf_counter() - began)
            shuffled = ShuffledStore(store)
            views = {"shuffled frames": shuffled}
            if order == "ordered":
                views = {"ordered frames": store} | views
            for name, seen in views.items():
                found = embed(model, seen, exam.test, size, precision="bfloat16")  # type: ignore
                networks.setdefault(f"trained {order}, {name}", []).append(exam.rates(found))
    return {
        "generator": VERSION, "preset": preset, "arch": arch, "steps": steps, "seeds": seeds,
        "gallery_ids": GALLERY_IDS, "threads": torch.get_num_threads(),
        "seconds": [round(s) for s in seconds],
        "chance": chance(exam),
        "metadata": exam.rates(classify_metadata(exam, preset, parts))["rank1"],
        "mean silhouette": exam.rates(mean_silhouettes(exam))["rank1"],
        "networks": networks,
    }  # fmt: skip


def chance(exam: Exam) -> float:
    """Rank-1 of guessing, in percent."""
    return round(100 * 5 / (GALLERY_IDS * 6 - 1), 2)


def main() -> None:
    """Parse arguments, make the store if it is not there, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--preset", choices=("wild-mini", "wild"), default="wild-mini")
    parser.add_argument("--store", type=Path, help="made if it is not there")
    parser.add_argument("--arch", default="nano:0-5-5-5")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as spare:
        path = args.store or Path(spare) / "store"
        if not (path / "meta.json").exists():
            write_dataset(path, args.preset)
        figures = measure(GaitStore.open(path), args.preset, args.arch, args.steps, args.seeds)
    json.dump(figures, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
