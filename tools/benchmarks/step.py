"""A supernet training step: plain torch in float32 against nasgait in bfloat16 channels-last.

Both sides train the same space with the same weights, batch, paths, loss, optimizer and number
of threads.  The plain side is plain torch: its own Conv3d, BatchNorm3d and max_pool3d, float32,
contiguous, memory as the C library allocates it.  The sides take turns, each in a fresh process, so
that a machine whose speed drifts treats both alike; a ratio compares the medians of one round.

    python tools/benchmarks/step.py --space nano --rounds 5 --threads 2
"""

import argparse
import json
import statistics
import sys
import time
from typing import Any

import torch
from common import run_alone, speed_up
from plain import make_plain

from nasgait.config.schema import LossConfig, OptimizerConfig
from nasgait.core.memory import keep_freed_memory
from nasgait.core.precision import autocast
from nasgait.nn.losses import GaitLoss
from nasgait.nn.memory_format import to_channels_last
from nasgait.training.optim import build_optimizer
from search_spaces import load_space
from supernet.network import path_at

WARM_UP = 3


def step_times(args: argparse.Namespace) -> list[float]:
    """Seconds of each step of one side, in this process."""
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    space = load_space(args.space)
    model = space.supernet()
    if args.side == "plain":
        make_plain(model)
    else:
        keep_freed_memory()
        to_channels_last(model)
    precision = "float32" if args.side == "plain" else "bfloat16"
    optimizer = build_optimizer(model.parameters(), OptimizerConfig())
    loss_of = GaitLoss(LossConfig())
    shape = (args.ids * args.seqs, args.frames or space.frames, *space.size)
    silhouettes = (torch.rand(shape) > 0.5).float()
    labels = torch.arange(args.ids).repeat_interleave(args.seqs)
    times = []
    for number in range(WARM_UP + args.steps):
        began = time.perf_counter()
        with autocast(torch.device("cpu"), precision):
            output = model(silhouettes, arch=path_at(space, 0, number))
        loss, _ = loss_of(output, labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        times.append(time.perf_counter() - began)
    return times[WARM_UP:]


def compare(args: argparse.Namespace) -> dict[str, Any]:
    """Run both sides in turn, each in a process of its own."""
    medians: dict[str, list[float]] = {"plain": [], "nasgait": []}
    for _ in range(args.rounds):
        for side, found in medians.items():
            times = run_alone(__file__, [*sys.argv[1:], "--side", side])
            found.append(statistics.median(times))
    return {
        "space": args.space,
        "sequences": args.ids * args.seqs,
        "threads": args.threads,
        "rounds": args.rounds,
        "steps": args.steps,
        "plain_float32_seconds": statistics.median(medians["plain"]),
        "nasgait_bfloat16_seconds": statistics.median(medians["nasgait"]),
        **speed_up(*medians.values()),
    }


def main() -> None:
    """Print the medians and the ratio as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--space", default="nano")
    parser.add_argument("--ids", type=int, default=8)
    parser.add_argument("--seqs", type=int, default=4)
    parser.add_argument("--frames", type=int, help="default: the space's own")
    parser.add_argument("--steps", type=int, default=15, help="timed steps of each side in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--side", choices=("plain", "nasgait"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    print(json.dumps(step_times(args)) if args.side else json.dumps(compare(args), indent=1))


if __name__ == "__main__":
    main()
