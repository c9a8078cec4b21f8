"""How long a supernet training step takes: float32 contiguous against bfloat16 channels-last.

Both sides share everything but arithmetic and memory layout: the space, the weights, the
batch, the paths, the threads, loss and optimizer.  They take turns, path by path, so that a
machine whose speed drifts treats both alike; the ratio is that of each pair of steps.

    python tools/bench_step.py --space nano --rounds 20 --threads 2
"""

import argparse
import copy
import json
import statistics
import time

import torch

from nasgait.config.schema import LossConfig, OptimizerConfig
from nasgait.engine.optim import build_optimizer
from nasgait.engine.precision import autocast, to_channels_last
from nasgait.nn.losses import GaitLoss
from search_spaces import load_space
from supernet.network import path_at

SIDES = {"float32 contiguous": ("float32", False), "bfloat16 channels-last": ("bfloat16", True)}
WARM_UP = 3


class Side:
    """One way to train the same supernet."""

    def __init__(self, model: torch.nn.Module, precision: str, channels_last: bool) -> None:
        self.model = copy.deepcopy(model)
        if channels_last:
            to_channels_last(self.model)
        self.precision = precision
        self.optimizer = build_optimizer(self.model.parameters(), OptimizerConfig())
        self.loss = GaitLoss(LossConfig())

    def step(self, silhouettes: torch.Tensor, labels: torch.Tensor, path: tuple[int, ...]) -> float:
        """Seconds of one step."""
        began = time.perf_counter()
        with autocast(torch.device("cpu"), self.precision):
            output = self.model(silhouettes, arch=path)
        loss, _ = self.loss(output, labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return time.perf_counter() - began


def main() -> None:
    """Time both sides in turn and print medians and the ratio pair by pair."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--space", default="nano")
    parser.add_argument("--ids", type=int, default=8)
    parser.add_argument("--seqs", type=int, default=4)
    parser.add_argument("--frames", type=int, help="default: the space's own")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    space = load_space(args.space)
    height, width = space.size
    frames = args.frames or space.frames
    silhouettes = (torch.rand(args.ids * args.seqs, frames, height, width) > 0.5).float()
    labels = torch.arange(args.ids).repeat_interleave(args.seqs)
    model = space.supernet()
    sides = {name: Side(model, *how) for name, how in SIDES.items()}
    times: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(WARM_UP + args.rounds):
        path = path_at(space, 0, number)
        for name, side in sides.items():
            seconds = side.step(silhouettes, labels, path)
            if number >= WARM_UP:
                times[name].append(seconds)
    plain, fast = times.values()
    report = {
        "space": space.name,
        "batch": list(silhouettes.shape),
        "threads": args.threads,
        "rounds": args.rounds,
        **{name: statistics.median(values) for name, values in times.items()},
        "ratio": statistics.median(a / b for a, b in zip(plain, fast, strict=True)),
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
