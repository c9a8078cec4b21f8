"""What the commands that launch a stage share: config arguments and processes."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nasgait.core.errors import ConfigError

if TYPE_CHECKING:
    from nasgait.config.schema import ExperimentConfig
    from retrain.networks import FinalNetwork


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """``--config`` and the overrides."""
    parser.add_argument(
        "--config", required=True, metavar="C", help="experiment: YAML file or name"
    )
    add_overrides(parser)


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """``key=value`` pairs that change the configuration."""
    parser.add_argument(
        "overrides",
        nargs="*",
        default=[],
        metavar="key=value",
        help="change a key of the configuration, e.g. supernet.steps=500",
    )


def add_network_arguments(parser: argparse.ArgumentParser) -> None:
    """``--arch`` or ``--model``."""
    network = parser.add_mutually_exclusive_group(required=True)
    network.add_argument("--arch", metavar="A", help="architecture: printed form or file")
    network.add_argument("--model", metavar="M", help="hand-designed network (nasgait models)")


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """``--out`` and ``--resume``."""
    parser.add_argument("--out", metavar="DIR", help="output directory (default: below runs/)")
    parser.add_argument("--resume", action="store_true", help="continue where DIR stopped")


def add_on_damage(parser: argparse.ArgumentParser) -> None:
    """``--on-damage``, which is ``data.on_damage`` where there is a configuration."""
    parser.add_argument(
        "--on-damage",
        choices=("error", "skip"),
        default="error",
        help="damaged sequences of the store end the command, or are left out and named "
        "(default: error)",
    )


def add_init_partial(parser: argparse.ArgumentParser) -> None:
    """``--init-partial``, beside ``--init``."""
    parser.add_argument(
        "--init-partial",
        action="store_true",
        help="take of --init what fits by name and shape, also from another network; the rest "
        "stays fresh and is listed",
    )


def add_nproc(parser: argparse.ArgumentParser, whose: str = "") -> None:
    """``--nproc``: processes on this machine."""
    text = f"processes on this machine{whose} (default: 1)"
    parser.add_argument("--nproc", type=int, default=1, metavar="N", help=text)


def read_config(args: argparse.Namespace, flags: Sequence[str] = ()) -> "ExperimentConfig":
    """The configuration that the arguments name, with their overrides and those of ``flags``.

    Raises ConfigError for every fault, protocols and layouts that are unknown among them.
    """
    from nasgait.config.load import load_config
    from nasgait.core.faults import Faults, raise_all
    from nasgait.data.layouts import find_layout
    from nasgait.evaluation.protocols import find_protocol

    config, faults = load_config(args.config, [*args.overrides, *flags]), Faults()
    with faults.noted(args.config):
        find_protocol(config.evaluation.protocol, "evaluation.protocol")
    for i, baseline in enumerate(config.baselines):
        if baseline.evaluation:
            with faults.noted(args.config):
                find_protocol(baseline.evaluation.protocol, f"baselines.{i}.evaluation.protocol")
    if config.data.source:
        with faults.noted(args.config):
            find_layout(config.data.source.layout, "data.source.layout")
    raise_all(faults.found)
    return config


def network_of(args: argparse.Namespace, name: str | None = None) -> "FinalNetwork":
    """The network that ``--arch`` or ``--model`` names; ``name`` is what results call it."""
    from retrain.network_spec import NetworkSpec
    from retrain.networks import FinalNetwork

    if args.model is None:
        # An architecture's file is resolved now: results name what it holds.
        args.arch = NetworkSpec.of(args.arch, None).arch
    title = name or args.arch or args.model
    kind = getattr(args, "kind", None) or ("searched" if args.arch else "baseline")
    return FinalNetwork(title, kind, args.arch, args.model, entry=name)


def default_out(args: argparse.Namespace, config: "ExperimentConfig", *parts: str) -> Path:
    """``--out``, or the stage's place below ``runs/<name>``."""
    return Path(args.out) if args.out else Path("runs", config.name, *parts)


def launch(
    module: str,
    args: argparse.Namespace,
    argv: list[str],
    check: Callable[[int], object],
    action: Callable[[], object],
) -> None:
    """Run a stage here by ``action``, or ``module`` in ``args.nproc`` processes.

    ``argv`` are the arguments as words, for the module.  ``check`` opens the inputs for so many
    processes, so that faults are reported before any starts.  Raises ConfigError unless
    ``--nproc`` is positive, RunFailed when a process ended with an error, Interrupted when all
    have stopped because one was asked to.
    """
    if args.nproc < 1:
        raise ConfigError(f"--nproc {args.nproc}: must be 1 or more")
    if args.nproc == 1 or "TORCHELASTIC_RUN_ID" in os.environ:  # a rank starts no others
        action()
        return
    from nasgait.cli.ranks import run_ranks

    check(args.nproc)
    run_ranks([sys.executable, "-m", module, *argv], args.nproc)


def words_of(args: argparse.Namespace, *names: str) -> list[str]:
    """The given ones of these arguments as a command line has them, then the overrides."""
    words: list[str] = []
    for name in names:
        value = getattr(args, name.replace("-", "_"))
        if value is True:
            words.append(f"--{name}")
        elif value is not None and value is not False:
            words += [f"--{name}", str(value)]
    return [*words, *args.overrides]


def print_json(result: dict[str, Any] | None, wanted: bool) -> None:
    """Print a result as one JSON object, if there is one and it is wanted."""
    if wanted and result is not None:
        json.dump(result, sys.stdout)
        print()
