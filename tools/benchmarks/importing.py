"""Time the import of PNG frames, beside a plain loop with the same decoder.

    python tools/benchmarks/importing.py                    generates a tree of 30,000 frames
    python tools/benchmarks/importing.py --root grew_raw    an unpacked GREW tree

The plain side does what pretreatment scripts do: one process decodes each PNG with ``cv2.imdecode``
and pickles each sequence.  The sides take turns and write to the same disk; printed are the median
over the rounds and the median of the ratios within a round.
"""

import argparse
import pickle
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from nasgait.data.importers import import_dataset
from nasgait.data.layouts import list_dataset
from nasgait.data.store import GaitStore


def plain_import(root: Path, out: Path) -> int:
    """Import with a plain loop, a pickle for each sequence; returns the number of frames."""
    total = 0
    for raw in list_dataset("grew", root):
        frames = []
        for file in sorted((root / raw.folder).glob("*.png")):
            data = np.frombuffer(file.read_bytes(), np.uint8)
            frame = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
            assert frame is not None, file
            frames.append(frame)
        target = out / raw.label / raw.type / raw.view
        target.mkdir(parents=True)
        with open(target / f"{raw.view}.pkl", "wb") as pickled:
            pickle.dump(np.stack(frames), pickled)
        total += len(frames)
    return total


def make_tree(root: Path, sequences: int, length: int) -> None:
    """Write noisy ellipses as a GREW training set."""
    rng = np.random.default_rng(0)
    for number in range(sequences):
        folder = root / "train" / f"{number // 6:05d}" / f"s{number}"
        folder.mkdir(parents=True)
        for t in range(length):
            frame = np.zeros((64, 64), np.uint8)
            axes = (8 + t % 9, 31)
            cv2.ellipse(frame, (32, 32), axes, 0, 0, 360, 255, -1)
            frame[rng.random(frame.shape) < 0.01] = 0
            cv2.imwrite(str(folder / f"{t + 1:05d}.png"), frame)


def timed(action: Callable[[Path], int], scratch: Path) -> float:
    """Seconds of one import into an empty folder, which is then deleted."""
    out = scratch / "out"
    start = time.perf_counter()
    action(out)
    seconds = time.perf_counter() - start
    shutil.rmtree(out)
    return seconds


def main() -> None:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, help="a GREW tree (default: a generated one)")
    parser.add_argument("--rounds", type=int, default=5, help="(default: 5)")
    parser.add_argument("--workers", type=int, default=2, help="(default: 2)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        root = args.root or scratch / "raw"
        if args.root is None:
            make_tree(root, sequences=600, length=50)

        def ours(out: Path, workers: int, bits: int) -> int:
            return import_dataset(
                "grew", root, out, bits=bits, workers=workers, progress=False
            ).frames

        sides: dict[str, Callable[[Path], int]] = {
            "plain loop, pickles": lambda out: plain_import(root, out),
            "nasgait, 1 process": lambda out: ours(out, 1, 8),
            f"nasgait, {args.workers} workers": lambda out: ours(out, args.workers, 8),
            f"nasgait, {args.workers} workers, 1 bit": lambda out: ours(out, args.workers, 1),
        }
        times: dict[str, list[float]] = {name: [] for name in sides}
        frames = plain_import(root, scratch / "warm-up")
        for _ in range(args.rounds):
            for name, action in sides.items():
                times[name].append(timed(action, scratch))
        print(f"{frames} frames, median of {args.rounds} rounds")
        plain = times["plain loop, pickles"]
        for name, seconds in times.items():
            speed = frames / statistics.median(seconds)
            ratio = statistics.median(p / s for p, s in zip(plain, seconds, strict=True))
            print(f"{name:28s} {speed:9.0f} frames/s   x{ratio:.2f}")
        read_back(root, scratch / "read")


def read_back(root: Path, out: Path) -> None:
    """Print how fast clips of 30 frames are read from stores of 8 bits and of 1 bit."""
    for bits in (8, 1):
        import_dataset("grew", root, out / str(bits), bits=bits, progress=False)
        store = GaitStore.open(out / str(bits))
        rng = np.random.default_rng(0)
        start, count = time.perf_counter(), 0
        while time.perf_counter() - start < 1:
            i = int(rng.integers(len(store)))
            length = min(30, store.sequences[i].length)
            count += len(store.read(i, np.arange(length)))
        speed = count / (time.perf_counter() - start)
        print(f"{f'reading clips, {bits} bit':28s} {speed:9.0f} frames/s")


if __name__ == "__main__":
    main()
