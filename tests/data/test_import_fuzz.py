"""Images and pickles that are damaged anywhere: a reading or a fault, never anything else."""

import io
import pickle
import resource
import time

import numpy as np
import pytest
from PIL import Image

from nasgait.core.errors import DataError
from nasgait.data.entries import Entries
from nasgait.data.images import decode
from nasgait.data.masks import eight_bits
from nasgait.data.pickles import read_silhouettes
from nasgait.data.readers import fitted

MASK = np.zeros((64, 64), np.uint8)
MASK[4:60, 20:40] = 255
IMAGES = {("RGB", "JPEG"), ("L", "JPEG"), ("L", "WEBP"), ("RGBA", "WEBP")} | {
    (mode, form) for mode in ("L", "1", "P", "RGB", "RGBA") for form in ("PNG", "BMP", "TIFF")
}
ARRAYS = (np.stack([MASK] * 3), [MASK, MASK], MASK[None] > 0, np.stack([MASK]).astype("f4") / 255)


def image(mode: str, form: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(MASK).convert(mode).save(file, form)
    return file.getvalue()


def damaged(rng: np.random.Generator, data: bytes) -> bytes:
    """One to eight changes: flipped bits, extreme bytes, cuts, insertions, most near the start."""
    out = bytearray(data)
    for _ in range(int(rng.choice([1, 1, 2, 8]))):
        at = int(rng.integers(len(out) if rng.random() < 0.4 else min(len(out), 120)))
        kind = rng.choice(
            ["flip", "extreme", "cut", "insert", "fill"], p=[0.5, 0.25, 0.1, 0.1, 0.05]
        )
        if kind == "flip":
            out[at] ^= 1 << int(rng.integers(8))
        elif kind == "extreme":
            out[at] = int(rng.choice([0, 1, 127, 128, 255]))
        elif kind == "cut":
            del out[max(1, at) :]
        elif kind == "insert":
            out[at:at] = rng.bytes(4)
        else:
            out[at : at + 8] = b"\xff" * 8
    return bytes(out)


def read_image(data: bytes) -> object:
    picture = decode(data)
    return fitted(
        [eight_bits(picture.grey)[0]], (64, 64), Entries(), set(), [], coloured=picture.coloured
    )


def most_memory() -> int:
    """The most that this process has held so far, in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.mark.parametrize("count", [15, pytest.param(600, marks=pytest.mark.slow)])
def test_damaged_files_are_read_or_refused(tmp_path, count, capfd):
    rng, before = np.random.default_rng(0), most_memory()
    file = tmp_path / "x.pkl"

    def read_pickle(data: bytes) -> object:
        file.write_bytes(data)
        frames, notes = read_silhouettes(file)
        return fitted(frames, (64, 64), Entries(), set(notes), []) if len(frames) else "no frames"

    seeds = [(read_image, image(*each)) for each in sorted(IMAGES)]
    seeds += [(read_pickle, pickle.dumps(a, p)) for a in ARRAYS for p in range(6)]
    refused, slowest = 0, 0.0
    for read, seed in seeds:
        for _ in range(count):
            begun = time.process_time()
            try:
                read(damaged(rng, seed))
            except DataError as error:
                refused += 1
                assert str(error).isprintable() and len(str(error)) < 600
            slowest = max(slowest, time.process_time() - begun)
    assert refused > count * len(seeds) / 4 and slowest < 20
    assert most_memory() - before < 2**20
    capfd.readouterr()  # what the image libraries say themselves
