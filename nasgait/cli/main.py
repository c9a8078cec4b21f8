"""The ``nasgait`` command: picks the subcommand and turns errors into exit codes.

Exit codes: 0 done, 1 the run failed (or ``data check`` found faults), 2 wrong
input.  Results go to stdout, progress and logs to stderr.
"""

import argparse
import errno
import importlib
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from types import ModuleType

from nasgait.core.errors import NasgaitError, RunFailed
from nasgait.core.metrics_log import setup_logging
from nasgait.core.parent_watchdog import leave_with_launcher

COMMANDS = {
    "run": "nasgait.cli.run",
    "data": "nasgait.cli.data",
    "supernet": "nasgait.cli.supernet",
    "search": "nasgait.cli.search",
    "profile": "nasgait.cli.profile",
    "export": "nasgait.cli.export",
    "convert": "nasgait.cli.convert",
    "pretrain": "nasgait.cli.pretrain",
    "retrain": "nasgait.cli.retrain",
    "eval": "nasgait.cli.eval",
    "rank": "nasgait.cli.rank",
    "report": "nasgait.cli.report",
    "spaces": "nasgait.cli.spaces",
    "models": "nasgait.cli.models",
}


def parser(words: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The parser of all commands, or of the one that ``words`` begin with: it alone is imported."""
    top = argparse.ArgumentParser(
        prog="nasgait", description="Neural architecture search for gait recognition."
    )
    top.add_argument("--version", action="version", version=f"nasgait {version('nasgait')}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in words[:1] if words and words[0] in COMMANDS else COMMANDS:
        module = importlib.import_module(COMMANDS[name])
        command = commands.add_parser(name, help=module.HELP, description=module.HELP)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return top


def parse(top: argparse.ArgumentParser, words: Sequence[str]) -> argparse.Namespace:
    """Parse ``words``; ``key=value`` pairs may also stand behind options.

    argparse takes all positional arguments at one place or none, so pairs after an
    option come out as unknown.
    """
    args, rest = top.parse_known_args(words)
    overrides = getattr(args, "overrides", None)
    strange = [word for word in rest if word.startswith("-") or "=" not in word]
    if strange or (rest and overrides is None):
        top.error(f"unrecognized arguments: {' '.join(strange or rest)}")
    if rest:
        args.overrides = [*(overrides or []), *rest]
    return args


def guard(action: Callable[[], int | None], resume: str = "again") -> int:
    """Run ``action`` and return an exit code; people see one line, not a traceback.

    ``resume`` says how the same command goes on after an interruption.
    """
    try:
        return action() or 0
    except NasgaitError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except RunFailed as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"interrupted; the same command {resume} goes on", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 141
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            print(f"failed: {error.strerror}; the same command {resume} goes on", file=sys.stderr)
            return 1
        if error.filename is None:
            raise
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the console script."""
    words = sys.argv[1:] if argv is None else list(argv)
    args = parse(parser(words), words)
    setup_logging()
    leave_with_launcher()
    return guard(lambda: args.run(args), "with --resume" if hasattr(args, "resume") else "again")


def stage_main(prog: str, command: ModuleType, action: Callable[[argparse.Namespace], int]) -> int:
    """Entry point of a stage under torchrun, with the arguments of its command."""
    top = argparse.ArgumentParser(prog=prog, description=command.HELP)
    command.add_arguments(top)
    args = parse(top, sys.argv[1:])
    setup_logging()
    leave_with_launcher()
    return guard(lambda: action(args), "with --resume")


if __name__ == "__main__":
    sys.exit(main())
