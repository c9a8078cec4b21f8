"""Pre-training without labels, and what follows it: label rates, fine-tuning, linear evaluation."""

import json
from itertools import pairwise

import pytest
import torch

from nasgait.config.load import load_config
from nasgait.core.distributed import World
from nasgait.core.errors import DataError
from nasgait.core.metrics_log import read_metrics
from nasgait.data.split import labelled, split
from nasgait.data.store import GaitStore
from nasgait.nn.byol import embedding_shape
from nasgait.training.checkpoint import Checkpoints, load_checkpoint
from retrain import pretrain
from retrain.network_spec import load_network
from retrain.networks import FinalNetwork

ARCH = "nano:0-5-2-4"
MODEL = "selfgait-nano"
PRETRAIN = """
pretrain:
  steps: 8
  views: {sequences: 6, frames: 6}
  optimizer: {lr: 0.01}
  hidden: 16
  projection: 8
  momentum: 0.9
  precision: float32
  augment: {flip: 0.5, rotate: 0.5}
  checkpoint_every: 3
  log_every: 1
"""


@pytest.fixture
def config(tiny_config):
    tiny_config.write_text(tiny_config.read_text() + PRETRAIN)
    return tiny_config


@pytest.fixture
def run(nasgait, config):
    """``run(command, out, *words) -> (code, stdout, stderr)``."""
    return lambda command, out, *words: nasgait(command, "--config", config, "--out", out, *words)


def newest(out):
    return Checkpoints(out / "checkpoints").latest()


def weights(out):
    return load_checkpoint(newest(out))["model"]


def equal(a, b, tolerance=0.0):
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=tolerance, atol=tolerance, msg=name)


def test_it_learns_and_says_how_it_went(run, nasgait, tiny_store, tmp_path):
    out = tmp_path / "out"
    code, stdout, err = run("pretrain", out, "--model", MODEL, "--json")
    assert code == 0, err
    result = json.loads(stdout)
    assert result["steps"] == 8 and result["sequences"] == 12 * 4
    assert result["checkpoint"] == str(newest(out))
    lines = read_metrics(out / "metrics.jsonl")
    assert [line["step"] for line in lines] == list(range(1, 9))
    assert all(0 <= line["spread"] <= 1 and 0 <= line["loss"] <= 4 for line in lines)
    assert "plan: steps 0 to 8 of 6 x 2 sequences" in err
    model, saved = load_network(newest(out))
    assert saved["kind"] == "pretraining" and model.neck is None
    code, stdout, err = nasgait("eval", "--checkpoint", newest(out), "--store", tiny_store,
                                "--protocol", "leave-one-out", "--json")  # fmt: skip
    assert code == 0, err
    assert 0 <= json.loads(stdout)["rank1"] <= 100


def test_views_are_two_draws_of_one_sequence(config, tmp_path):
    inputs = inputs_of(config, tmp_path / "out", "pretrain.views.sequences=24")
    batch = inputs.loader(World(0, 1, torch.device("cpu"))).batch(0)
    first, second = batch.silhouettes[0::2], batch.silhouettes[1::2]
    assert torch.equal(batch.labels[0::2], batch.labels[1::2])
    assert len(set(batch.labels.tolist())) == 24, "no sequence twice"
    differ = [not torch.equal(a, b) for a, b in zip(first, second, strict=True)]
    assert sum(differ) >= 22
    halves = [inputs.loader(World(rank, 2, torch.device("cpu"))).batch(0) for rank in range(2)]
    assert torch.equal(torch.cat([half.silhouettes for half in halves]), batch.silhouettes)


def inputs_of(config, out, *overrides) -> pretrain.PretrainInputs:
    network = FinalNetwork(MODEL, "baseline", model=MODEL)
    return pretrain.open_inputs(load_config(config, overrides), out, network)


@pytest.mark.parametrize("norm", ["shared", "parts"])
def test_norms_of_the_heads_are_a_setting(config, tmp_path, norm):
    inputs = inputs_of(config, tmp_path / "out", f"pretrain.norm={norm}")
    learner = pretrain.build(inputs, World(0, 1, torch.device("cpu"))).model
    _, parts = embedding_shape(inputs.model)
    norms = parts if norm == "parts" else 1
    for head in (learner.projector, learner.predictor, learner.target_projector):
        assert head.norm.num_features == 16 * norms


def test_labels_play_no_part(config, tmp_path, tiny_store):
    """Test identities are never seen; those of train and search-val are only sequences."""
    inputs = inputs_of(config, tmp_path / "out")
    store = GaitStore.open(tiny_store)
    seen = {store.sequences[i].subset for i in inputs.sequences}
    assert seen == {"train"} and len(inputs.sequences) == 48


@pytest.mark.parametrize("network", [["--arch", ARCH], ["--model", MODEL]])
def test_resumed_equals_undisturbed_to_the_last_bit(run, tmp_path, network):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for out in (whole, parts):
        code, _, err = run("pretrain", out, *network)
        assert code == 0, err
    newest(parts).unlink()
    code, _, err = run("pretrain", parts, *network, "--resume")
    assert code == 0 and "at step 6 of 8" in err
    equal(weights(whole), weights(parts))
    manifests = [Checkpoints(out / "checkpoints").newest().sha256 for out in (whole, parts)]
    assert manifests[0] == manifests[1]
    code, _, err = run("pretrain", parts, *network, "--resume", "pretrain.momentum=0.5")
    assert code == 2 and "pretrain.momentum (0.9, not 0.5)" in err


