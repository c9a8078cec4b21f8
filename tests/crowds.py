"""Small stores with people of every subset, and a record of what is read from a store."""

import csv
import hashlib
import zlib
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from nasgait.data.store import GaitStore, StoreWriter

SUBSETS = {"train": 6, "search-val": 4, "test": 5, "distractor": 3}
"""Identities of each subset."""
LETTERS = {"train": "t", "search-val": "s", "test": "x", "distractor": "d"}
"""How the identities' names begin."""


def figures(key, frames, taint):
    """Upright blobs that differ from key to key; another ``taint``, other pixels."""
    rng = np.random.default_rng([zlib.crc32(key.encode()), taint])
    rows, columns = np.mgrid[:64, :64]
    wide = rng.uniform(5, 14) + 3 * np.sin(np.arange(frames) * 0.7)[:, None, None]
    blob = (np.abs(columns - 32) < wide * (1 + rows / 64)) & (rows > 4)
    return (255 * (blob ^ (rng.random((frames, 64, 64)) < 0.02))).astype(np.uint8)


def crowd(path: Path, takes=2, tainted=(), without=(), more=(), subset_of=None, bits=8) -> Path:
    """A store of :data:`SUBSETS`, mixed up in it, with sequences of 5 to 9 frames.

    Their types are 01, 02, ..., those of distractors 04, 05, ..., as in GREW.

    Args:
        path: where.
        takes: sequences of each identity.
        tainted: subsets whose pixels are others; all else stays as it is.
        without: keys that are left out; more: (label, subset) added at the end.
        subset_of: renames subsets, e.g. {"search-val": "train"}.
        bits: of a pixel.
    """
    people = [(f"{LETTERS[s]}{n:02d}", s) for s, count in SUBSETS.items() for n in range(count)]
    people.sort(key=lambda person: person[0][1:] + person[0][0])
    rows = [
        (who, f"0{take + 1 + 3 * (s == 'distractor')}", s)
        for who, s in people
        for take in range(takes)
    ]
    rows += [(label, f"m{n}", s) for n, (label, s) in enumerate(more)]
    with StoreWriter(path, bits=bits) as writer:
        for label, kind, subset in rows:
            key = f"{label}-{kind}-000"
            if key not in without:
                frames = 5 + zlib.crc32(key.encode()) % 5
                pixels = figures(key, frames, int(subset in tainted))
                writer.add(label, kind, "000", (subset_of or {}).get(subset, subset), pixels)
    return path


def keys(path: Path, *subsets: str) -> set[str]:
    """The keys of these subsets as ``index.csv`` has them."""
    with (path / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {f"{r['id']}-{r['type']}-{r['view']}" for r in rows if r["subset"] in subsets}


@contextmanager
def readings():
    """Yields a list to which every read of a store adds (key, number of frames)."""
    seen: list[tuple[str, int]] = []
    real = GaitStore.read_into

    def read_into(self, clips, indices, frames):
        real(self, clips, indices, frames)
        seen.extend(
            (self.sequences[i].key, len(chosen)) for i, chosen in zip(indices, frames, strict=True)
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GaitStore, "read_into", read_into)
        yield seen


def names(seen) -> set[str]:
    """The keys of a record."""
    return {key for key, _ in seen}


def digest(state) -> str:
    """One text for all weights of a state dict."""
    found = hashlib.sha256()
    for name, value in sorted(state.items()):
        found.update(name.encode() + value.contiguous().numpy().tobytes())
    return found.hexdigest()


CONFIG = """
name: crowd
data: {store: STORE}
threads: 1
supernet: &recipe
  steps: 2
  batch: {ids: 6, seqs: 2, frames: 6}
  optimizer: {kind: adam, lr: 1e-3}
  schedule: {kind: constant}
  augment: {flip: 0.5}
  precision: float32
  checkpoint_every: 2
  log_every: 1
search:
  population: 3
  top_k: 2
  mutations: 1
  crossovers: 1
  max_epochs: 0
  calibration: {sequences: 99}
retrain: {<<: *recipe, batch: {ids: 10, seqs: 2, frames: 6}}
pretrain:
  steps: 2
  views: {sequences: 20, frames: 6}
  hidden: 16
  projection: 8
  precision: float32
  checkpoint_every: 2
  log_every: 1
"""
"""Batches hold every sequence that training may see: 6 x 2, 10 x 2 and 20 of them."""


def config_of(store: Path) -> Path:
    """A configuration over a store, beside it."""
    path = store.with_name(f"{store.name}.yaml")
    path.write_text(CONFIG.replace("STORE", str(store)))
    return path
