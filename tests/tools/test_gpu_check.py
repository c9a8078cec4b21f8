"""The check of a GPU runs on a CPU as well, so that it works on the day there is one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

CHECK = Path(__file__).parents[2] / "tools" / "gpu_check.py"


def run(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(CHECK), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=280)


@pytest.mark.slow
def test_every_part_runs_small(tmp_path):
    out = tmp_path / "found.json"
    done = run("--small", "--out", out)
    found = json.loads(out.read_text())
    assert done.returncode == 0, done.stdout + done.stderr
    wanted = {"machine", "step", "convolutions", "small_networks", "scoring", "elementwise"}
    assert set(found) == {*wanted, "parity"}
    sides = found["step"]["nano"]["sides"]
    assert all(row["ms"] > 0 and row["share_of_floor"] > 0 for row in sides.values())
    assert all(max(row["error"].values()) < 0.02 for row in found["convolutions"]["rows"])
    assert found["small_networks"]["triplet_gap"] < 1e-6
    networks = found["parity"]["networks"].values()
    assert len(networks) > 9 and all(row["gradient float64 equal"] < 1e-12 for row in networks)


def test_a_part_that_fails_does_not_end_the_others(tmp_path, monkeypatch):
    """The matrix products find no memory; the networks are compared all the same."""
    broken = tmp_path / "sitecustomize.py"
    broken.write_text("import torch\ntorch.randn = lambda *words, **more: 1 / 0\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    out = tmp_path / "found.json"
    done = run("--small", "--parity", "--networks", "gaitset-nano", "--out", out)
    found = json.loads(out.read_text())
    assert done.returncode == 1 and "ZeroDivisionError" in found["machine"]["failed"]
    assert found["parity"]["networks"]["gaitset-nano"]["eval float32 equal"] < 1e-4


@pytest.mark.skipif("__import__('torch').cuda.is_available()")
def test_without_a_gpu_it_says_what_to_type(tmp_path):
    done = run("--only", "machine", "--out", tmp_path / "found.json")
    assert done.returncode == 1 and "--small" in done.stdout and "Traceback" not in done.stderr
