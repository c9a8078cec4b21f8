"""A process leaves with what started it, however that ended."""

import os
import signal
import subprocess
import sys
import time

import pytest

WATCHED = "from nasgait.core.parent_watchdog import leave_with_launcher; leave_with_launcher()\n"
SLEEPER = WATCHED + "import time; print('up', flush=True); time.sleep(120)"
STARTER = """
import subprocess, sys, time
from nasgait.core.parent_watchdog import child_environment
env = child_environment() | {extra}
child = subprocess.Popen([sys.executable, "-c", {code!r}], env=env, stdout=subprocess.PIPE,
                         start_new_session=True)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(120)
"""


def running(process: int) -> bool:
    """Whether a process that nobody waits for still does anything."""
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks processes up in /proc")
@pytest.mark.parametrize("way", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize(
    "extra",
    ["{}", "{'NASGAIT_LAUNCHER': '0', 'TORCHELASTIC_RUN_ID': 'none'}"],
    ids=["ours", "torchrun"],
)
def test_a_child_leaves_with_its_starter(way, extra):
    """In a session of its own, as torchrun starts ranks, so that no signal reaches it."""
    code = STARTER.format(extra=extra, code=SLEEPER)
    starter = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    child = int(starter.stdout.readline())
    assert running(child)
    starter.send_signal(way)
    starter.wait()
    try:
        for _ in range(300):
            if not running(child):
                return
            time.sleep(0.2)
        pytest.fail("the child runs on")
    finally:
        if running(child):
            os.kill(child, signal.SIGKILL)


def test_a_process_that_we_did_not_start_stays(monkeypatch):
    """The shell that began a training may be closed."""
    import threading

    from nasgait.core.parent_watchdog import LAUNCHER, leave_with_launcher

    monkeypatch.delenv(LAUNCHER, raising=False)
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    before = threading.active_count()
    leave_with_launcher()
    assert threading.active_count() == before
