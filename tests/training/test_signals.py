"""A signal during training: the step is finished, its checkpoint written, nothing else changes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nasgait.training import loop
from nasgait.training.checkpoint import Checkpoints


@pytest.fixture
def train(nasgait, tiny_config, monkeypatch):
    """``train(out, *words, at, signum)``: the supernet; the signal comes during a step."""
    real = loop.train_step

    def call(out, *words, at=0, signum=None):
        def step(training, batch, path):
            values = real(training, batch, path)
            if training.step == at - 1:
                signal.raise_signal(signum)
            return values

        monkeypatch.setattr(loop, "train_step", step)
        return nasgait("supernet", "--config", tiny_config, "--out", out, *words)

    return call


def files(out):
    return {path.name: path.read_bytes() for path in (out / "checkpoints").glob("*.pt")}


def steps(out):
    return [entry.step for entry in Checkpoints(out / "checkpoints").entries()]


def logged(out):
    rows = [json.loads(line) for line in (out / "metrics.jsonl").open()]
    return [{k: v for k, v in row.items() if k not in ("seconds", "checksum")} for row in rows]


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_ends_with_a_checkpoint_and_goes_on_to_the_same_bytes(train, tmp_path, signum, code):
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert train(whole)[0] == 0
    found, _, err = train(out, at=5, signum=signum)
    assert found == code
    last = err.strip().splitlines()[-1]
    word = "interrupted" if code == 130 else "terminated"
    done = "after step 5 of 8, its checkpoint is written; the same command with --resume goes on"
    assert last == f"{word} {done}"
    assert steps(out) == [3, 5]
    found, _, err = train(out, "--resume", at=7, signum=signum)
    assert found == code and steps(out) == [
        3,
        6,
        7,
    ]
    assert train(out, "--resume")[0] == 0
    assert files(out) == files(whole) and logged(out) == logged(whole)


def test_a_checkpoint_on_demand_changes_nothing_else(train, tmp_path):
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert train(whole, "supernet.steps=5")[0] == 0
    code, _, err = train(out, "supernet.steps=5", at=4, signum=signal.SIGUSR1)
    assert code == 0 and "checkpoint of step 4" in err
    assert files(out) == files(whole)


def test_a_stop_in_the_last_step_is_no_success(train, tmp_path):
    assert train(tmp_path / "out", at=8, signum=signal.SIGTERM)[0] == 143
    assert train(tmp_path / "out", "--resume")[0] == 0


def ranks_of(mark):
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            lines = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if f"NASGAIT_TEST={mark}".encode() in lines:
            rank = next((int(x[5:]) for x in lines if x.startswith(b"RANK=")), -1)
            found[rank] = int(folder.name)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGUSR1, signal.SIGKILL])
def test_a_signal_that_reaches_one_rank_alone(tiny_config, tmp_path, signum):
    out, mark = tmp_path / "out", os.urandom(8).hex()
    words = ["supernet", "--config", tiny_config, "--out", out, "--nproc", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "nasgait", *map(str, words), "supernet.steps=4000",
         "supernet.checkpoint_every=4000"],
        stderr=subprocess.PIPE, text=True, env=os.environ | {"NASGAIT_TEST": mark},
    )  # fmt: skip
    log = out / "metrics.jsonl"
    while not log.exists() or log.read_text().count("\n") < 2:
        assert process.poll() is None
        time.sleep(0.05)
    ranks = ranks_of(mark)
    os.kill(ranks[1], signum)
    if signum == signal.SIGUSR1:
        while not list(out.glob("checkpoints/*.pt")):
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert not ranks_of(mark) and "Traceback" not in err
    if signum == signal.SIGKILL:
        assert process.returncode == 1 and "rank 1 of 2 was ended by signal 9" in err
    else:
        assert process.returncode == 143 and err.count("goes on") == 1, err
        entries = Checkpoints(out / "checkpoints").entries()
        assert len(entries) == 1 and entries[0].interim
