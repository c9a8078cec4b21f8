"""Final networks: training, judging, slices to start from, and what is refused."""

import json

import numpy as np
import pytest
import torch

from nasgait.core.checksum import read_checked
from nasgait.core.metrics_log import read_metrics
from nasgait.training.checkpoint import Checkpoints, load_checkpoint
from retrain.evaluate import read_probes
from search_spaces import load_space

ARCH = "nano:0-5-2-4"
SPACE = load_space("nano")


@pytest.fixture
def retrain(nasgait, tiny_config):
    return lambda out, *words: nasgait("retrain", "--config", tiny_config, "--out", out, *words)


def test_an_architecture_is_trained_and_judged(retrain, tmp_path):
    out = tmp_path / "out"
    code, stdout, err = retrain(out, "--arch", ARCH, "--json")
    assert code == 0, err
    result = json.loads(stdout)
    assert result == json.loads((out / "result.json").read_text())
    cost = SPACE.cost((0, 5, 2, 4))
    assert (result["macs"], result["params"]) == (cost.macs, cost.params)
    assert result["kind"] == "searched" and result["name"] == ARCH and result["seed"] == 0
    assert 0 <= result["rank1"] <= 100 and len(result["cmc"]) == 20
    probes = read_probes(out / "probes.npz")
    assert len(probes.labels) == 6 * 4
    assert 100 * probes.hits.mean() == pytest.approx(result["rank1"])
    assert 100 * probes.ap.mean() == pytest.approx(result["map"])


def test_all_training_identities_have_a_class(retrain, tmp_path):
    """Train and search-val together: 12 identities; the test ones are never among them."""
    out = tmp_path / "out"
    _, _, err = retrain(out, "--arch", ARCH)
    assert "12 training identities" in err
    saved = load_checkpoint(Checkpoints(out / "checkpoints").latest())
    assert saved["num_classes"] == 12


@pytest.mark.parametrize("model", ["gaitset-nano", "gaitbase-nano"])
def test_baselines_walk_the_same_way(retrain, nasgait, tiny_store, tmp_path, model):
    out = tmp_path / "out"
    code, stdout, err = retrain(out, "--model", model, "--json")
    assert code == 0, err
    result = json.loads(stdout)
    assert result["kind"] == "baseline" and result["model"] == model
    checkpoint = Checkpoints(out / "checkpoints").latest()
    code, stdout, err = nasgait("eval", "--checkpoint", checkpoint, "--store", tiny_store,
                                "--protocol", "leave-one-out", "--json")  # fmt: skip
    assert code == 0, err
    again = json.loads(stdout)
    assert again["rank1"] == pytest.approx(result["rank1"])
    assert again["map"] == pytest.approx(result["map"], abs=1e-3)


def test_a_baseline_follows_its_own_recipe(retrain, tiny_config, tmp_path):
    text = tiny_config.read_text()
    text += "baselines: [{model: gaitset-nano, recipe: {<<: *recipe, steps: 5}}]\n"
    tiny_config.write_text(text)
    code, stdout, err = retrain(tmp_path / "a", "--model", "gaitset-nano", "--json")
    assert code == 0, err
    assert json.loads(stdout)["steps"] == 5
    _, stdout, _ = retrain(tmp_path / "b", "--arch", ARCH, "--json")
    assert json.loads(stdout)["steps"] == 8


@pytest.mark.parametrize(
    ("own", "override", "key"),
    [
        ("recipe: {<<: *recipe, steps: 5}", "retrain.steps=6", "baselines.0.recipe.steps"),
        ("retrain: {steps: 5}", "retrain.steps=6", "baselines.0.retrain.steps"),
        ("retrain: {loss: {triplet: {margin: 0.3}}}", "retrain.loss.triplet.margin=0.1",
         "baselines.0.retrain.loss.triplet.margin"),
    ],
)  # fmt: skip
def test_an_override_that_would_not_reach_the_baseline_is_refused(
    retrain, tiny_config, tmp_path, own, override, key
):
    tiny_config.write_text(
        tiny_config.read_text() + f"baselines: [{{model: gaitset-nano, {own}}}]\n"
    )
    code, _, err = retrain(tmp_path / "out", "--model", "gaitset-nano", override)
    assert code == 2 and f"error: {override}: gaitset-nano does not follow retrain" in err
    assert err.strip().endswith(f"give {key}={override.partition('=')[2]}")
    assert not (tmp_path / "out").exists()


