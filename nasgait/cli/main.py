"""The ``nasgait`` command: picks the subcommand and turns errors into exit codes.

Exit codes: 0 done, 1 the run failed (or ``data check`` found faults), 2 wrong
input.  Results go to stdout, progress and logs to stderr.
"""

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence

from nasgait.engine.logging import setup_logging
from nasgait.errors import NasgaitError, RunFailed

COMMANDS = {
    "run": "nasgait.cli.run",
    "data": "nasgait.cli.data",
    "supernet": "nasgait.cli.supernet",
    "search": "nasgait.cli.search",
    "profile": "nasgait.cli.profile",
    "export": "nasgait.cli.export",
    "retrain": "nasgait.cli.retrain",
    "eval": "nasgait.cli.eval",
    "rank": "nasgait.cli.rank",
    "report": "nasgait.cli.report",
    "spaces": "nasgait.cli.spaces",
    "models": "nasgait.cli.models",
}


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    top = argparse.ArgumentParser(
        prog="nasgait", description="Neural architecture search for gait recognition."
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, module_name in COMMANDS.items():
        module = importlib.import_module(module_name)
        command = commands.add_parser(name, help=module.HELP, description=module.HELP)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return top


def guard(action: Callable[[], int | None]) -> int:
    """Run ``action`` and return an exit code; people see one line, not a traceback."""
    try:
        return action() or 0
    except NasgaitError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except RunFailed as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command with --resume goes on", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 141


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the console script."""
    args = parser().parse_args(argv)
    setup_logging()
    return guard(lambda: args.run(args))


if __name__ == "__main__":
    sys.exit(main())
