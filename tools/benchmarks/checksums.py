"""Time the training loader with and without the checks of a store's frames.

    python tools/benchmarks/checksums.py [--before CHECKOUT] [--bits 8] [--repeats 100]

The sides take turns, each in a process of its own that stays: this version with a store of format
2, whose frames have checksums; with the same store as format 1, which has none; and, with
``--before``, the loader of another checkout on the store of format 1.  Printed are processor
microseconds a frame, the median over the repeats, and the median of the ratios within a repeat.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RECIPES = {
    "none": {},
    "flip, rotate": {"flip": 0.5, "rotate": 0.5},
    "flip, rotate, perspective, erase": {
        "flip": 0.5,
        "rotate": 0.5,
        "perspective": 0.5,
        "erase": 0.5,
    },
}
SIZES = ((64, 44), (32, 22))


def main() -> None:
    """Make the stores, let the sides take turns, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, help="another checkout to compare with")
    parser.add_argument("--bits", type=int, default=8, help="per pixel (default: 8)")
    parser.add_argument("--repeats", type=int, default=100, help="turns of each side")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        return serve(args.serve)
    here = Path(__file__).resolve().parents[2]
    with tempfile.TemporaryDirectory() as folder:
        stores = make_stores(Path(folder), args.bits)
        sides = {"format 2": (here, stores[1]), "format 1": (here, stores[0])}
        if args.before:
            sides["before"] = (args.before, stores[0])
        servers = {name: start(*side) for name, side in sides.items()}
        for size in SIZES:
            for recipe in RECIPES:
                times: dict[str, list[float]] = {name: [] for name in servers}
                for repeat in range(-1, args.repeats):
                    for name, server in servers.items():
                        seconds = ask(server, size, recipe)
                        times[name] += [seconds] if repeat >= 0 else []
                print(row(size, recipe, times))
        for server in servers.values():
            server.communicate("")


def row(size: tuple[int, int], recipe: str, times: dict[str, list[float]]) -> str:
    """One line of the table."""
    cells = [f"{size[0]} x {size[1]}  {recipe:34}"]
    for name, seconds in times.items():
        ratio = statistics.median(a / b for a, b in zip(times["format 2"], seconds, strict=True))
        text = f"{name} {1e6 * statistics.median(seconds):6.2f} us"
        cells.append(
            text if name == "format 2" else f"{text} (format 2: {100 * ratio - 100:+.1f} %)"
        )
    return "  ".join(cells)


def make_stores(folder: Path, bits: int) -> tuple[Path, Path]:
    """The same noise as a store of format 1 and of format 2."""
    import numpy as np

    from nasgait.core.rng import generator
    from nasgait.data.store import StoreWriter

    rng, path = generator(0, "bench"), folder / "checked"
    with StoreWriter(path, bits=bits) as writer:
        for person in range(50):
            for walk in range(4):
                frames = rng.integers(0, 256, (60, 64, 64), dtype=np.uint8)
                writer.add(f"{person:03d}", f"nm-{walk:02d}", "000", "train", frames)
    plain = folder / "plain"
    plain.mkdir()
    for name in ("index.csv", "shard-00000.bin"):
        os.link(path / name, plain / name)
    meta = json.loads((path / "meta.json").read_text())
    (plain / "meta.json").write_text(json.dumps(meta | {"format": "nasgait-store/1"}))
    return plain, path


def start(checkout: Path, store: Path) -> "subprocess.Popen[str]":
    """A process that times the loader of a checkout."""
    command = [sys.executable, __file__, "--serve", str(store)]
    environment = os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )


def ask(server: "subprocess.Popen[str]", size: tuple[int, int], recipe: str) -> float:
    """Processor seconds that a side takes for a frame."""
    assert server.stdin and server.stdout
    server.stdin.write(json.dumps([size, recipe]) + "\n")
    server.stdin.flush()
    return float(server.stdout.readline())


def serve(path: str) -> None:
    """Time the loader as often as a line asks for it."""
    from nasgait.config.schema import AugmentConfig, BatchConfig
    from nasgait.data.loader import TrainLoader
    from nasgait.data.store import GaitStore

    store, config = GaitStore.open(path), BatchConfig(ids=8, seqs=4, frames=30)
    for line in sys.stdin:
        size, recipe = json.loads(line)
        augment = AugmentConfig(**RECIPES[recipe])
        loader = TrainLoader(store, range(len(store)), config, augment, tuple(size), seed=0)
        loader.batch(0)
        steps = 2 if RECIPES[recipe] else 6
        began = time.process_time()
        for step in range(1, steps + 1):
            loader.batch(step)
        seconds = time.process_time() - began
        print(seconds / (steps * 32 * 30), flush=True)


if __name__ == "__main__":
    main()
