"""``nasgait supernet``: train the weight-sharing network."""

import argparse

from nasgait.cli import stage


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command, and of ``python -m supernet.train``."""
    stage.add_config_arguments(parser)
    parser.add_argument(
        "--init", metavar="WEIGHTS", help="start from this checkpoint of a supernet"
    )
    stage.add_init_partial(parser)
    stage.add_output_arguments(parser)
    stage.add_nproc(parser)


def run(args: argparse.Namespace) -> None:
    """Train here or under torchrun."""
    from nasgait.training.init import Start
    from supernet import train

    config, start = stage.read_config(args), Start(args.init, args.init_partial)
    out = stage.default_out(args, config, "supernet")
    stage.launch(
        "supernet.train",
        args,
        stage.words_of(args, "config", "init", "init-partial", "out", "resume"),
        lambda ranks: train.open_inputs(config, out, args.resume, ranks, start),
        lambda: train.train(config, out, args.resume, start),
    )
