"""The ``nasgait`` command: picks the subcommand and runs it to its exit code.

Exit codes: 0 done, 1 the run failed (or ``data check`` found faults), 2 wrong input, 130
interrupted, 143 terminated, 141 nobody reads stdout.
Results go to stdout, progress and logs to stderr.

Commands import what they run inside functions, so that help and a mistyped word are
answered at once.
"""

import argparse
import difflib
import importlib
import os
import sys
from collections.abc import Sequence

from nasgait import __version__
from nasgait.cli.ending import guard
from nasgait.cli.streams import lasting
from nasgait.core import interrupts

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


def main(argv: Sequence[str] | None = None, program: bool = False) -> int:
    """Entry point of the console script, and of a ``program`` whose words are ``argv``."""
    words = sys.argv[1:] if argv is None else list(argv)
    together = int(os.environ.get("WORLD_SIZE", 1)) > 1
    with interrupts.handled(together, program or argv is None), lasting():
        return start(words)


def start(words: Sequence[str]) -> int:
    """Parse ``words`` and run the command that they name."""
    parsed: list[argparse.Namespace] = []
    code = guard(lambda: parsed.append(parse(parser(words), words)))
    if code:
        return code
    (args,) = parsed
    resume = "with --resume" if hasattr(args, "resume") else "again"
    return guard(lambda: run(args), resume, args.command)


def run(args: argparse.Namespace) -> int | None:
    """Run the command that was parsed."""
    from nasgait.core.metrics_log import setup_logging
    from nasgait.core.parent_watchdog import leave_with_launcher

    setup_logging()
    leave_with_launcher()
    return args.run(args)


if __name__ == "__main__":
    sys.exit(main())
