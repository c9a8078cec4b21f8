"""``nasgait rank``: does the supernet order architectures as retraining does?"""

import argparse
import importlib

from nasgait.cli import stage

HELP = "compare a supernet's scores with the rates of retrained networks"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    stage.add_config_arguments(parser)
    parser.add_argument("--supernet", required=True, metavar="CKPT", help="supernet checkpoint")
    parser.add_argument(
        "--truth",
        required=True,
        metavar="TABLE",
        help="results.json of a run, or a CSV with the columns arch and map (or rank1)",
    )
    parser.add_argument("--out", metavar="FILE", help="also write the result there, as JSON")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    """Rank in this process."""
    return importlib.import_module("supernet.rank").run(args)
