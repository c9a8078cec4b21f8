"""Checkpoints: atomic, verified, retained by rule, refused with one clear line."""

import json
import logging
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
import warnings

import numpy as np
import pytest
import torch

from nasgait.core.errors import CheckpointError
from nasgait.training.checkpoint import (
    FORMAT,
    MANIFEST,
    Checkpoints,
    load_checkpoint,
    save_checkpoint,
    sha256_of,
    warn_if_unfinished,
)


def payload(step=0, **more):
    model = torch.nn.Linear(20, 30)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.rand(2, 20)).sum().backward()
    optimizer.step()
    return {
        "format": FORMAT,
        "kind": "network",
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 3).state_dict(),
        "scaler": {},
        "rng": torch.get_rng_state(),
        "step": step,
        "config": {"steps": 5, "milestones": (1, 2), "lr": 1e-3, "name": "x", "clip": None},
        **more,
    }


def files(directory):
    return sorted(path.name for path in directory.iterdir())


def test_what_is_saved_comes_back(tmp_path):
    saved = payload(5, arch="nano:0-1-2")
    loaded = load_checkpoint(Checkpoints(tmp_path / "new").save(5, saved), FORMAT)
    assert loaded.keys() == saved.keys() and loaded["config"] == saved["config"]
    assert all(torch.equal(loaded["model"][name], saved["model"][name]) for name in saved["model"])
    moments = loaded["optimizer"]["state"][0]["exp_avg"]
    assert torch.equal(moments, saved["optimizer"]["state"][0]["exp_avg"])
    assert torch.equal(loaded["rng"], saved["rng"])


def test_a_loaded_tensor_can_be_changed_without_touching_the_file(tmp_path):
    path = Checkpoints(tmp_path).save(1, payload())
    before = sha256_of(path)
    load_checkpoint(path)["model"]["weight"].zero_()
    assert sha256_of(path) == before
    assert load_checkpoint(path)["model"]["weight"].any()


def test_nothing_saved_yet(tmp_path):
    assert Checkpoints(tmp_path / "absent").latest() is None
    assert not (tmp_path / "absent").exists()


def test_the_newest_are_kept_and_the_best(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    for step, score in enumerate([0.1, 0.9, 0.2, 0.3, 0.4], start=1):
        checkpoints.save(step * 100, payload(), score)
    assert files(tmp_path) == [MANIFEST, "step-000200.pt", "step-000400.pt", "step-000500.pt"]
    rows = json.loads((tmp_path / MANIFEST).read_text())
    assert [(row["step"], row["score"]) for row in rows] == [(200, 0.9), (400, 0.3), (500, 0.4)]
    assert all(sha256_of(tmp_path / row["file"]) == row["sha256"] for row in rows)
    assert checkpoints.latest() == tmp_path / "step-000500.pt"


def test_without_scores_only_the_newest_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=1)
    for step in 999999, 1000000:
        checkpoints.save(step, payload())
    assert files(tmp_path) == [MANIFEST, "step-1000000.pt"]


def test_what_a_kill_left_is_cleaned_up(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, payload())
    (tmp_path / "step-000002.pt.tmp").write_bytes(b"half")
    (tmp_path / f".{MANIFEST}.x1y2").write_text("half")
    (tmp_path / "step-000002.pt").write_bytes(b"renamed, but not yet in the manifest")
    (tmp_path / "notes.txt").write_text("not ours")
    assert checkpoints.latest() == tmp_path / "step-000001.pt"
    checkpoints.save(3, payload())
    assert files(tmp_path) == [MANIFEST, "notes.txt", "step-000001.pt", "step-000003.pt"]


@pytest.mark.parametrize("damage", ["truncated", "changed", "gone"])
def test_a_damaged_newest_falls_back_with_a_warning(tmp_path, caplog, damage):
    checkpoints = Checkpoints(tmp_path)
    for step in 1, 2:
        checkpoints.save(step, payload(step))
    newest = tmp_path / "step-000002.pt"
    content = newest.read_bytes()
    if damage == "gone":
        newest.unlink()
    elif damage == "truncated":
        newest.write_bytes(content[:-100])
    else:
        newest.write_bytes(content[:900] + bytes([content[900] ^ 1]) + content[901:])
    with caplog.at_level(logging.WARNING):
        assert checkpoints.latest() == tmp_path / "step-000001.pt"
    assert "step-000002.pt: skipped a damaged checkpoint" in caplog.text


