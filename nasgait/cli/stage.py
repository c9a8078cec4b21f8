"""What the commands that launch a stage share: config arguments and processes."""

import argparse
import importlib
import subprocess
import sys
from pathlib import Path

from nasgait.config.load import load_config
from nasgait.config.schema import ExperimentConfig
from nasgait.core.errors import ConfigError, RunFailed
from nasgait.core.parent_watchdog import child_environment


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
        metavar="key=value",
        help="change a key of the configuration, e.g. supernet.steps=500",
    )


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """``--out`` and ``--resume``."""
    parser.add_argument("--out", metavar="DIR", help="output directory (default: below runs/)")
    parser.add_argument("--resume", action="store_true", help="go on where DIR stopped")


def add_nproc(parser: argparse.ArgumentParser) -> None:
    """``--nproc``: processes on this machine, started by torchrun."""
    parser.add_argument(
        "--nproc", type=int, default=1, metavar="N", help="processes on this machine (default: 1)"
    )


def read_config(args: argparse.Namespace) -> ExperimentConfig:
    """The configuration that the arguments name, with their overrides."""
    from nasgait.evaluation.protocols import find_protocol

    config = load_config(args.config, args.overrides)
    for evaluation in (config.evaluation, *(b.evaluation for b in config.baselines)):
        if evaluation:
            find_protocol(evaluation.protocol, f"{args.config}: evaluation.protocol")
    return config


def space_of(config: ExperimentConfig, purpose: str) -> str:
    """The configuration's search space; ConfigError if there is none, naming the ``purpose``."""
    if config.space is None:
        raise ConfigError(
            f"space: is null, that is a run without a search, but {purpose} needs one; give a name "
            "of nasgait spaces or a YAML file, e.g. space=nano"
        )
    return config.space


def default_out(args: argparse.Namespace, config: ExperimentConfig, *parts: str) -> Path:
    """``--out``, or the stage's place below ``runs/<name>``."""
    return Path(args.out) if args.out else Path("runs", config.name, *parts)


def launch(module: str, args: argparse.Namespace, argv: list[str]) -> int:
    """Run a stage here, or in ``args.nproc`` processes under torchrun.

    Raises:
        ConfigError: ``--nproc`` is not positive.
        RunFailed: a process ended with an error.
    """
    if args.nproc < 1:
        raise ConfigError(f"--nproc {args.nproc}: must be 1 or more")
    stage = importlib.import_module(module)
    if args.nproc == 1:
        return stage.run(args)
    stage.check(args)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [f"--nproc_per_node={args.nproc}", "-m", module, *argv]
    code = subprocess.run(command, env=child_environment(), check=False).returncode
    if code:
        raise RunFailed(f"{module} ended with status {code} in one of {args.nproc} processes")
    return 0


def option(name: str, value: object) -> list[str]:
    """``[name, value]``, ``[name]`` for True, nothing for None and False."""
    if value is None or value is False:
        return []
    return [name] if value is True else [name, str(value)]
