"""``nasgait retrain``: train one final network from scratch and evaluate it."""

import argparse
from collections.abc import Iterable
from typing import TYPE_CHECKING

from nasgait.cli import stage
from nasgait.config.differences import flatten
from nasgait.config.names import folder_name
from nasgait.core.errors import ConfigError

if TYPE_CHECKING:
    from nasgait.config.schema import ExperimentConfig
    from retrain.networks import FinalNetwork


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command, and of ``python -m retrain.train``."""
    stage.add_config_arguments(parser)
    stage.add_network_arguments(parser)
    parser.add_argument(
        "--init",
        metavar="WEIGHTS",
        help="start from these: nasgait export, or a checkpoint of pretrain or retrain",
    )
    stage.add_init_partial(parser)
    parser.add_argument("--name", help="name in the results (default: the architecture or model)")
    parser.add_argument(
        "--kind",
        choices=("searched", "baseline", "random", "uniform"),
        help="how the network came about (default: searched for --arch, baseline for --model)",
    )
    stage.add_output_arguments(parser)
    stage.add_nproc(parser)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> None:
    """Train and evaluate here or under torchrun."""
    from nasgait.training.init import Start
    from retrain import train
    from retrain.inputs import folder_of

    check_name(args.name)
    config, network = stage.read_config(args), stage.network_of(args, args.name)
    check_overrides(args.overrides, config, network)
    folder = folder_of(network.name)
    out = stage.default_out(args, config, "retrain", folder, f"seed-{config.seed}")
    start = Start(args.init, args.init_partial)
    names = ("config", "arch", "model", "init", "name", "kind", "out", "resume", "json")
    stage.launch(
        "retrain.train",
        args,
        stage.words_of(args, *names, "init-partial"),
        lambda ranks: train.open_inputs(config, out, network, start, args.resume, ranks),
        lambda: stage.print_json(train.train(config, out, network, start, args.resume), args.json),
    )


def check_overrides(
    overrides: Iterable[str], config: "ExperimentConfig", network: "FinalNetwork"
) -> None:
    """Refuse overrides of ``retrain`` that would not reach the network: ConfigError."""
    key, _ = network.recipe(config)
    baseline = network.baseline(config)
    own = flatten(baseline.retrain) if baseline else {}
    for override in overrides:
        section, _, inner = override.partition("=")[0].partition(".")
        if section != "retrain":
            continue
        if key.endswith(".recipe") or any(f"{inner}.".startswith(f"{k}.") for k in own):
            raise ConfigError(
                f"{override}: {network.name} does not follow retrain in it, it has a value of its "
                f"own; give {key}.{override.removeprefix('retrain.')}"
            )


def check_name(name: str | None) -> None:
    """Refuse a ``--name`` that can be no folder's: ConfigError says what is allowed."""
    try:
        if name is not None:
            folder_name(name)
    except ValueError as error:
        raise ConfigError(f"--name: {error}") from None
