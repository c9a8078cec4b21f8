"""``nasgait spaces``: the search spaces that come with nasgait."""

import argparse
import json
from dataclasses import asdict
from typing import Any

from nasgait.baselines.reported import SEARCHED, SPOSGAIT
from search_spaces.space import SearchSpace, load_space, space_names


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    parser.add_argument("space", nargs="*", help="names or YAML files; all by default")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def run(args: argparse.Namespace) -> int:
    """Print one line for each space; returns 0."""
    rows: list[dict[str, Any]] = []
    for space in map(load_space, args.space or space_names()):
        table = space.cost_table()
        rows.append(
            {
                "space": space.source,
                "description": space.spec.description,
                "sha256": space.sha256,
                "paths": space.paths,
                "choices": list(space.choices),
                "frames": space.frames,
                "size": list(space.size),
                "macs": [table.smallest.macs, table.largest.macs],
                "params": [table.smallest.params, table.largest.params],
                "published": published(space),
            }
        )
    if args.json:
        print(json.dumps({"spaces": rows}))
        return 0
    for row in rows:
        (height, width), (least, most), (few, many) = row["size"], row["macs"], row["params"]
        print(
            f"{row['space']}: {row['description']}; {row['paths']:,} paths; "
            f"{row['frames']} frames of {height} x {width}: "
            f"{least / 1e6:,.1f} to {most / 1e6:,.1f} million MACs, "
            f"{few / 1e6:.2f} to {many / 1e6:.2f} million params"
        )
        if found := row["published"]:
            ranks = ", ".join(f"{r['dataset']} {r['rank1']:.1f}" for r in found["reported"])
            print(
                f"    published for {found['dataset']}: {found['arch']}, "
                f"{found['macs'] / 1e6:,.1f} million MACs, {found['params'] / 1e6:.2f} million "
                f"params; rank-1 %: {ranks or 'none stated with it'}"
            )
    print(f"\npublished architectures: {SPOSGAIT}; no rank-1 is stated there")
    return 0


def published(space: SearchSpace) -> dict[str, Any] | None:
    """The architecture that was published for a space, with its cost; None without one."""
    searched = SEARCHED.get(space.source)
    if searched is None:
        return None
    cost = space.cost(space.parse(searched.arch))
    return {**asdict(searched), "macs": cost.macs, "params": cost.params}
