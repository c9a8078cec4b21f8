"""``nasgait convert``: a published checkpoint as one of ours."""

import argparse
import json
import sys
from dataclasses import asdict

from nasgait.compat.convert import convert
from nasgait.config.load import read_yaml
from nasgait.core.errors import ConfigError

TERMS = (
    "note: published weights come with the terms of their authors and of the dataset they were "
    "trained on, as a rule academic use only; converting them changes none of that"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("config", metavar="CONFIG", help="the published YAML file")
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="the published .pt or .pth file")
    parser.add_argument("out", metavar="OUT", help="checkpoint to write")
    parser.add_argument(
        "--variant", choices=("casia-b", "oumvlp", "gait3d"), help="HSTL: which of its networks"
    )
    parser.add_argument(
        "--arch",
        type=choices,
        metavar="0-5-5-4",
        help="SPOSGait: keep this path alone (default: retrain.search_network of CONFIG, or the "
        "whole supernet without one)",
    )
    parser.add_argument("--supernet", action="store_true", help="SPOSGait: keep the whole supernet")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def choices(text: str) -> tuple[int, ...]:
    """``0-5-5-4`` as numbers."""
    try:
        return tuple(int(part) for part in text.split("-"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: write it like 0-5-5-4") from None


def run(args: argparse.Namespace) -> int:
    """Convert in this process."""
    if args.supernet and args.arch:
        raise ConfigError("--supernet keeps every path, --arch one: give one of them")
    config = read_yaml(args.config)
    if args.supernet:
        config.pop("retrain", None)
    done = convert(config, args.checkpoint, args.out, args.variant, args.arch)
    print(TERMS, file=sys.stderr)
    if args.json:
        print(json.dumps(asdict(done)))
        return 0
    print(f"{args.out}: {done.kind} {done.title}")
    if done.kind == "supernet":
        print(f"next: nasgait search --config C --supernet {args.out} space={done.space}")
    else:
        print(f"next: nasgait eval --checkpoint {args.out} --store STORE --protocol P")
    return 0
