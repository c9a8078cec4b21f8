"""``nasgait supernet``: train the weight-sharing network."""

import argparse

from nasgait.cli import stage


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command, and of ``python -m supernet.train``."""
    stage.add_config_arguments(parser)
    stage.add_output_arguments(parser)
    stage.add_nproc(parser)


def run(args: argparse.Namespace) -> None:
    """Train here or under torchrun."""
    from supernet import train

    config = stage.read_config(args)
    out = stage.default_out(args, config, "supernet")
    stage.launch(
        "supernet.train",
        args,
        stage.words_of(args, "config", "out", "resume"),
        lambda ranks: train.open_inputs(config, out, args.resume, ranks),
        lambda: train.train(config, out, args.resume),
    )
