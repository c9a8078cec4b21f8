"""Whatever a killed process started is gone, daemons in sessions of their own included."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="looks into /proc")

STARTER = """
import subprocess, sys, time
from nasgait.core.process_reaper import reaping
with reaping():
    child = subprocess.Popen(["sleep", "120"], start_new_session=True)
    print(child.pid, flush=True)
    time.sleep({seconds})
"""


RETITLED = """
import os, subprocess, sys
from nasgait.core.process_reaper import MARK, reaping
with reaping():
    first = {MARK: os.environ[MARK], **os.environ}
    child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], env=first, stdout=subprocess.PIPE)
    child.stdout.readline()
    print(child.pid, flush=True)
"""

OVERWRITE = """
import time
begin = int(open("/proc/self/stat").read().rpartition(")")[2].split()[47])
with open("/proc/self/mem", "wb", buffering=0) as memory:
    memory.seek(begin)
    memory.write(bytes(400))
print(flush=True)
time.sleep(120)
"""


def running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_process_that_wrote_over_its_environment_is_gone():
    """As setproctitle does for a long title."""
    command = [sys.executable, "-c", RETITLED, OVERWRITE]
    retitled = int(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    try:
        assert not running(retitled)
    finally:
        if running(retitled):
            os.kill(retitled, signal.SIGKILL)


@pytest.mark.parametrize("way", [signal.SIGKILL, signal.SIGTERM, None])
def test_a_daemon_is_gone(way):
    command = [sys.executable, "-c", STARTER.format(seconds=120 if way else 0)]
    bystander = subprocess.Popen(["sleep", "120"])
    starter = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    daemon = int(starter.stdout.readline())
    if way:
        assert running(daemon)
        starter.send_signal(way)
    starter.wait(timeout=60)
    try:
        for _ in range(100):
            if not running(daemon):
                break
            time.sleep(0.1)
        assert not running(daemon)
        assert bystander.poll() is None, "nobody else's"
    finally:
        bystander.kill()
        if running(daemon):
            os.kill(daemon, signal.SIGKILL)
