"""``nasgait retrain``: train one final network from scratch and judge it."""

import argparse

from nasgait.cli import stage

HELP = "train an architecture or a baseline from scratch and evaluate it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command, and of ``python -m retrain.train``."""
    stage.add_config_arguments(parser)
    network = parser.add_mutually_exclusive_group(required=True)
    network.add_argument("--arch", metavar="A", help="architecture: printed form or file")
    network.add_argument("--model", metavar="M", help="hand-designed network (nasgait models)")
    parser.add_argument(
        "--init",
        metavar="WEIGHTS",
        help="start from these: nasgait export, or a checkpoint of pretrain or retrain",
    )
    parser.add_argument(
        "--init-partial",
        action="store_true",
        help="take of --init what fits by name and shape, also from another network; the rest "
        "stays fresh and is listed",
    )
    parser.add_argument("--name", help="name in the results (default: the architecture or model)")
    parser.add_argument(
        "--kind",
        choices=("searched", "baseline", "random", "uniform"),
        help="how the network came about (default: searched for --arch, baseline for --model)",
    )
    stage.add_output_arguments(parser)
    stage.add_nproc(parser)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    """Train and evaluate here or under torchrun."""
    argv: list[str] = []
    for name in ("config", "arch", "model", "init", "name", "kind", "out", "resume", "json"):
        argv += stage.option(f"--{name}", getattr(args, name))
    argv += stage.option("--init-partial", args.init_partial)
    return stage.launch("retrain.train", args, [*argv, *args.overrides])
