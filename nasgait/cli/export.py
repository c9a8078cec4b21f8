"""``nasgait export``: the slice of a supernet that one architecture uses."""

import argparse
import importlib

HELP = "write an architecture's slice of a supernet, to start retraining from (--init)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("--arch", required=True, metavar="A", help="printed form or file")
    parser.add_argument("--supernet", required=True, metavar="CKPT", help="supernet checkpoint")
    parser.add_argument("--out", required=True, metavar="FILE", help="file to write")


def run(args: argparse.Namespace) -> int:
    """Export in this process."""
    return importlib.import_module("supernet.export").run(args)
