"""``nasgait report``: the result page of a run directory."""

import argparse
import json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("dir", metavar="DIR", help="run directory, whole or unfinished")
    parser.add_argument("--json", action="store_true", help="print the page's path as JSON")


def run(args: argparse.Namespace) -> None:
    """Write the page and print where it is."""
    from nasgait.report.page import write_report

    page = write_report(args.dir)
    print(json.dumps({"report": str(page)}) if args.json else page)
