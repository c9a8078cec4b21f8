"""``nasgait search``: evolve architectures over a trained supernet."""

import argparse
import importlib

from nasgait.cli import stage

HELP = "search a trained supernet for the best architectures within budgets"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    stage.add_config_arguments(parser)
    stage.add_output_arguments(parser)
    parser.add_argument("--supernet", required=True, metavar="CKPT", help="supernet checkpoint")
    parser.add_argument(
        "--max-epochs", type=int, metavar="N", help="generations bred after the first random one"
    )
    parser.add_argument("--max-params", type=quantity, metavar="3M", help="parameter budget")
    compute = parser.add_mutually_exclusive_group()
    compute.add_argument(
        "--max-macs", type=quantity, metavar="5G", help="multiply-accumulate budget of a sequence"
    )
    compute.add_argument(
        "--max-flops", type=quantity, metavar="10G", help="the same in FLOPs (2 x MACs)"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    """Search in this process."""
    return importlib.import_module("supernet.search").run(args)


def quantity(text: str) -> float:
    """A number with an optional K, M, G or T: ``5G`` is 5e9.

    Raises argparse.ArgumentTypeError for anything else.
    """
    factors = {"K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
    factor = factors.get(text[-1:].upper())
    try:
        value = float(text[:-1]) * factor if factor else float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no amount; allowed: like 5G, 300M, 2.5e6")
    return value
