"""``nasgait supernet``: train the weight-sharing network."""

import argparse

from nasgait.cli import stage

HELP = "train the weight-sharing supernet of a search space"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command, and of ``python -m supernet.train``."""
    stage.add_config_arguments(parser)
    stage.add_output_arguments(parser)
    stage.add_nproc(parser)


def run(args: argparse.Namespace) -> int:
    """Train here or under torchrun."""
    argv = [*stage.option("--config", args.config), *stage.option("--out", args.out)]
    argv += [*stage.option("--resume", args.resume), *args.overrides]
    return stage.launch("supernet.train", args, argv)
