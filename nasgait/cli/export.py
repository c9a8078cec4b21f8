"""``nasgait export``: the slice of a supernet that one architecture uses."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("--arch", required=True, metavar="A", help="printed form or file")
    parser.add_argument("--supernet", required=True, metavar="CKPT", help="supernet checkpoint")
    parser.add_argument("--out", required=True, metavar="FILE", help="file to write")


def run(args: argparse.Namespace) -> None:
    """Export in this process."""
    from supernet.export import export

    export(args.arch, Path(args.supernet), Path(args.out))
