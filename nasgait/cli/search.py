"""``nasgait search``: evolve architectures over a trained supernet."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nasgait.cli import stage
from nasgait.config.amount import amount, duration
from nasgait.core.errors import ConfigError

if TYPE_CHECKING:
    from nasgait.config.schema import ExperimentConfig
    from nasgait.search.state import SearchResult


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    stage.add_config_arguments(parser)
    stage.add_output_arguments(parser)
    parser.add_argument("--supernet", required=True, metavar="CKPT", help="supernet checkpoint")
    parser.add_argument(
        "--max-epochs", type=int, metavar="N", help="generations bred after the first random one"
    )
    quantity, time = checked(amount), checked(duration)
    parser.add_argument("--max-params", type=quantity, metavar="3M", help="parameter budget")
    compute = parser.add_mutually_exclusive_group()
    compute.add_argument(
        "--max-macs", type=quantity, metavar="5G", help="multiply-accumulate budget of a sequence"
    )
    compute.add_argument(
        "--max-flops", type=quantity, metavar="10G", help="the same in FLOPs (2 x MACs)"
    )
    parser.add_argument(
        "--max-latency", type=time, metavar="50ms", help="time budget of a sequence, measured here"
    )
    parser.add_argument(
        "--backend", choices=("local", "ray"), help="score in this process, or by workers on Ray"
    )
    parser.add_argument(
        "--ray-address", metavar="HOST:PORT", help="a running Ray cluster, or auto to look for one"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> None:
    """Search; this process breeds and keeps the ledger, whoever scores."""
    from supernet.search import search

    config = stage.read_config(args, flag_overrides(args))
    if args.ray_address is not None and config.search.backend != "ray":
        raise ConfigError("--ray-address: needs --backend ray")
    out = stage.default_out(args, config, "search")
    result = search(config, Path(args.supernet), out, args.resume)
    stage.print_json(summary(config, out, result) if args.json else None, args.json)


def summary(config: "ExperimentConfig", out: Path, result: "SearchResult") -> dict[str, Any]:
    """The winner as ``--json`` prints it."""
    import yaml

    best = yaml.safe_load((out / "best.yaml").read_text(encoding="utf-8"))
    values, choices = result.best.values, "-".join(map(str, result.best.choices))
    return {
        "arch": f"{config.space}:{choices}",
        "score": values[config.search.metric],
        **values,
        **best["origin"],
        "ended_early": result.ended_early,
    }


def checked(read: Callable[[str], float]) -> Callable[[str], float]:
    """``read`` for argparse, which shows the words of its own error only."""

    def value(text: str) -> float:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return value


def flag_overrides(args: argparse.Namespace) -> list[str]:
    """The command's own flags as ``key=value`` overrides.

    Raises ConfigError when a flag meets an override of the same key.
    """
    given = {
        "backend": args.backend,
        "ray.address": args.ray_address,
        "max_epochs": args.max_epochs,
        "max_macs": args.max_flops / 2 if args.max_flops else args.max_macs,
        "max_params": args.max_params,
        "max_latency": args.max_latency,
    }
    flags = {f"search.{name}": value for name, value in given.items() if value is not None}
    twice = {override.partition("=")[0].strip() for override in args.overrides} & flags.keys()
    if twice:
        raise ConfigError(f"{', '.join(sorted(twice))}: given by a flag as well; give one of them")
    return [f"{key}={value}" for key, value in flags.items()]
