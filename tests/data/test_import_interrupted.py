"""An import that is killed, loses a worker or fills the disk can be resumed."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from raw_trees import import_grew, make_grew

from nasgait.core.errors import RunFailed

SCRIPT = """
import dataclasses, os, sys, time
from nasgait.cli.main import guard
from nasgait.data import importers, layouts, readers, writer

writer.COMMIT_SECONDS = 0

def odd(root, size, raw):
    with open("log", "a") as file:
        file.write(f"{os.getpid()} {raw.folder}\\n")
    ACTION
    return readers.read_frames(root, size, raw)

def run():
    layouts.LAYOUTS["grew"] = dataclasses.replace(layouts.LAYOUTS["grew"], read=odd)
    importers.import_dataset("grew", "raw", "out", workers=2, progress=False)

if __name__ == "__main__":
    sys.exit(guard(run))
"""
"""A program that imports with workers which do something odd."""


def test_killed_and_run_again_gives_the_same_store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    raw, out = Path("raw"), Path("out")
    content = make_grew(raw, train=12)
    (raw / "train/00000/s1/00001.png").write_text("damaged")
    Path("slow.py").write_text(SCRIPT.replace("ACTION", "time.sleep(0.05)"))
    process = subprocess.Popen([sys.executable, "slow.py"])
    wait_for(lambda: (out / "index.csv").exists() and len(rows(out)) > 6)
    process.send_signal(signal.SIGKILL)
    process.wait()
    written = len(rows(out))
    assert not (out / "meta.json").exists() and 6 < written < len(content) - 1
    log = Path("log").read_text().splitlines()
    wait_for(lambda: not any(alive(line.split()[0]) for line in log))
    summary = import_grew(raw, out, workers=2)
    assert summary.resumed in (written, written - 1)  # the last row may have been torn
    assert summary.faults == ["train/00000/s1: 00001.png cannot be decoded as an image"]
    undisturbed = Path("undisturbed")
    import_grew(raw, undisturbed)
    for file in undisturbed.iterdir():
        assert file.read_bytes() == (out / file.name).read_bytes(), file.name


def rows(out):
    return (out / "index.csv").read_text().splitlines()[1:]


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_dead_worker_fails_the_run_with_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_grew(Path("raw"))
    Path("dies.py").write_text(SCRIPT.replace("ACTION", "os._exit(9)"))
    result = subprocess.run([sys.executable, "dies.py"], capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.startswith("failed: import into out stopped: A process in the process")
    assert result.stderr.count("\n") == 1
    assert import_grew("raw", "out").faults == []


def test_a_full_disk_fails_the_run_and_can_be_continued(tmp_path, monkeypatch):
    make_grew(tmp_path / "raw")

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("nasgait.data.writer.StoreWriter.add", full)
        with pytest.raises(RunFailed, match="No space left on device; the same command resumes"):
            import_grew(tmp_path / "raw", tmp_path / "out")
    assert import_grew(tmp_path / "raw", tmp_path / "out").sequences
