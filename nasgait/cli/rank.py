"""``nasgait rank``: does the supernet order architectures as retraining does?"""

import argparse
import json
from pathlib import Path

from nasgait.cli import stage


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


def run(args: argparse.Namespace) -> None:
    """Rank in this process."""
    from nasgait.core.checksum import write_checked
    from supernet import rank

    report = rank.rank(stage.read_config(args), Path(args.supernet), Path(args.truth))
    if args.out:
        write_checked(Path(args.out), report)
    print(json.dumps(report, indent=1) if args.json else "\n".join(rank.words(report)))
