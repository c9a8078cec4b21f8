"""``nasgait models``: the hand-designed networks that come with nasgait."""

import argparse
import json
from typing import Any

import torch

from nasgait.baselines.registry import BASELINES, build
from nasgait.profiling.macs import profile

HELP = "list the hand-designed networks and what they cost"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def run(args: argparse.Namespace) -> int:
    """Print one line for each network; returns 0."""
    rows: list[dict[str, Any]] = []
    for name, baseline in BASELINES.items():
        with torch.device("meta"):
            cost = profile(build(name))
        rows.append(
            {
                "model": name,
                "summary": baseline.summary,
                "frames": cost.frames,
                "size": list(cost.size),
                "macs": cost.macs,
                "params": cost.params,
            }
        )
    if args.json:
        print(json.dumps({"models": rows}))
        return 0
    for row in rows:
        height, width = row["size"]
        print(
            f"{row['model']}: {row['summary']}; {row['frames']} frames of {height} x {width}: "
            f"{row['macs'] / 1e6:,.1f} million MACs, {row['params'] / 1e6:.2f} million params"
        )
    return 0
