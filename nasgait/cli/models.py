"""``nasgait models``: the hand-designed networks that come with nasgait."""

import argparse
import json
from dataclasses import asdict
from typing import Any

import torch

from nasgait.baselines.registry import VARIANTS, build
from nasgait.baselines.reported import ZOO
from nasgait.profiling.macs import profile


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def run(args: argparse.Namespace) -> int:
    """Print one line for each network; returns 0."""
    rows = [row(name) for name in VARIANTS]
    if args.json:
        print(json.dumps({"models": rows}))
        return 0
    print(f"{'model':24}{'input':>14}{'MACs (M)':>12}{'params (M)':>12}  published rank-1 %")
    for one in rows:
        height, width = one["size"]
        ranks = ", ".join(f"{r['dataset']} {r['rank1']:.1f}" for r in one["reported"])
        print(
            f"{one['model']:24}{one['frames']:>5} x{height:>4} x{width:>3}"
            f"{one['macs'] / 1e6:>12,.1f}{one['params'] / 1e6:>12.2f}  {ranks}".rstrip()
        )
    print(f"\npublished results: {ZOO}; measured by their authors, not here\n")
    for one in rows:
        print(f"{one['model']}: {one['summary']}")
    return 0


def row(name: str) -> dict[str, Any]:
    """What is known of one network; MACs of one sequence at its own input."""
    with torch.device("meta"):
        cost = profile(build(name))
    return {
        "model": name,
        "summary": VARIANTS[name].summary,
        "frames": cost.frames,
        "size": list(cost.size),
        "macs": cost.macs,
        "params": cost.params,
        "reported": [asdict(result) for result in VARIANTS[name].reported],
    }