def test_saving_again_from_an_earlier_step_replaces_the_later_ones(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=3)
    for step in 1, 2, 3:
        checkpoints.save(step, payload(step), score=float(step))
    checkpoints.save(2, payload(2), score=0.0)
    assert [(entry.step, entry.score) for entry in checkpoints.entries()] == [(1, 1.0), (2, 0.0)]
    assert files(tmp_path) == [MANIFEST, "step-000001.pt", "step-000002.pt"]


def test_all_damaged_is_an_error_not_a_fresh_start(tmp_path):
    Checkpoints(tmp_path).save(1, payload()).write_bytes(b"")
    with pytest.raises(CheckpointError, match="all 1 checkpoints are damaged"):
        Checkpoints(tmp_path).latest()


def test_a_broken_manifest(tmp_path):
    (tmp_path / MANIFEST).write_text("[{")
    with pytest.raises(CheckpointError, match=r"manifest.json: damaged, not a list of checkpoints"):
        Checkpoints(tmp_path).latest()


def test_a_failed_save_leaves_what_was_there(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, payload(1))
    with pytest.raises(Exception, match="pickle"):
        checkpoints.save(1, payload(1, extra=lambda: None))
    assert load_checkpoint(checkpoints.latest())["step"] == 1


SAVING = """
import sys, torch
from nasgait.training.checkpoint import FORMAT, Checkpoints
checkpoints = Checkpoints(sys.argv[1])
print("ready", flush=True)
for step in range(1, 10**6):
    values = torch.full((300_000,), float(step))
    checkpoints.save(step, {"format": FORMAT, "step": step, "model": {"w": values}})
"""


@pytest.mark.parametrize("wait", [0.02, 0.11, 0.23])
def test_kill_in_the_middle_of_saving(tmp_path, wait):
    for _ in range(2):  # the second time on what the first kill left behind
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(SAVING), str(tmp_path)], stdout=subprocess.PIPE
        )
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        deadline = time.monotonic() + 30
        while not (tmp_path / MANIFEST).exists() and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(wait)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        checkpoints = Checkpoints(tmp_path)
        latest = checkpoints.latest()
        assert latest is not None
        saved = load_checkpoint(latest, FORMAT)
        assert latest.name == f"step-{saved['step']:06d}.pt"
        assert (saved["model"]["w"] == saved["step"]).all()
    step = saved["step"] + 1
    checkpoints.save(step, {"format": FORMAT, "step": step})
    kept = {entry.file for entry in checkpoints.entries()}
    assert set(files(tmp_path)) == {MANIFEST, *kept}


# Files that are refused -------------------------------------------------------------------------


class Hostile:
    def __reduce__(self):
        return os.system, ("touch pwned",)


def refused(path, message, expected_format=FORMAT):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(CheckpointError, match=message) as caught:
            load_checkpoint(path, expected_format)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_file(tmp_path):
    refused(tmp_path / "absent.pt", "No such file")


def test_a_directory(tmp_path):
    refused(tmp_path, "Is a directory; give a file in it")


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_a_truncated_file(tmp_path, share):
    path = Checkpoints(tmp_path).save(1, payload())
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    refused(path, "truncated or damaged")


@pytest.mark.parametrize(
    "content",
    [b"hello world\n" * 9, b"\x89PNG\r\n\x1a\n" + bytes(99), bytes(999), pickle.dumps({"a": 1})],
    ids=["text", "png", "zeros", "other-pickle"],
)
def test_not_a_checkpoint(tmp_path, content):
    path = tmp_path / "file.pt"
    path.write_bytes(content)
    refused(path, "not a checkpoint")


@pytest.mark.parametrize("new", [True, False])
def test_a_hostile_pickle_is_refused_and_not_run(tmp_path, monkeypatch, new):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "evil.pt"
    data = {"format": FORMAT, "model": Hostile()}
    torch.save(data, path, _use_new_zipfile_serialization=new)
    refused(path, "holds posix.system beside tensors")
    assert not (tmp_path / "pwned").exists()


def test_more_than_tensors_and_plain_data(tmp_path):
    save_checkpoint(tmp_path / "a.pt", {"format": FORMAT, "scores": np.arange(3)})
    refused(tmp_path / "a.pt", "holds numpy")


def test_something_else_than_a_dict(tmp_path):
    torch.save([1, 2], tmp_path / "a.pt")
    refused(tmp_path / "a.pt", "holds a list", None)


