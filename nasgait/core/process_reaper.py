"""Nothing that a process started outlives it, even if it is killed and they are daemons.

A helper process reads from a pipe, which the kernel closes when the other end dies, however that
happens.  Then it kills all that was started, known by a mark that every child inherits in its
environment.  The helper runs this file as a script and imports nothing from nasgait.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MARK = "NASGAIT_REAPER"
"""Environment variable that marks what is to be killed."""

REPEATS = 64
"""How often the mark is repeated in it: a process that gives itself a longer title, as Ray's agents
do, overwrites the first hundred bytes or so of its environment."""

PROCESSES = Path("/proc")
QUIET = 5
"""After so many passes in a row that find nothing, nothing is left."""
PASSES = 100
"""At most so many passes: what the kernel cannot kill stays."""


@contextmanager
def reaping(*folders: str) -> Iterator[None]:
    """Kill at the end what was started within the block, also when this process is killed.

    Then removes ``folders``, which belonged to it.  Finds processes in ``/proc``; where there is
    none, none is killed.
    """
    mark = uuid.uuid4().hex
    # In a session of its own, so that Ctrl-C does not reach it.
    command = [sys.executable, "-S", __file__, mark, *folders]
    reaper = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    before = os.environ.get(MARK)
    os.environ[MARK] = mark * REPEATS
    try:
        yield
    finally:
        del os.environ[MARK]
        if before is not None:
            os.environ[MARK] = before
        reaper.communicate()


def reap(mark: str) -> None:
    """Kill every process that was started with the mark in its environment."""
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
        # Again and again, for what was being started meanwhile.
        quiet = 0 if killed else quiet + 1
        if quiet == QUIET:
            return
        time.sleep(0.1)


if __name__ == "__main__":
    sys.stdin.read()
    reap(sys.argv[1])
    for folder in sys.argv[2:]:
        shutil.rmtree(folder, ignore_errors=True)
