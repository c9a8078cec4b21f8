"""Judging while training, frozen BatchNorm, and starting from weights that fit in part."""

import json

import pytest
import torch

from nasgait.baselines.registry import build, names
from nasgait.core.errors import ConfigError
from nasgait.core.metrics_log import read_metrics
from nasgait.nn.freeze import freeze_norms
from nasgait.nn.norm import BatchNorm
from nasgait.training.checkpoint import Checkpoints, load_checkpoint

ARCH = ("--arch", "nano:0-5-2-4")
MODEL = ("--model", "gaitbase-nano")


@pytest.fixture
def retrain(nasgait, tiny_config):
    return lambda out, *words: nasgait("retrain", "--config", tiny_config, "--out", out, *words)


def checkpoints(out):
    return Checkpoints(out / "checkpoints")


def weights(out):
    return load_checkpoint(checkpoints(out).latest())["model"]


def test_figures_of_the_test_identities_while_it_trains(retrain, nasgait, tiny_store, tmp_path):
    """Logged at their steps; the best checkpoint is kept and holds what was judged."""
    out = tmp_path / "out"
    words = ("evaluate_every=2", "retrain.log_every=5", "retrain.keep=1")
    code, _, err = retrain(out, *ARCH, *words)
    assert code == 0, err
    lines = {line["step"]: line for line in read_metrics(out / "metrics.jsonl")}
    assert list(lines) == [2, 4, 5, 6, 8]
    judged = {step: line["test/map"] for step, line in lines.items() if "test/map" in line}
    assert list(judged) == [2, 4, 6, 8] and all("loss" in line for line in lines.values())
    assert all(0 <= lines[step]["test/rank1"] <= 100 for step in judged)
    kept = {entry.step: entry.score for entry in checkpoints(out).entries()}
    best = max(judged, key=lambda step: (judged[step], step))
    assert set(kept) == {best, 8} and all(judged[step] == score for step, score in kept.items())
    file = out / "checkpoints" / f"step-{best:06d}.pt"
    code, stdout, _ = nasgait("eval", "--checkpoint", file, "--store", tiny_store,
                              "--protocol", "leave-one-out", "--json")  # fmt: skip
    assert code == 0 and json.loads(stdout)["map"] == pytest.approx(judged[best], abs=1e-3)
    result = json.loads((out / "result.json").read_text())
    assert result["map"] == pytest.approx(judged[8]), "the result is that of the last step"


def test_judging_disturbs_nothing(retrain, tmp_path):
    """The same weights to the last bit with and without, and resumed after an evaluation."""
    plain, judged, parts = (tmp_path / name for name in ("plain", "judged", "parts"))
    retrain(plain, *MODEL)
    for out in (judged, parts):
        assert retrain(out, *MODEL, "evaluate_every=5")[0] == 0
    assert checkpoints(plain).newest().sha256 == checkpoints(judged).newest().sha256
    checkpoints(parts).latest().unlink()
    (parts / "result.json").unlink()
    code, _, err = retrain(parts, *MODEL, "--resume", "evaluate_every=5")
    assert code == 0 and "at step 6 of 8" in err
    assert checkpoints(parts).newest().sha256 == checkpoints(judged).newest().sha256
    rates = [
        [{k: v for k, v in line.items() if k != "seconds"} for line in read_metrics(p)]
        for p in (judged / "metrics.jsonl", parts / "metrics.jsonl")
    ]
    assert rates[0] == rates[1]


def test_ranks_share_the_judging(retrain, nasgait, tiny_store, tmp_path):
    out = tmp_path / "out"
    code, _, err = retrain(out, *ARCH, "--nproc", "2", "evaluate_every=8")
    assert code == 0, err
    entry = checkpoints(out).newest()
    result = json.loads((out / "result.json").read_text())
    assert entry.score == pytest.approx(result["map"], abs=1e-3)


def test_nothing_to_judge_by(retrain, tmp_path):
    words = ("evaluation.protocol=hid", "evaluate_every=2")
    code, _, err = retrain(tmp_path / "out", *ARCH, *words)
    assert code == 2 and "evaluation.truth" in err and err.strip().count("\n") == 0


