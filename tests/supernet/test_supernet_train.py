"""The supernet's training: paths, exact resumption, two ranks against one process."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from nasgait.core.metrics_log import read_metrics
from nasgait.training.checkpoint import Checkpoints, load_checkpoint
from search_spaces import load_space
from supernet.network import path_at

NO_AUGMENT = ["supernet.augment.flip=0", "supernet.augment.rotate=0"]


def weights(out):
    return load_checkpoint(Checkpoints(out / "checkpoints").latest())["model"]


def file_sum(out):
    return Checkpoints(out / "checkpoints").newest().sha256


def assert_equal(a, b, tolerance=0.0):
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=tolerance, atol=tolerance, msg=name)


def test_paths_are_uniform_and_a_function_of_seed_and_step():
    space = load_space("nano")
    paths = [path_at(space, 0, step) for step in range(2000)]
    assert paths == [path_at(space, 0, step) for step in range(2000)]
    assert paths[:50] != [path_at(space, 1, step) for step in range(50)]
    for layer, count in enumerate(space.choices):
        drawn = [path[layer] for path in paths]
        for choice in range(count):
            assert abs(drawn.count(choice) / 2000 - 1 / count) < 0.04


def test_train_and_refuse_to_overwrite(nasgait, tiny_config, tmp_path):
    out = tmp_path / "out"
    code, _, err = nasgait("supernet", "--config", tiny_config, "--out", out)
    assert code == 0, err
    assert "plan: steps 0 to 8" in err and "supernet: " in err
    assert [line["step"] for line in read_metrics(out / "metrics.jsonl")] == list(range(1, 9))
    code, _, err = nasgait("supernet", "--config", tiny_config, "--out", out)
    assert code == 2 and "--resume" in err and "Traceback" not in err


def test_only_the_drawn_paths_change(nasgait, tiny_config, tmp_path):
    out = tmp_path / "out"
    nasgait("supernet", "--config", tiny_config, "--out", out, "supernet.steps=1")
    nasgait("supernet", "--config", tiny_config, "--out", tmp_path / "zero",
            "supernet.steps=1", "supernet.optimizer.lr=1e-30")  # fmt: skip
    trained, untouched = weights(out), weights(tmp_path / "zero")
    path = path_at(load_space("nano"), 0, 0)
    for name in trained:
        words = name.split(".")
        if "options" in words and name.endswith("weight"):
            layer, choice = int(words[1]), int(words[words.index("options") + 1])
            moved = not torch.equal(trained[name], untouched[name])
            assert moved == (path[layer] == choice), name


def test_resumed_equals_undisturbed_to_the_last_bit(nasgait, tiny_config, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    nasgait("supernet", "--config", tiny_config, "--out", whole)
    nasgait("supernet", "--config", tiny_config, "--out", parts)
    # As a kill after step 7 would have left it: the last checkpoint is that of step 6.
    checkpoints = Checkpoints(parts / "checkpoints")
    last = checkpoints.latest()
    last.write_bytes(last.read_bytes()[:1000])
    code, _, err = nasgait("supernet", "--config", tiny_config, "--out", parts, "--resume")
    assert code == 0 and "at step 6 of 8" in err
    assert_equal(weights(whole), weights(parts))
    assert file_sum(whole) == file_sum(parts), "what follows names the same supernet"
    steps = [line["step"] for line in read_metrics(parts / "metrics.jsonl")]
    assert steps == list(range(1, 9)), "metrics past the checkpoint are cut off, none is repeated"


def test_another_recipe_does_not_resume(nasgait, tiny_config, tmp_path):
    out = tmp_path / "out"
    nasgait("supernet", "--config", tiny_config, "--out", out)
    code, _, err = nasgait(
        "supernet", "--config", tiny_config, "--out", out, "--resume", "supernet.augment.flip=0.1"
    )
    assert code == 2 and "supernet.augment.flip (0.5, not 0.1)" in err
    assert "flip: 0.5\n" in (out / "config.yaml").read_text(), "a refused command changes nothing"


def test_other_data_does_not_resume(nasgait, tiny_config, tmp_path):
    out = tmp_path / "out"
    nasgait("supernet", "--config", tiny_config, "--out", out)
    code, _, err = nasgait(
        "supernet", "--config", tiny_config, "--out", out, "--resume", "data.search_val=3"
    )
    assert code == 2 and "another data (" in err


def test_a_loss_that_is_not_finite_stops_before_the_weights_change(nasgait, tiny_config, tmp_path):
    out = tmp_path / "out"
    code, _, err = nasgait(
        "supernet", "--config", tiny_config, "--out", out, "supernet.optimizer.lr=1e30"
    )
    assert code == 1 and "not finite at step" in err and "Traceback" not in err


def test_killed_while_training_then_resumed(nasgait, tiny_config, tmp_path):
    """Kill -9 between two checkpoints: the end is that of an undisturbed run."""
    longer = ["supernet.steps=60", "supernet.checkpoint_every=10", "supernet.optimizer.kind=sgd"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    nasgait("supernet", "--config", tiny_config, "--out", whole, *longer)
    command = [sys.executable, "-m", "supernet.train", "--config", tiny_config, "--out", killed]
    process = subprocess.Popen([*map(str, command), *longer], stderr=subprocess.DEVNULL)
    log = killed / "metrics.jsonl"
    while process.poll() is None and (not log.exists() or log.read_text().count("\n") < 14):
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = len(read_metrics(log))
    code, _, err = nasgait(
        "supernet", "--config", tiny_config, "--out", killed, "--resume", *longer
    )
    assert code == 0, err
    if done < 60:
        assert "resuming" in err
    assert_equal(weights(whole), weights(killed))
    assert file_sum(whole) == file_sum(killed)
    assert [line["step"] for line in read_metrics(log)] == list(range(1, 61))


@pytest.mark.parametrize("loss", [[], ["supernet.loss.cross_entropy.weight=1"]])
@pytest.mark.parametrize(
    ("precision", "steps", "tolerance"),
    [
        # The order of sums differs between world sizes.  In float32 that rounding sooner or
        # later turns a ReLU or a maximum the other way, and gradients jump (gaps of 1e-3 seen
        # at step 8); in float64 the gap stays below 1e-12 for 30 steps.
        ("float64", 8, 1e-11),
        ("float32", 2, 1e-5),
    ],
)
def test_two_ranks_equal_one_process(
    nasgait, tiny_config, tmp_path, loss, precision, steps, tolerance
):
    """The same global batch on 2 gloo ranks gives the same weights, running statistics included."""
    one, two = tmp_path / "one", tmp_path / "two"
    flags = [
        f"supernet.steps={steps}",
        f"supernet.precision={precision}",
        "supernet.optimizer.kind=sgd",
        *loss,
    ]
    code, _, err = nasgait("supernet", "--config", tiny_config, "--out", one, *flags)
    assert code == 0, err
    code, _, err = nasgait(
        "supernet", "--config", tiny_config, "--out", two, "--nproc", "2", *flags
    )
    assert code == 0, err
    assert_equal(weights(one), weights(two), tolerance)


def test_wrong_input_is_one_line(nasgait, tiny_config, tmp_path):
    out = tmp_path / "out"
    cases = {
        "data.store=nowhere": "nowhere",
        "space=nanno": "did you mean 'nano'",
        "supernet.batch.ids=50": "50",
        "supernet.precision=float16": "float16 needs a GPU",
        "supernet.stepz=3": "stepz",
        "device=cuda": "cuda is not available",
    }
    for override, expected in cases.items():
        if "cuda" in override and torch.cuda.is_available():
            continue
        code, _, err = nasgait("supernet", "--config", tiny_config, "--out", out, override)
        assert code == 2, override
        assert expected in err and "Traceback" not in err and err.count("\n") == 1, err
        assert not out.exists() or not any(out.iterdir())
    code, _, err = nasgait("supernet", "--config", tiny_config, "--out", out, "--nproc", "3")
    assert code == 2 and "3" in err, "4 identities do not divide among 3 ranks"


def test_config_is_kept_beside_the_checkpoints(nasgait, tiny_config, tmp_path):
    out = tmp_path / "out"
    nasgait("supernet", "--config", tiny_config, "--out", out, "seed=3", "supernet.steps=2")
    saved = load_checkpoint(Checkpoints(out / "checkpoints").latest())
    assert saved["seed"] == 3 and saved["space_sha256"] == load_space("nano").sha256
    assert "seed: 3" in (out / "config.yaml").read_text()
    manifest = json.loads((out / "checkpoints" / "manifest.json").read_text())
    assert manifest


def test_start_from_another_supernet(nasgait, trained, tiny_config, tmp_path):
    """With the same care as final networks: whole, in part, or not at all."""
    _, checkpoint = trained
    still = "supernet.optimizer.lr=1e-30"
    words = ["supernet", "--config", tiny_config, "--init", checkpoint]
    code, _, err = nasgait(*words, "--out", tmp_path / "same", still)
    assert code == 0 and "fresh: nothing" in err
    before, after = load_checkpoint(checkpoint)["model"], weights(tmp_path / "same")
    for name in before.keys() - {n for n in before if "running" in n or "tracked" in n}:
        torch.testing.assert_close(before[name], after[name])
    changed = ("supernet.loss.cross_entropy.weight=0.1", "--init-partial")
    code, _, err = nasgait(*words, "--out", tmp_path / "neck", still, *changed)
    assert code == 0 and "fresh: neck" in err

    code, _, err = nasgait(*words, "--out", tmp_path / "same", "--resume")
    assert code == 2 and "supernet.optimizer.lr (1e-30, not 0.001)" in err
    code, _, err = nasgait(*words[:3], "--out", tmp_path / "same", "--resume", still)
    assert code == 2 and "another init (" in err

    code, _, err = nasgait(*words, "--out", tmp_path / "other", "space=sposgait-small-casiab")
    assert code == 2 and "not the supernet of" in err and "--init-partial" in err
    code, _, err = nasgait(*words[:3], "--out", tmp_path / "other", "--init-partial")
    assert code == 2 and "give --init too" in err
    damaged = tmp_path / "damaged.pt"
    content = bytearray(checkpoint.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    code, _, err = nasgait(*words[:3], "--init", damaged, "--out", tmp_path / "other")
    assert code == 2 and f"{damaged}: truncated or damaged" in err and err.count("\n") == 1
    assert not (tmp_path / "other").exists()
