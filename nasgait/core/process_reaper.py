"""Nothing that a process starts runs on when it is killed, even where it starts daemons.

A process of its own waits at the end of a pipe, which the kernel closes when the other end
dies, however that happened; then it kills all that was started, known by a mark that every
child inherits in its environment.  It is run as a script and imports nothing of ours.
"""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MARK = "NASGAIT_SWEEP"
"""Environment variable that marks what is to be killed."""

REPEATS = 64
"""How often the mark is in it: a process that gives itself a longer title, as Ray's agents do,
writes over the beginning of its environment, some hundred bytes."""

PROCESSES = Path("/proc")
QUIET = 5
"""Looks around in a row that find nothing, after which nothing is taken to be left."""
PASSES = 100
"""Looks around at most: what the kernel cannot kill stays."""


@contextmanager
def swept() -> Iterator[None]:
    """Kill at the end what was started within and runs on, also when this process is killed.

    Looks processes up in ``/proc``: where there is none, they leave as they please.
    """
    mark = uuid.uuid4().hex
    # In a session of its own, so that Ctrl-C does not reach it.
    command = [sys.executable, "-S", __file__, mark]
    sweeper = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    before = os.environ.get(MARK)
    os.environ[MARK] = mark * REPEATS
    try:
        yield
    finally:
        del os.environ[MARK]
        if before is not None:
            os.environ[MARK] = before
        sweeper.communicate()


def sweep(mark: str) -> None:
    """Kill every process that began with the mark in its environment."""
    quiet = 0
    for _ in range(PASSES):
        killed = False
        for folder in PROCESSES.glob("[0-9]*"):
            try:
                if mark.encode() in (folder / "environ").read_bytes():
                    os.kill(int(folder.name), signal.SIGKILL)
                    killed = True
            except OSError:  # gone by now, or not ours
                continue
        # Once more, and again, for what was being started meanwhile.
        quiet = 0 if killed else quiet + 1
        if quiet == QUIET:
            return
        time.sleep(0.1)


if __name__ == "__main__":
    sys.stdin.read()
    sweep(sys.argv[1])
