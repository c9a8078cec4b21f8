"""``nasgait profile``: MACs and parameters, layer by layer or choice by choice."""

import argparse
import json
from dataclasses import asdict
from typing import Any

import torch

from nasgait.baselines.registry import build
from nasgait.core.errors import ConfigError
from nasgait.nn.base import GaitNetwork
from nasgait.profiling.crosscheck import Check, crosscheck
from nasgait.profiling.latency import Latency, latency
from nasgait.profiling.macs import Profile, profile
from search_spaces import load_architecture, load_space


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--arch", help="architecture: sposgait-small:0-5-5-4, or its file")
    what.add_argument("--model", help="hand-designed network: a name from `nasgait models`")
    what.add_argument("--space", help="search space: a name from `nasgait spaces`, or a file")
    parser.add_argument("--frames", type=int, help="frames of the sequence; its own by default")
    parser.add_argument("--classes", type=int, help="identities, for the params with classifier")
    parser.add_argument("--check", help="also run thop, fvcore or both: thop,fvcore")
    parser.add_argument(
        "--time", action="store_true", help="also time the embedding of one sequence here"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def run(args: argparse.Namespace) -> int:
    """Print the table; returns 0."""
    for flag, number in (("--frames", args.frames), ("--classes", args.classes)):
        if number is not None and number < 1:
            raise ConfigError(f"{flag}: must be at least 1, not {number}")
    if args.space:
        for flag, given in (("--check", args.check), ("--time", args.time)):
            if given:
                raise ConfigError(f"{flag}: takes one network; give --arch or --model, not --space")
        result = _space(args.space, args.frames)
        print(json.dumps(result) if args.json else _space_text(result))
        return 0
    names, network = _network(args)
    exact = profile(network, args.frames)
    tools = [tool.strip() for tool in args.check.split(",")] if args.check else []
    checks = crosscheck(network, exact, tools)
    timed = latency(_network(args, "cpu")[1], args.frames) if args.time else None
    if args.json:
        result = {**names, **asdict(exact), "checks": [asdict(c) for c in checks]}
        print(json.dumps(result | ({"seconds": asdict(timed)} if timed else {})))
    else:
        lines = [*_network_text(names, exact), *map(_check_text, checks)]
        print("\n".join(lines + ([_time_text(timed)] if timed else [])))
    return 0


def _network(args: argparse.Namespace, device: str = "meta") -> tuple[dict[str, Any], GaitNetwork]:
    """What was asked for, by name, and the network, by default without memory for its weights."""
    if args.model:
        with torch.device(device):
            return {"model": args.model}, build(args.model, args.classes)
    space, arch = load_architecture(args.arch)
    with torch.device(device):
        return {"arch": str(arch), "space": space.source}, space.build(arch, args.classes)


def _time_text(timed: Latency) -> str:
    return (
        f"time: {1000 * timed.median:.1f} ms a sequence, median of {timed.repeats} in float32 on "
        f"{timed.device} ({timed.threads} CPU threads); best {1000 * timed.best:.1f} ms"
    )


def _network_text(names: dict[str, Any], exact: Profile) -> list[str]:
    height, width = exact.size
    rows = [(layer.name, layer.macs, layer.params) for layer in exact.layers]
    return [
        f"{names.get('arch') or names['model']}, {exact.frames} frames of {height} x {width}",
        *_table(("layer", "MACs", "params"), [*rows, ("total", exact.macs, exact.params)]),
        f"FLOPs (2 x MACs): {2 * exact.macs:,}",
        f"params with classifier: {exact.params_with_classes:,}",
    ]


def _check_text(check: Check) -> str:
    lines = [f"{check.tool}: {check.macs:,} MACs, {check.params:,} params"]
    found = {"MACs": check.macs_differences, "params": check.params_differences}
    for kind, differences in found.items():
        if not differences:
            lines.append(f"  {kind}: equal")
        lines += [f"  {kind}: {d.amount:+,} {d.reason}" for d in differences]
    return "\n".join(lines)


def _space(name: str, frames: int | None) -> dict[str, Any]:
    space = load_space(name)
    table = space.cost_table(frames)
    layers = []
    for (_, blocks), costs in zip(space.spec.layers(), table.layers, strict=True):
        rows = enumerate(zip(blocks, costs, strict=True))
        layers.append([{"choice": i, "block": b, **asdict(cost)} for i, (b, cost) in rows])
    return {
        "space": space.source,
        "space_sha256": space.sha256,
        "paths": space.paths,
        "frames": table.frames,
        "size": list(space.size),
        "base": asdict(table.base),
        "layers": layers,
        "smallest": asdict(table.smallest),
        "largest": asdict(table.largest),
    }


def _space_text(result: dict[str, Any]) -> str:
    height, width = result["size"]
    rows: list[tuple[Any, ...]] = []
    for number, layer in enumerate(result["layers"]):
        rows += [(number, c["choice"], c["block"], c["macs"], c["params"]) for c in layer]
    base, *extremes = (
        (kind, "", "", result[kind]["macs"], result[kind]["params"])
        for kind in ("base", "smallest", "largest")
    )
    rows = [base, *rows, *extremes]
    shape = f"{result['frames']} frames of {height} x {width}"
    head = f"{result['space']}: {result['paths']:,} paths, {shape}"
    note = "an architecture costs the base plus its choice in each layer"
    return "\n".join([head, *_table(("layer", "choice", "block", "MACs", "params"), rows), note])


def _table(head: tuple[str, ...], rows: list[Any]) -> list[str]:
    """Columns of equal width; the last two are numbers."""
    cells = [head, *[tuple(f"{c:,}" if isinstance(c, int) else c for c in row) for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    numbers = len(head) - 2
    lines = []
    for row in cells:
        aligned = (
            c.rjust(w) if i >= numbers else c.ljust(w)
            for i, (c, w) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join(aligned).rstrip())
    return lines
