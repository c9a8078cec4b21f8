"""Processes that this one starts and waits for: signals reach them, and their end is understood."""

import contextlib
import math
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import IO

from nasgait.core.interrupts import (
    STOPS,
    Interrupted,
    check,
    deferred,
    held,
    passing_on,
    stop_signal,
)
from nasgait.core.parent_watchdog import child_environment

STOPPED = {128 + number: number for number in STOPS} | {-number: number for number in STOPS}
"""How a child ends that was asked to stop: by itself, or before it could handle the signal."""
GRACE = 5.0
"""Seconds for the other processes of a group to end by themselves after one has failed."""
LOOK = 0.05


def run_child(
    command: Sequence[str], environment: Mapping[str, str] | None = None, log: IO[str] | None = None
) -> int:
    """Run ``command`` to its end and return its code, negative for the signal that ended it.

    ``environment`` holds additions to this process's own; ``log`` takes stdout and stderr.  Raises
    Interrupted, once the child has ended, where it or this process was asked to stop.
    """
    failure = run_children([command], [environment or {}], log)
    return failure[1] if failure else 0


def run_children(
    commands: Sequence[Sequence[str]],
    environments: Sequence[Mapping[str, str]],
    log: IO[str] | None = None,
) -> tuple[int, int] | None:
    """Run ``commands`` side by side to their ends, as :func:`run_child` runs one.

    Once one has failed, the others get a moment to end by themselves and are killed then.  Returns
    the number of the first that failed and its code, None where none has.
    """
    check()
    with deferred(), ExitStack() as ends:
        children = []
        with held():
            for command, environment in zip(commands, environments, strict=True):
                own = {**child_environment(), **environment}
                child = subprocess.Popen(command, stdout=log, stderr=log, env=own)
                children.append(child)
                ends.enter_context(passing_on(child))
        failure = _wait(children)
    stopped = [STOPPED[child.returncode] for child in children if child.returncode in STOPPED]
    # A signal may have reached a child alone.
    if stopped or (failure and stop_signal()):
        raise Interrupted(stop_signal() or stopped[0])
    return failure


def _wait(children: Sequence[subprocess.Popen[bytes]]) -> tuple[int, int] | None:
    """Wait until all have ended; the number and code of the first that failed."""
    failure, deadline = None, math.inf
    while left := [child for child in children if child.poll() is None]:
        failure = failure or _failed(children)
        if failure and deadline == math.inf:
            deadline = time.monotonic() + GRACE
        if time.monotonic() > deadline:
            for child in left:
                child.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            left[0].wait(LOOK)
    return failure or _failed(children)


def _failed(children: Sequence[subprocess.Popen[bytes]]) -> tuple[int, int] | None:
    """A child that has failed: one that a signal ended before one that fails since that is gone."""
    found = [
        (child.returncode, number)
        for number, child in enumerate(children)
        if child.returncode not in (None, 0, *STOPPED)
    ]
    return min(found)[::-1] if found else None


def how_it_ended(code: int) -> str:
    """The end of a process in words, and its likely cause."""
    if code >= 0:
        return f"ended with status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "unknown"
    if -code == signal.SIGKILL:
        return (
            "was ended by signal 9 (SIGKILL), most likely by the kernel because memory ran out "
            "(dmesg says so)"
        )
    return f"was ended by signal {-code} ({name})"
