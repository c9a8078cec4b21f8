"""A store of random moving bars to measure on."""

from pathlib import Path

import numpy as np

from nasgait.core.rng import generator
from nasgait.data.store import GaitStore, StoreWriter

SIDE = 64


def make_store(path: Path, ids: int, seqs: int, frames: tuple[int, int]) -> GaitStore:
    """A store of moving bars, a width for each identity; half of the identities train.

    Args:
        path: folder of the store.
        ids, seqs: identities, and sequences of each.
        frames: fewest and most frames of a sequence.
    """
    rng = generator(0, "gpu-check")
    columns = np.arange(SIDE)
    with StoreWriter(path) as writer:
        for person in range(ids):
            width = 4 + 10 * person / ids
            for walk in range(seqs):
                count = int(rng.integers(frames[0], frames[1] + 1))
                middle = 32 + 6 * np.sin(0.5 * np.arange(count) + rng.uniform(0, 6))
                inside = np.abs(columns - middle[:, None]) < width
                clip = inside[:, None, :] ^ (rng.random((count, SIDE, SIDE)) < 0.02)
                subset = "train" if person < ids // 2 else "test"
                name = f"{person:05d}"
                writer.add(name, f"nm-{walk:02d}", "000", subset, (clip * 255).astype(np.uint8))
    return GaitStore.open(path)
