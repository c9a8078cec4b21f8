"""``nasgait pretrain``: teach one network without labels."""

import argparse

from nasgait.cli import stage


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command, and of ``python -m retrain.pretrain``."""
    stage.add_config_arguments(parser)
    stage.add_network_arguments(parser)
    stage.add_output_arguments(parser)
    stage.add_nproc(parser)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> None:
    """Pre-train here or under torchrun."""
    from retrain import pretrain
    from retrain.inputs import folder_of

    config, network = stage.read_config(args), stage.network_of(args)
    folder = folder_of(network.name)
    out = stage.default_out(args, config, "pretrain", folder, f"seed-{config.seed}")
    stage.launch(
        "retrain.pretrain",
        args,
        stage.words_of(args, "config", "arch", "model", "out", "resume", "json"),
        lambda ranks: pretrain.open_inputs(config, out, network, args.resume, ranks),
        lambda: stage.print_json(pretrain.pretrain(config, out, network, args.resume), args.json),
    )