@pytest.mark.parametrize(
    ("precision", "steps", "tolerance"), [("float64", 6, 1e-11), ("float32", 2, 1e-5)]
)
def test_two_ranks_equal_one_process(run, tmp_path, precision, steps, tolerance):
    flags = [f"pretrain.steps={steps}", f"pretrain.precision={precision}"]
    for out, words in ((tmp_path / "one", []), (tmp_path / "two", ["--nproc", "2"])):
        code, _, err = run("pretrain", out, "--arch", ARCH, *words, *flags)
        assert code == 0, err
    equal(weights(tmp_path / "one"), weights(tmp_path / "two"), tolerance)


def test_fine_tuning_starts_where_pre_training_ended(run, tmp_path):
    first = tmp_path / "pretrained"
    run("pretrain", first, "--model", MODEL)
    out = tmp_path / "out"
    words = ["--model", MODEL, "--init", newest(first), "retrain.optimizer.lr=1e-30"]
    code, stdout, err = run("retrain", out, *words, "label_rate=0.5", "--json")
    assert code == 0 and "fresh: neck" in err and "6 training identities" in err
    result = json.loads(stdout)
    assert result["label_rate"] == 0.5 and result["init"] == str(newest(first))
    kept, tuned = weights(first), weights(out)
    names = [name for name in tuned if not name.startswith("neck.")]
    assert len(names) > 10
    for name in names:
        torch.testing.assert_close(tuned[name], kept[f"online.{name}"])
    again = tmp_path / "again"
    code, _, err = run("retrain", again, "--model", MODEL, "--init", newest(out))
    assert code == 0, "a final network's checkpoint serves as well"


def test_linear_evaluation_moves_the_head_alone(run, tmp_path):
    first, out = tmp_path / "pretrained", tmp_path / "out"
    run("pretrain", first, "--arch", ARCH)
    code, _, err = run("retrain", out, "--arch", ARCH, "--init", newest(first), "freeze=backbone")
    assert code == 0, err
    before, after = weights(first), weights(out)
    moved = {
        name
        for name, value in after.items()
        if not name.startswith("neck.") and not torch.equal(value, before[f"online.{name}"])
    }
    assert moved == {"fcs.fc_bin"}
    code, _, err = run("retrain", tmp_path / "b", "--arch", ARCH, "freeze=backbone")
    assert code == 2 and "--init" in err


def test_label_rate_is_nested_and_a_function_of_the_seed(tiny_store):
    store = GaitStore.open(tiny_store)
    parts = split(store, 4, 0)
    everyone = sorted(parts.train + parts.search_val)
    kept = [labelled(store, everyone, rate, 0) for rate in (0.25, 0.5, 0.75, 1.0)]
    assert [len(rows) for rows in kept] == [12, 24, 36, 48]
    for fewer, more in pairwise(kept):
        assert set(fewer) < set(more) and fewer == sorted(fewer)
    assert kept[0] == labelled(store, everyone, 0.25, 0)
    assert any(kept[0] != labelled(store, everyone, 0.25, seed) for seed in (1, 2, 3))
    for rate in (0, 0.1):
        with pytest.raises(DataError, match=r"label_rate=.* 12 training identities leaves"):
            labelled(store, everyone, rate, 0)


def test_wrong_input_is_one_line(run, tmp_path):
    out = tmp_path / "out"
    pretrained = tmp_path / "pretrained"
    assert run("pretrain", pretrained, "--model", MODEL)[0] == 0
    for words, expected in {
        ("pretrain", "--model", "selfgate"): "selfgait",
        ("pretrain", "--model", MODEL, "data.store=nowhere"): "nowhere",
        ("pretrain", "--model", MODEL, "pretrain.views.sequences=100"): "only 48",
        ("pretrain", "--model", MODEL, "--nproc", "4"): "pretrain.views.sequences is 6",
        ("pretrain", "--model", MODEL, "pretrain.momentum=1.5"): "pretrain.momentum",
        ("pretrain", "--model", MODEL, "pretrain.loss.triplet.weight=1"): "pretrain.loss",
        ("pretrain", "--model", MODEL, "pretrain.schedule.warmup=8"): "pretrain.schedule.warmup",
        ("retrain", "--arch", ARCH, "--init", str(newest(pretrained))): f"not of {ARCH}",
        ("retrain", "--model", MODEL, "label_rate=0"): "label_rate=0",
        ("retrain", "--model", MODEL, "label_rate=0.25"): "batch.ids",
    }.items():
        code, _, err = run(words[0], out, *words[1:])
        assert code == 2 and expected in err and "Traceback" not in err, (words, err)
        assert err.strip().count("\n") == 0, err
        assert not out.exists() or not any(out.iterdir())