def test_frozen_norms_stay_and_all_else_learns(retrain, tmp_path):
    first, out = tmp_path / "first", tmp_path / "out"
    retrain(first, *ARCH)
    code, _, err = retrain(out, *ARCH, "--init", checkpoints(first).latest(), "freeze=norms")
    assert code == 0, err
    before, after = weights(first), weights(out)
    still = {name for name in after if torch.equal(after[name], before[name])}
    network = build_arch()
    norms = {name for name, m in network.named_modules() if isinstance(m, BatchNorm)}
    assert {name.rpartition(".")[0] for name in still} == norms
    assert all(name in still for name in after if name.rpartition(".")[0] in norms)
    code, _, err = retrain(tmp_path / "b", *ARCH, "freeze=norms")
    assert code == 2 and "--init" in err


def build_arch():
    from search_spaces import load_space

    space = load_space("nano")
    return space.build(space.parse(ARCH[1]), 12)


@pytest.mark.parametrize("name", [name for name in names() if name.endswith("-nano")])
def test_norms_left_fresh_learn(name):
    """Everything frozen but the norms that have no statistics worth keeping."""
    torch.manual_seed(0)
    model = build(name, 4).train()
    norms = {key: m for key, m in model.named_modules() if isinstance(m, BatchNorm)}
    last = list(norms)[-1]
    if len(norms) == 1:
        # Nothing is left to keep, which is told rather than passed over.
        with pytest.raises(ConfigError, match="freeze: norms, but the network has no BatchNorm"):
            freeze_norms(model, {f"{last}.running_mean"})
        return
    freeze_norms(model, {f"{last}.running_mean"})
    state = {key: value.clone() for key, value in model.state_dict().items()}
    model(torch.rand(4, 12, *model.size))
    moved = {key for key, value in model.state_dict().items() if not torch.equal(value, state[key])}
    assert {key.rpartition(".")[0] for key in moved} == {last}
    trained = {key for key, p in model.named_parameters() if p.requires_grad}
    assert not any(key.startswith(f"{norm}.") for key in trained for norm in norms if norm != last)


def wider(tiny_config):
    """A config in which the baseline has other bins: the same body, other parts."""
    path = tiny_config.with_name("wider.yaml")
    extra = "baselines: [{model: gaitbase-nano, settings: {bins: [4, 2]}}]\n"
    path.write_text(tiny_config.read_text() + extra)
    return path


def test_a_part_of_the_weights(retrain, nasgait, tiny_config, tmp_path):
    first, out = tmp_path / "first", tmp_path / "out"
    retrain(first, *MODEL)
    file = checkpoints(first).latest()
    words = ("retrain", "--config", wider(tiny_config), *MODEL, "--init", file, "--out", out)
    code, _, err = nasgait(*words)
    assert code == 2 and "other settings" in err and "--init-partial" in err
    code, _, err = nasgait(*words, "--init-partial", "retrain.optimizer.lr=1e-30")
    assert code == 0, err
    listed = next(line for line in err.splitlines() if "fresh: " in line).split("fresh: ")[1]
    fresh = set(listed.split(", "))
    before, after = weights(first), weights(out)
    assert {name for name in fresh if not name.startswith("neck.")} == {"fcs.fc_bin"}
    for name in after.keys() - fresh:
        if "running" not in name and "tracked" not in name:
            torch.testing.assert_close(after[name], before[name])


def test_partial_takes_from_another_network_what_fits(retrain, tmp_path):
    first = tmp_path / "first"
    retrain(first, "--model", "gaitset-nano")
    words = ("--init", checkpoints(first).latest(), "--init-partial")
    code, _, err = retrain(tmp_path / "a", "--model", "selfgait-nano", *words)
    assert code == 0 and "fresh: " in err
    code, _, err = retrain(tmp_path / "b", *MODEL, *words)
    assert code == 2 and "not one weight of gaitset-nano fits" in err
    code, _, err = retrain(tmp_path / "c", *MODEL, *words[:2])
    assert code == 2 and "--init-partial" in err
    code, _, err = retrain(tmp_path / "d", *MODEL, "--init-partial")
    assert code == 2 and "give --init too" in err


@pytest.mark.parametrize(("words", "kept"), [((), True), (("label_rate=0.75",), False)])
def test_the_classifier_is_kept_for_the_same_people(retrain, tmp_path, words, kept):
    """A fresh optimizer and schedule on the same data; other classes are other people."""
    first, out = tmp_path / "first", tmp_path / "out"
    retrain(first, *MODEL)
    still = "retrain.optimizer.lr=1e-30"
    code, _, err = retrain(out, *MODEL, "--init", checkpoints(first).latest(), still, *words)
    assert code == 0 and ("fresh: nothing" in err) == kept, err
    if kept:
        before, after = weights(first), weights(out)
        torch.testing.assert_close(after["neck.fc_bin"], before["neck.fc_bin"])
