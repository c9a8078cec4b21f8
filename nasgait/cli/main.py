"""The ``nasgait`` command: picks the subcommand and turns errors into exit codes.

Exit codes: 0 done, 1 the run failed (or ``data check`` found faults), 2 wrong input.
Results go to stdout, progress and logs to stderr.

Commands import what they run inside functions, so that help and a mistyped word are
answered at once.
"""

import argparse
import difflib
import errno
import importlib
import sys
from collections.abc import Callable, Sequence

from nasgait import __version__
from nasgait.core.errors import NasgaitError, RunFailed

COMMANDS = {
    "run": "go the whole way: data, supernet, search, retraining, evaluation, report",
    "data": "make a store of silhouettes, check it, look at it",
    "supernet": "train the weight-sharing supernet of a search space",
    "search": "search a trained supernet for the best architectures within budgets",
    "profile": "MACs and parameters of an architecture, a baseline or a whole search space",
    "export": "write an architecture's slice of a supernet, to start retraining from (--init)",
    "convert": "turn a published OpenGait, SPOSGait, HSTL or SelfGait checkpoint into nasgait's",
    "pretrain": "pre-train a network on sequences without labels (for retrain --init)",
    "retrain": "train an architecture or a baseline from scratch and evaluate it",
    "eval": "evaluate a trained network on a store, also another than it was trained on",
    "rank": "compare a supernet's scores with the metrics of retrained networks",
    "report": "write the result page of a run directory",
    "spaces": "list the search spaces and what was found in them, or describe one's own YAML file",
    "models": "list the hand-designed networks, what they cost and what others report of them",
}
"""What each command does, in a line; its module has the same name."""


def parser(words: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The parser of the command that ``words`` begin with, whose module alone is imported.

    Where they begin with none, the commands are known by name only.
    """
    top = argparse.ArgumentParser(
        prog="nasgait", description="Neural architecture search for gait recognition."
    )
    top.add_argument("--version", action="version", version=f"nasgait {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary)
        if words[:1] == [name]:
            module = importlib.import_module(f"nasgait.cli.{name}")
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    return top


def parse(top: argparse.ArgumentParser, words: Sequence[str]) -> argparse.Namespace:
    """Parse ``words``; ``key=value`` pairs may also stand behind options.

    argparse takes all positional arguments at one place or none, so pairs after an
    option come out as unknown.
    """
    if words and not words[0].startswith("-") and words[0] not in COMMANDS:
        top.error(unknown_command(words[0]))
    args, rest = top.parse_known_args(words)
    overrides = getattr(args, "overrides", None)
    strange = [word for word in rest if word.startswith("-") or "=" not in word]
    if strange or (rest and overrides is None):
        top.error(f"unrecognized arguments: {' '.join(strange or rest)}")
    if rest:
        args.overrides = [*(overrides or []), *rest]
    return args


def unknown_command(word: str) -> str:
    """The error for a mistyped command."""
    close = difflib.get_close_matches(word, COMMANDS, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"{word!r} is no command{hint} (commands: {', '.join(COMMANDS)})"


def guard(action: Callable[[], int | None], resume: str = "again") -> int:
    """Run ``action`` and return an exit code; people see one line, not a traceback.

    ``resume`` says how the same command continues after an interruption.
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
    from nasgait.core.metrics_log import setup_logging
    from nasgait.core.parent_watchdog import leave_with_launcher

    setup_logging()
    leave_with_launcher()
    return guard(lambda: args.run(args), "with --resume" if hasattr(args, "resume") else "again")


if __name__ == "__main__":
    sys.exit(main())
