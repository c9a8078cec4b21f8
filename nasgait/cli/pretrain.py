"""``nasgait pretrain``: teach one network without labels."""

import argparse

from nasgait.cli import stage

HELP = "pre-train an architecture or a baseline on sequences without labels (for retrain --init)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command, and of ``python -m retrain.pretrain``."""
    stage.add_config_arguments(parser)
    network = parser.add_mutually_exclusive_group(required=True)
    network.add_argument("--arch", metavar="A", help="architecture: printed form or file")
    network.add_argument("--model", metavar="M", help="hand-designed network (nasgait models)")
    stage.add_output_arguments(parser)
    stage.add_nproc(parser)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    """Pre-train here or under torchrun."""
    argv: list[str] = []
    for name in ("config", "arch", "model", "out", "resume", "json"):
        argv += stage.option(f"--{name}", getattr(args, name))
    return stage.launch("retrain.pretrain", args, [*argv, *args.overrides])
