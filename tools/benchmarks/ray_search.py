"""Time a search in one process, and by workers on Ray with the same total number of threads.

Both sides are ``nasgait search`` commands with the same supernet (random weights: only time
matters), store and seed, run in turn.  The times are those of the whole commands, the start of
Python, Ray and the workers included.  The scores of both are compared as well: scorers with
different numbers of threads round differently, so small gaps are expected.

    python tools/benchmarks/ray_search.py --store data/wild-mini --population 50 --max-epochs 1
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
from typing import Any

import torch

from nasgait.search.ledger import read_ledger
from nasgait.training.checkpoint import FORMAT, save_checkpoint
from search_spaces import load_space

CONFIG = """
name: bench-ray
space: {space}
data: {{store: {store}, search_val: {identities}}}
threads: {threads}
device: cpu
search:
  population: {population}
  top_k: 10
  mutations: {half}
  crossovers: {half}
  max_epochs: {max_epochs}
  max_sequences: {sequences}
  max_frames: {frames}
  precision: {precision}
  calibration: {{sequences: {calibrate}, max_frames: {frames}}}
  ray: {{workers: {workers}}}
"""


def run(args: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Both sides in turn, ``rounds`` times."""
    space = load_space(args.space)
    torch.manual_seed(0)
    saved = {"format": FORMAT, "kind": "supernet", "space": space.name, "step": 0}
    saved |= {"space_sha256": space.sha256, "model": space.supernet().state_dict()}
    save_checkpoint(work / "supernet.pt", saved)
    settings = vars(args) | {"store": Path(args.store).absolute(), "half": args.population // 2}
    (work / "config.yaml").write_text(CONFIG.format(**settings))
    seconds: dict[str, list[float]] = {"local": [], "ray": []}
    for number in range(args.rounds):
        for side, taken in seconds.items():
            out = work / f"{side}-{number}"
            command = [sys.executable, "-m", "nasgait.cli.main", "search", "--backend", side]
            command += ["--config", str(work / "config.yaml"), "--out", str(out)]
            command += ["--supernet", str(work / "supernet.pt")]
            load = os.getloadavg()[0]
            began = time.perf_counter()
            with (out.with_suffix(".log")).open("w") as log:
                subprocess.run(command, check=True, stdout=log, stderr=log)
            taken.append(time.perf_counter() - began)
            print(f"{side}: {taken[-1]:.1f} s (load before: {load:.2f})", file=sys.stderr)
    ratios = [ray / local for local, ray in zip(*seconds.values(), strict=True)]
    return {
        **{name: vars(args)[name] for name in ("space", "population", "max_epochs", "sequences")},
        **{name: vars(args)[name] for name in ("calibrate", "precision", "threads", "workers")},
        **{f"{side}_seconds": [round(t, 1) for t in taken] for side, taken in seconds.items()},
        "overhead": round(statistics.median(ratios) - 1, 3),
        **agreement(work / "local-0", work / "ray-0"),
    }


def agreement(local: Path, ray: Path) -> dict[str, Any]:
    """How much the ledgers of both sides have in common."""
    first, second = (
        {entry.choices: entry.values["map"] for entry in read_ledger(out / "ledger.jsonl")}
        for out in (local, ray)
    )
    both = first.keys() & second.keys()
    return {
        "architectures": len(first),
        "scored_by_both": len(both),
        "largest_gap_of_map": max(abs(first[c] - second[c]) for c in both),
    }


def main() -> None:
    """Print the measurements as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--space", default="sposgait-small")
    parser.add_argument("--store", default="data/wild-mini")
    parser.add_argument("--identities", type=int, default=60, help="search-val identities")
    parser.add_argument("--population", type=int, default=50)
    parser.add_argument("--max-epochs", type=int, default=1)
    parser.add_argument("--sequences", type=int, default=18)
    parser.add_argument("--frames", type=int, default=60, help="frames used of each sequence")
    parser.add_argument("--calibrate", type=int, default=16, help="calibration sequences")
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--threads", type=int, default=2, help="total, on each side")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        print(json.dumps(run(args, Path(work)), indent=1))


if __name__ == "__main__":
    main()
