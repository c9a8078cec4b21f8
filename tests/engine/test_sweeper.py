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
from nasgait.engine.sweeper import swept
with swept():
    child = subprocess.Popen(["sleep", "120"], start_new_session=True)
    print(child.pid, flush=True)
    time.sleep({seconds})
"""


def running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


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
