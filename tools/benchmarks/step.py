"""A supernet training step: plain torch in float32 against nasgait in bfloat16 channels-last.

Both sides train the same space with the same weights, batch, paths, loss, optimizer and number
of threads.  The plain side is what torch gives by itself: its own Conv3d, BatchNorm3d and
max_pool3d, float32, contiguous, memory as the C library hands it out.  Each round is a fresh
process for each side, in turn, so that a machine whose speed drifts treats both alike; the ratio
is that of the medians of each round.

    python tools/benchmarks/step.py --space nano --rounds 5 --threads 2
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasgait.config.schema import LossConfig, OptimizerConfig
from nasgait.core.memory import keep_freed_memory
from nasgait.core.precision import autocast
from nasgait.nn import blocks
from nasgait.nn.losses import GaitLoss
from nasgait.nn.memory_format import to_channels_first, to_channels_last
from nasgait.nn.norm import BatchNorm
from nasgait.training.optim import build_optimizer
from search_spaces import load_space
from search_spaces.network import ChoiceUnit, Clip
from supernet.network import path_at

WARM_UP = 3


class PlainNorm(nn.BatchNorm3d):
    """torch's own, called as ours is."""

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Normalise; nothing is padded here."""
        return super().forward(x)


class PlainUnit(ChoiceUnit):
    """A unit whose ReLU and pooling are torch's own, in the published order."""

    def forward(self, clip: Clip, choice: int) -> Clip:
        """Run the block of this choice and what follows it."""
        x, valid, stage_input, _ = clip
        stage_input = x if self.opens else stage_input
        x = self.options[str(choice)](x, valid)
        if self.shortcut is not None:
            x, stage_input = x + self.shortcut(stage_input, valid), None
        x = F.relu(x) if self.relu else x
        x = F.max_pool3d(x, (1, 2, 2)) if self.pool else x
        if self.aggregation is not None:
            x, valid = self.aggregation(x, valid)
        return Clip(x, valid, stage_input)


PLAIN: dict[type, type] = {
    BatchNorm: PlainNorm,
    blocks.Conv3d: nn.Conv3d,
    ChoiceUnit: PlainUnit,
}


def step_times(args: argparse.Namespace) -> list[float]:
    """Seconds of each step of one side, in this process."""
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    space = load_space(args.space)
    model = space.supernet()
    if args.side == "plain":
        for module in model.modules():
            module.__class__ = PLAIN.get(type(module), type(module))
        to_channels_first(model)
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
            command = [sys.executable, __file__, *sys.argv[1:], "--side", side]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found.append(statistics.median(json.loads(done.stdout)))
    ratios = [a / b for a, b in zip(*medians.values(), strict=True)]
    return {
        "space": args.space,
        "sequences": args.ids * args.seqs,
        "threads": args.threads,
        "rounds": args.rounds,
        "steps": args.steps,
        "plain_float32_seconds": statistics.median(medians["plain"]),
        "nasgait_bfloat16_seconds": statistics.median(medians["nasgait"]),
        "ratio": statistics.median(ratios),
        "ratios": [round(ratio, 2) for ratio in ratios],
    }


def main() -> None:
    """Print the medians and the ratio as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--space", default="nano")
    parser.add_argument("--ids", type=int, default=8)
    parser.add_argument("--seqs", type=int, default=4)
    parser.add_argument("--frames", type=int, help="default: the space's own")
    parser.add_argument("--steps", type=int, default=15, help="timed steps of a side in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--side", choices=("plain", "nasgait"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    print(json.dumps(step_times(args) if args.side else compare(args), indent=1))


if __name__ == "__main__":
    main()