@pytest.mark.parametrize("tag", [{}, {"format": "nasgait-checkpoint/0"}])
def test_another_format(tmp_path, tag):
    save_checkpoint(tmp_path / "a.pt", {"model": {}, **tag})
    refused(tmp_path / "a.pt", "needed is 'nasgait-checkpoint/1'")
    assert load_checkpoint(tmp_path / "a.pt")["model"] == {}


def test_files_of_old_torch_are_read(tmp_path):
    torch.save(payload(7), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert load_checkpoint(tmp_path / "old.pt", FORMAT)["step"] == 7


# Damage ------------------------------------------------------------------------------------------


def flipped(content, place, bit):
    return content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]


def small(path):
    weights = {"weight": torch.arange(40.0), "bias": torch.ones(3)}
    save_checkpoint(path, {"format": FORMAT, "kind": "network", "model": weights, "step": 3})
    return path.read_bytes()


def test_flipped_bytes_are_noticed_in_a_file_alone(tmp_path):
    """Without its manifest, under another name; weights, padding, headers and the checksum."""
    whole, copy = small(tmp_path / "step-000003.pt"), tmp_path / "copied.pt"
    copy.write_bytes(whole)
    assert load_checkpoint(copy, FORMAT)["step"] == 3
    for place in range(0, len(whole), 7):
        copy.write_bytes(flipped(whole, place, place % 8))
        refused(copy, "damaged|not a checkpoint")


@pytest.mark.slow
def test_every_flipped_bit_is_noticed(tmp_path):
    whole, copy = small(tmp_path / "step-000003.pt"), tmp_path / "copied.pt"
    for place in range(len(whole)):
        for bit in range(8):
            copy.write_bytes(flipped(whole, place, bit))
            refused(copy, "damaged|not a checkpoint")


def test_in_files_of_before_every_weight_is_checked(tmp_path):
    """They have the zip file's own CRC-32 for each tensor, which torch does not look at."""
    torch.save({"format": FORMAT, "model": {"w": torch.arange(40.0)}}, tmp_path / "old.pt")
    whole = (tmp_path / "old.pt").read_bytes()
    assert load_checkpoint(tmp_path / "old.pt", FORMAT)["model"]["w"][39] == 39
    start = whole.index(torch.arange(40.0).numpy().tobytes())
    for place in range(start, start + 160, 5):
        (tmp_path / "old.pt").write_bytes(flipped(whole, place, place % 8))
        refused(tmp_path / "old.pt", "truncated or damaged .Bad CRC-32")


def test_a_file_whose_writer_left_out_the_crcs_is_read(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"format": FORMAT, "model": {}}, tmp_path / "a.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    assert load_checkpoint(tmp_path / "a.pt", FORMAT)["model"] == {}


def test_plain_torch_reads_our_files(tmp_path):
    small(tmp_path / "a.pt")
    for mapped in (False, True):
        saved = torch.load(tmp_path / "a.pt", weights_only=True, mmap=mapped)
        assert torch.equal(saved["model"]["weight"], torch.arange(40.0))


def test_a_damaged_row_of_the_manifest_is_a_damaged_checkpoint(tmp_path, caplog):
    checkpoints = Checkpoints(tmp_path)
    for step in 100, 200:
        checkpoints.save(step, payload(step))
    manifest = tmp_path / MANIFEST
    whole = manifest.read_text()
    manifest.write_text(whole.replace('"step": 200', '"step": 900'))
    assert checkpoints.newest().step == 100 and "row 2 is damaged" in caplog.text
    manifest.write_text(whole.replace('"step": 200', '"step": 900').replace(": 100", ": 101"))
    with pytest.raises(CheckpointError, match="all of its rows are damaged; delete it"):
        checkpoints.newest()


def test_a_manifest_of_before_is_read(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, payload(1))
    rows = json.loads((tmp_path / MANIFEST).read_text())
    del rows[0]["checksum"]
    (tmp_path / MANIFEST).write_text(json.dumps(rows))
    assert checkpoints.newest().step == 1


def test_an_unfinished_training_is_told(tmp_path, caplog):
    warn_if_unfinished("a.pt", {"step": 3, "recipe": {"steps": 8}})
    assert "a.pt: is of an unfinished training, step 3 of 8" in caplog.text
    caplog.clear()
    for saved in ({"step": 8, "recipe": {"steps": 8}}, {"step": 0}, {}):
        warn_if_unfinished("a.pt", saved)
    assert not caplog.text


def test_checksum_of_a_missing_file(tmp_path):
    with pytest.raises(CheckpointError, match=r"absent: cannot be read \(No such file"):
        sha256_of(tmp_path / "absent")
