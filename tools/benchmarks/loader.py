"""Time the training loader, beside a plain loop that does the same work.

    python tools/benchmarks/loader.py [--store STORE] [--threads 2] [--repeats 5]

The plain side takes one sequence at a time, as published loaders do: numpy in float64, one
OpenCV warp for each frame, a stack at the end.  Both sides read the same frames of the same
sequences from the same store (warm in the page cache), draw the same augmentation, use the same
number of threads and give the same batch, which is checked.  They take turns; a speed is the median
over the repeats, a ratio the median of the ratios within a repeat.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from nasgait.config.schema import AugmentConfig, BatchConfig
from nasgait.core.rng import generator
from nasgait.data.loader import Batch, TrainLoader
from nasgait.data.sampler import frame_indices, sample_batch
from nasgait.data.store import GaitStore, StoreWriter
from nasgait.data.transforms import Changes, Size, cut_columns, draw_changes

RECIPES = {
    "no augmentation": AugmentConfig(),
    "flip, rotate (SPOSGait)": AugmentConfig(flip=0.5, rotate=0.5),
    "all four": AugmentConfig(flip=0.5, rotate=0.5, perspective=0.5, erase=0.5),
}


@dataclass(frozen=True)
class Row:
    """Medians for one size and recipe."""

    size: Size
    recipe: str
    loader: float
    """Frames per second."""
    plain: float
    ratio: float
    loader_cpu: float
    """Frames per second of processor time, which other programs on the machine disturb less."""
    plain_cpu: float

    def line(self) -> str:
        """One line of the table."""
        return (
            f"{self.size[0]} x {self.size[1]}  {self.recipe:24}"
            f"loader {self.loader:9,.0f}  plain {self.plain:9,.0f} frames/s  x{self.ratio:.1f}   "
            f"per core second: {self.loader_cpu:9,.0f} {self.plain_cpu:9,.0f}"
        )


def main() -> int:
    """Measure, print a table on stderr and one JSON object on stdout."""
    args = arguments()
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        store = GaitStore.open(args.store or make_store(Path(folder) / "store"))
        rows = [
            measure(store, args, size, name, augment)
            for size in ((64, 44), (32, 22))
            for name, augment in RECIPES.items()
        ]
    for row in rows:
        print(row.line(), file=sys.stderr)
    settings = {"threads": args.threads, "repeats": args.repeats, "frames": args.frames}
    results = [asdict(row) for row in rows]
    print(json.dumps({**settings, "ids": args.ids, "seqs": args.seqs, "results": results}))
    slow = [row for row in rows if row.loader < args.at_least]
    return 1 if slow else 0


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", help="a store of your own; 200 sequences of noise by default")
    parser.add_argument("--ids", type=int, default=8, help="identities in a batch")
    parser.add_argument("--seqs", type=int, default=4, help="sequences of each")
    parser.add_argument("--frames", type=int, default=30, help="frames of each sequence")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch and OpenCV")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each side")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a turn")
    parser.add_argument("--at-least", type=float, default=0, help="exit 1 below so many frames/s")
    return parser.parse_args()


def make_store(path: Path) -> Path:
    """50 identities x 4 sequences x 60 frames of noise; the content does not change the speed."""
    rng = generator(0, "bench")
    with StoreWriter(path) as writer:
        for person in range(50):
            for walk in range(4):
                frames = rng.integers(0, 256, (60, 64, 64), dtype=np.uint8)
                writer.add(f"{person:03d}", f"nm-{walk:02d}", "000", "train", frames)
    return path


def measure(
    store: GaitStore, args: argparse.Namespace, size: Size, name: str, augment: AugmentConfig
) -> Row:
    """Time both sides in turns: frames per second of each, and their ratio."""
    config = BatchConfig(ids=args.ids, seqs=args.seqs, frames=args.frames)
    loader = TrainLoader(store, range(len(store)), config, augment, size, seed=0)
    plain = PlainLoop(loader, store, config, augment, size)
    check_equal(loader.batch(0), plain.batch(0))

    sides: dict[str, Callable[[int], Iterable[Batch]]] = {
        "loader": lambda steps: loader.stream(1, steps + 1),
        "plain": lambda steps: map(plain.batch, range(1, steps + 1)),
    }
    steps = {side: calibrate(make, args.seconds) for side, make in sides.items()}
    speeds: dict[str, list[float]] = {side: [] for side in (*sides, "loader_cpu", "plain_cpu")}
    for _ in range(args.repeats):
        for side, make in sides.items():
            frames = steps[side] * args.ids * args.seqs * args.frames
            seconds, cpu = timed(make, steps[side])
            speeds[side].append(frames / seconds)
            speeds[side + "_cpu"].append(frames / cpu)
    ratios = [a / b for a, b in zip(speeds["loader"], speeds["plain"], strict=True)]
    medians = {side: statistics.median(values) for side, values in speeds.items()}
    return Row(size, name, ratio=statistics.median(ratios), **medians)


def timed(make: Callable[[int], Iterable[Batch]], steps: int) -> tuple[float, float]:
    """Seconds on the clock and of processor time to consume so many batches."""
    began, cpu = time.perf_counter(), time.process_time()
    for _ in make(steps):
        pass
    return time.perf_counter() - began, time.process_time() - cpu


def calibrate(make: Callable[[int], Iterable[Batch]], seconds: float) -> int:
    """The number of steps that take about this long, after a warm-up."""
    timed(make, 2)
    return max(2, round(4 * seconds / timed(make, 4)[0]))


class PlainLoop:
    """One sequence at a time, one frame at a time where OpenCV warps."""

    def __init__(
        self,
        loader: TrainLoader,
        store: GaitStore,
        config: BatchConfig,
        augment: AugmentConfig,
        size: Size,
    ) -> None:
        self.identities = loader.identities
        self.store, self.config, self.augment, self.size = store, config, augment, size

    def batch(self, step: int) -> Batch:
        """Return the same batch as the loader's."""
        indices, labels = sample_batch(self.identities, self.config, 0, step)
        rng = generator(0, "frames", step)
        changes = draw_changes(len(indices), self.size, self.augment, generator(0, "augment", step))
        clips = []
        for row, index in enumerate(indices.tolist()):
            length = self.store.sequences[index].length
            clip = self.fit(self.store.read(index, frame_indices(length, self.config, rng)))
            clips.append(clip if changes is None else self.change(clip, changes, row))
        silhouettes = torch.from_numpy(np.stack(clips)).float()
        return Batch(silhouettes, torch.from_numpy(labels))

    def fit(self, frames: np.ndarray) -> np.ndarray:
        """Cut, scale and reduce a sequence: float64 [s, h, w]."""
        cut = cut_columns(self.store.size, self.size)
        clip = frames[..., cut : frames.shape[-1] - cut] / 255.0
        if clip.shape[1:] != self.size:
            height, width = self.size
            resized = [cv2.resize(f, (width, height), interpolation=cv2.INTER_AREA) for f in clip]
            clip = np.stack(resized)
        return clip

    def change(self, clip: np.ndarray, changes: Changes, row: int) -> np.ndarray:
        """Flip, warp and erase a sequence."""
        if changes.flip[row]:
            clip = clip[..., ::-1]
        if changes.warped[row]:
            clip = np.stack([self.warp(frame, changes.source[row]) for frame in clip])
        top, bottom, left, right = changes.erased[row]
        if top < bottom:
            clip = clip.copy()
            clip[:, top:bottom, left:right] = 0
        return clip

    def warp(self, frame: np.ndarray, source: np.ndarray) -> np.ndarray:
        """Resample a frame, with OpenCV's faster function where the map is affine."""
        flags, target = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, self.size[::-1]
        frame = np.ascontiguousarray(frame)
        if source[2, 0] == source[2, 1] == 0:
            return cv2.warpAffine(frame, source[:2] / source[2, 2], target, flags=flags)
        return cv2.warpPerspective(frame, source, target, flags=flags)


def check_equal(ours: Batch, plain: Batch) -> None:
    """Stop where the two sides differ (OpenCV rounds to 1/32 pixel)."""
    gap = float((ours.silhouettes - plain.silhouettes).abs().max())
    assert torch.equal(ours.labels, plain.labels) and gap < 0.1, f"the sides differ by {gap:.3f}"


if __name__ == "__main__":
    sys.exit(main())
