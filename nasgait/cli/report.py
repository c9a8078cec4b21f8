"""``nasgait report``: the result page of a run directory."""

import argparse
import importlib
import json

HELP = "write the result page of a run directory"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("dir", metavar="DIR", help="run directory, whole or unfinished")
    parser.add_argument("--json", action="store_true", help="print the page's path as JSON")


def run(args: argparse.Namespace) -> int:
    """Write the page and print where it is."""
    # Drawing takes a second to import, which other commands need not wait for.
    page = importlib.import_module("nasgait.report.page").write_report(args.dir)
    print(json.dumps({"report": str(page)}) if args.json else page)
    return 0
