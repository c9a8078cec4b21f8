"""``space: null``: hand-designed networks trained, judged and compared, without a search."""

import json

import pytest

STUDY = """
space: null
evaluation: {gallery_ids: 3}
baselines:
  - {model: gaitset-nano}
  - model: gaitset-nano
    name: behind-cosine
    settings: {after_neck: true, neck_bias: false, activation: relu, initial: kaiming}
    evaluation: {metric: cos, gallery_ids: 3}
  - model: gaitbase-nano
    name: no-neck
    recipe:
      steps: 4
      batch: {ids: 4, seqs: 2, frames: 6}
      optimizer: {kind: adam, lr: 1e-3}
      schedule: {kind: constant}
      precision: float32
"""


@pytest.fixture
def config(tiny_config):
    tiny_config.write_text(tiny_config.read_text() + STUDY)
    return tiny_config


def test_only_baselines_are_trained_and_compared(nasgait, config, tmp_path):
    out = tmp_path / "out"
    code, stdout, err = nasgait("run", config, "--out", out, "--dry-run")
    assert code == 0 and "supernet" not in stdout and "search:" not in stdout, err
    assert "3 networks x 1 seeds" in stdout and "searched" not in stdout

    code, stdout, err = nasgait("run", config, "--out", out, "seeds=2", "retrain.steps=4")
    assert code == 0, err
    results = json.loads((out / "results.json").read_text())
    names = [network["name"] for network in results["networks"]]
    assert names == ["gaitset-nano", "behind-cosine", "no-neck"], "in the order of the file"
    assert {network["kind"] for network in results["networks"]} == {"baseline"}
    assert results["best"] in names
    study = results["study"]
    assert [row[0] for row in study["rows"]] == names
    assert study["columns"][4].endswith("against gaitset-nano"), "the first of the file"
    assert stdout.splitlines()[0].startswith("network") and "behind-cosine" in stdout
    judged = json.loads((out / "retrain" / "behind-cosine" / "seed-1" / "result.json").read_text())
    assert judged["evaluation"]["metric"] == "cos"
    assert not (out / "supernet").exists() and not (out / "search").exists()

    page = (out / "report" / "index.html").read_text()
    assert "Euclidean or cosine distance, as set for each network" in page
    for absent in ("has not made", "Search space", "Budget"):
        assert absent not in page, absent
    assert page.count("Best hand-designed network") == 1

    code, again, err = nasgait("run", config, "--out", out, "seeds=2", "retrain.steps=4", "--json")
    assert code == 0 and json.loads(again) == results, err


@pytest.mark.parametrize("command", ["supernet", "search", "rank"])
def test_commands_that_need_a_space_say_so(nasgait, config, tmp_path, command):
    files = {
        "supernet": ["--out", tmp_path / "out"],
        "search": ["--supernet", "none.pt", "--out", tmp_path / "out"],
        "rank": ["--supernet", "none.pt", "--truth", "none.csv"],
    }
    code, _, err = nasgait(command, "--config", config, *files[command])
    assert code == 2 and "space: is null" in err and f"nasgait {command} needs one" in err
    assert "Traceback" not in err and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("random=2", "random: trains architectures of a search space"),
        ("uniform=true", "uniform: trains architectures of a search space"),
        ("baselines=[]", "baselines: empty"),
        ("retrain.loss.cross_entropy.weight=0", "after_neck"),
        ("baselines.1.settings.activation=gelu", "leaky-relu"),
        ("baselines.1.settings.initial=orthogonal", "xavier"),
        ("baselines.0.settings.afterneck=true", "no setting 'afterneck'"),
        ("baselines.0.settings.bins=[3]", "model 'gaitset-nano': cannot be built with"),
        ("evaluation.protocol=casia-b", "gallery_ids: only protocol leave-one-out"),
        ("baselines.1.evaluation.protocol=grew", "gallery_ids: only protocol leave-one-out"),
        ("baselines.0.evaluation.protocol=grew", "evaluation.protocol: is grew, evaluation"),
        ("baselines.0.evaluation.precision=float16", "precision: float16 needs a GPU"),
    ],
)
def test_what_cannot_be_is_refused_at_once(nasgait, config, tmp_path, override, expected):
    out = tmp_path / "out"
    code, _, err = nasgait("run", config, "--out", out, "device=cpu", override)
    assert code == 2 and expected in err and "Traceback" not in err, err
    assert not out.exists()


def test_a_single_network_needs_no_space(nasgait, config, tmp_path):
    words = ("retrain", "--config", config, "--out", tmp_path / "one", "--json", "retrain.steps=2")
    code, stdout, err = nasgait(*words, "--model", "gaitset-nano", "--name", "behind-cosine")
    assert code == 0 and json.loads(stdout)["evaluation"]["metric"] == "cos", err
    code, _, err = nasgait(
        *words, "--resume", "--model", "gaitset-nano", "--name", "behind-cosine",
        "retrain.loss.cross_entropy.weight=0",
    )  # fmt: skip
    assert code == 2 and "after_neck" in err
