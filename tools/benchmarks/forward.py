"""Time the forward pass of every hand-designed network, and of some searched ones.

In evaluation mode, on the CPU, by default for one sequence of the network's own input: in float32
as the network is built, and in bfloat16 with channels last.  With ``--published`` the published
implementation takes turns with ours in the same process, in float32, with the same weights and
input; the tool stops if their embeddings differ.

    python tools/benchmarks/forward.py
    python tools/benchmarks/forward.py --models gaitset gaitgl --published OpenGait,SPOSGait

A folder of ``--published`` is a checkout of OpenGait, SPOSGait, HSTL or SelfGait, with its
dependencies installed; nasgait contains none of their code.  HSTL must be repaired first (see
tests/reference).  Each network is timed in a process of its own, because the checkouts use the
same module names.
"""

import argparse
import copy
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from common import run_alone
from published import CHECKOUTS, CLASSES, is_checkout, load_pair
from torch import Tensor

from nasgait.baselines import registry
from nasgait.core.memory import keep_freed_memory
from nasgait.core.precision import autocast
from nasgait.nn.memory_format import to_channels_last

ARCHITECTURES = (
    "sposgait-small:0-5-5-4",
    "sposgait-small-casiab:0-5-0-1",
    "sposgait-medium:0-0-4-3-0-3-0",
    "sposgait-large:0-0-4-5-2-0-4-3-4-3",
    "sposgait-small:0-0-0-0",
    "sposgait-small:0-3-3-3",
    "nano:0-5-5-5",
)
"""Those of the paper first."""
CLOSE = 1e-4
"""Largest difference allowed between embeddings, relative to the largest value."""


@torch.no_grad()
def times(args: argparse.Namespace) -> dict[str, Any]:
    """Time the one network of ``args`` in this process: the median seconds of each side."""
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    keep_freed_memory()
    (name,) = args.models
    ours, arch, published = load_pair(name, args.published)
    ours.eval()
    half = to_channels_last(copy.deepcopy(ours))
    path = {} if arch is None else {"arch": arch}
    frames, size = args.frames or ours.frames, ours.size
    x = (torch.rand(args.sequences, frames, *size) > 0.5).float()

    def bfloat16() -> Tensor:
        with autocast(x.device, "bfloat16"):
            return half(x, **path).embeddings

    # With one thread, take processor time, which other programs on the machine disturb less.
    clock = time.process_time if args.threads == 1 else time.perf_counter
    sides: dict[str, Callable[[], Tensor]] = {
        "float32": lambda: ours(x, **path).embeddings,
        "bfloat16": bfloat16,
    }
    if published is not None:
        check_equal(name, sides["float32"](), published(x))
        sides["published"] = lambda: published(x)
    found: dict[str, list[float]] = {side: [] for side in sides}
    for number in range(args.rounds + 1):
        for side, run in sides.items():
            began = clock()
            run()
            if number:  # the first warms up
                found[side].append(clock() - began)
    row: dict[str, Any] = {"network": name, "frames": frames, "size": list(size)}
    row |= {f"{side}_seconds": statistics.median(taken) for side, taken in found.items()}
    if published is not None:
        for side in ("float32", "bfloat16"):
            ratios = [a / b for a, b in zip(found[side], found["published"], strict=True)]
            row[f"{side}_over_published"] = statistics.median(ratios)
    return row


def check_equal(name: str, ours: Tensor, published: Tensor) -> None:
    """Stop where the two networks do not compute the same."""
    if published.shape != ours.shape:
        published = published.transpose(1, 2)  # HSTL and SelfGait give [n, p, c]
    gap = float((ours - published).abs().max() / published.abs().max())
    assert gap <= CLOSE, f"{name}: embeddings differ from the published ones by {gap:.1e}"


def compare(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Time each network in a process of its own."""
    rows = []
    for name in args.models:
        words = ["--models", name, "--alone"]
        for flag in ("frames", "sequences", "rounds", "threads"):
            if (value := getattr(args, flag)) is not None:
                words += [f"--{flag}", str(value)]
        if args.published:
            words += ["--published", ",".join(map(str, args.published))]
        rows.append(run_alone(__file__, words))
        print(line(rows[-1]), file=sys.stderr, flush=True)
    return rows


def line(row: Mapping[str, Any]) -> str:
    """A row of the table."""
    height, width = row["size"]
    seconds = (row.get(f"{side}_seconds") for side in ("float32", "bfloat16", "published"))
    cells = [f"{second:.3f}" if second else "" for second in seconds]
    ratio = row.get("float32_over_published")
    cells.append(f"{ratio:.2f}" if ratio else "")
    return f"| {row['network']} | {row['frames']} x {height} x {width} | {' | '.join(cells)} |"


HEAD = (
    "| network | input | float32 s | bfloat16 s | published s | float32 / published |\n"
    "| --- | --- | --- | --- | --- | --- |"
)


def main() -> None:
    """Print the table, or one JSON object."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--models", nargs="+", default=[*registry.names(), *ARCHITECTURES], metavar="NAME",
        help="hand-designed networks, or architectures like sposgait-small:0-5-5-4",
    )  # fmt: skip
    parser.add_argument("--published", type=folders, default=[], metavar="DIR[,DIR]")
    parser.add_argument("--frames", type=int, help="default: the network's own")
    parser.add_argument("--sequences", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.alone:
        print(json.dumps(times(args)))
        return
    rows = compare(args)
    settings = {"threads": args.threads, "rounds": args.rounds, "sequences": args.sequences}
    if args.json:
        print(json.dumps({**settings, "classes": CLASSES, "networks": rows}))
    else:
        print("\n".join([HEAD, *map(line, rows)]))


def folders(text: str) -> list[Path]:
    """Parse ``DIR[,DIR]``; each must be a checkout of a known repository."""
    found = [Path(part).resolve() for part in text.split(",")]
    for folder in found:
        if not any(is_checkout(folder, name) for name in CHECKOUTS):
            raise argparse.ArgumentTypeError(
                f"{folder}: not a checkout of {', '.join(CHECKOUTS)}; give the folder of its README"
            )
    return found


if __name__ == "__main__":
    main()