def test_resumed_equals_undisturbed(retrain, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    retrain(whole, "--arch", ARCH)
    retrain(parts, "--arch", ARCH)
    last = Checkpoints(parts / "checkpoints").latest()
    last.unlink()
    (parts / "result.json").unlink()
    code, _, err = retrain(parts, "--arch", ARCH, "--resume")
    assert code == 0 and "at step 6 of 8" in err
    a, b = (load_checkpoint(Checkpoints(p / "checkpoints").latest()) for p in (whole, parts))
    for name in a["model"]:
        assert torch.equal(a["model"][name], b["model"][name]), name
    first, second = (read_checked(p / "result.json") for p in (whole, parts))
    first.pop("train_seconds"), second.pop("train_seconds")
    assert first == second
    assert [m["step"] for m in read_metrics(parts / "metrics.jsonl")] == list(range(1, 9))


def test_start_from_a_slice_of_the_supernet(retrain, nasgait, tiny_config, tmp_path):
    supernet, slice_file = tmp_path / "supernet", tmp_path / "slice.pt"
    nasgait("supernet", "--config", tiny_config, "--out", supernet)
    checkpoint = Checkpoints(supernet / "checkpoints").latest()
    export = ["export", "--supernet", checkpoint, "--out", slice_file]
    assert nasgait(*export, "--arch", ARCH)[0] == 0
    assert slice_file.stat().st_size < 0.5 * checkpoint.stat().st_size
    code, _, err = retrain(
        tmp_path / "out", "--arch", ARCH, "--init", slice_file, "retrain.optimizer.lr=1e-30"
    )
    assert code == 0 and "fresh: neck" in err
    shared = load_checkpoint(checkpoint)["model"]
    trained = load_checkpoint(Checkpoints(tmp_path / "out" / "checkpoints").latest())["model"]
    kept = [n for n in trained if n in shared and "running" not in n and "tracked" not in n]
    assert len(kept) > 10
    for name in kept:
        torch.testing.assert_close(trained[name], shared[name])
    code, _, err = retrain(tmp_path / "other", "--arch", "nano:0-1-1-1", "--init", slice_file)
    assert code == 2 and f"slice of {ARCH}" in err
    code, _, err = nasgait(*export, "--arch", ARCH)
    assert code == 2 and "exists" in err


def test_compare_and_study_tables(retrain, tiny_config, tmp_path):
    from nasgait.config.load import load_config
    from retrain.compare import compare

    for arch, name, seed in (
        (ARCH, "searched", 0),
        (ARCH, "searched", 1),
        ("nano:0-1-1-1", "b", 0),
    ):
        out = tmp_path / "retrain" / name / f"seed-{seed}"
        kind = "searched" if name == "searched" else "random"
        code, _, err = retrain(out, "--arch", arch, "--name", name, "--kind", kind, f"seed={seed}")
        assert code == 0, err
    results = compare(tmp_path, load_config(tiny_config))
    searched = results["networks"][0]
    assert searched["name"] == "searched"
    assert results["best"] == max(results["networks"], key=lambda n: n["map"])["name"]
    assert results["best_within_budget"] == results["best"], "there is no budget"
    recorded = searched["recipe"]
    assert recorded["steps"] == 8 and recorded["optimizer"]["lr"] == 1e-3
    assert {"key": "seeds", "values": {"searched": [0, 1], "b": [0]}} in results["differences"]
    assert searched["rank1"] == pytest.approx(np.mean(searched["seeds"]))
    assert len(searched["seeds"]) == 2
    assert {row[0] for row in results["study"]["rows"]} == {"searched", "b"}


def test_wrong_input(retrain, nasgait, tiny_store, tmp_path):
    out = tmp_path / "out"
    for words, expected in {
        ("--arch", "nano:0-1-2"): "4 choices",
        ("--arch", "nano:0-1-2-9"): "layer 3",
        ("--model", "gaitsett-nano"): "gaitset-nano",
        ("--arch", ARCH, "--init", str(tmp_path / "none.pt")): "none.pt",
        ("--arch", ARCH, "data.store=nowhere"): "nowhere",
        ("--arch", ARCH, "--name", "../x"): "--name: must name a folder",
        ("--arch", ARCH, "--name", "a\nb"): "--name: must name a folder",
    }.items():
        code, _, err = retrain(out, *words)
        assert code == 2 and expected in err and "Traceback" not in err, (words, err)
    words = ["--store", tiny_store, "--protocol"]
    code, _, err = nasgait("eval", "--checkpoint", tmp_path / "none.pt", *words, "leave-one-out")
    assert code == 2 and "none.pt" in err
    code, _, err = nasgait("eval", "--checkpoint", tmp_path / "none.pt", *words, "grue")
    assert code == 2 and "grue" in err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("evaluation.protocol=casia-b",), "protocol casia-b: no nm probe"),
        (("evaluation.protocol=oumvlp",), "protocol oumvlp: no nm probe"),
        (("evaluation.protocol=hid",), "no probe among 24 sequences"),
        (("evaluation.precision=float16", "device=cpu"), "precision: float16 needs a GPU"),
        (("retrain.batch.seqs=1",), "retrain.batch: 4 x 1 holds no triplet"),
    ],
)
def test_what_cannot_be_judged_is_not_trained(retrain, tmp_path, words, told):
    out = tmp_path / "out"
    code, _, err = retrain(out, "--model", "gaitset-nano", *words)
    assert code == 2 and told in err, err
    assert not out.exists()
