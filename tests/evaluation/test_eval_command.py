"""``nasgait eval`` by every protocol, on small stores and with an untrained network."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from nasgait.config.schema import DataConfig, EvaluationConfig, ExperimentConfig
from nasgait.data.store import StoreWriter
from nasgait.evaluation.protocols import PROTOCOLS
from nasgait.evaluation.protocols.conditions import ConditionProtocol
from nasgait.training.checkpoint import FORMAT, save_checkpoint
from retrain.compare import compare
from retrain.evaluate import read_probes
from retrain.network_spec import NetworkSpec

VIEWS = ("000", "090")
BY_CONDITION = {
    name: protocol
    for name, protocol in PROTOCOLS.items()
    if isinstance(protocol, ConditionProtocol)
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """An untrained gaitset-nano."""
    torch.manual_seed(0)
    subject = NetworkSpec.of(None, "gaitset-nano")
    path = tmp_path_factory.mktemp("weights") / "network.pt"
    weights = subject.build().state_dict()
    metadata = {**subject.metadata(), "num_classes": None}
    save_checkpoint(path, {"format": FORMAT, **metadata, "model": weights})
    return path


def store_of(path, rows):
    """A store of random clips: rows of label, type, view and subset."""
    rng = np.random.default_rng(0)
    people = {row[0]: rng.random((64, 64)) for row in rows}
    writer = StoreWriter(path)
    for label, kind, view, subset in rows:
        frames = people[label] + rng.normal(0, 0.2, (4, 64, 64)) > 0.6
        writer.add(label, kind, view, subset, (255 * frames).astype(np.uint8))
    writer.close()
    return path


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """A store for each protocol."""
    folder = tmp_path_factory.mktemp("stores")
    rows = {}
    for protocol, plan in BY_CONDITION.items():
        kinds = sorted({*plan.gallery_types, *sum(plan.probe_types.values(), ())})
        rows[protocol] = [
            (f"{i:03d}", kind, view, "test") for i in range(4) for kind in kinds for view in VIEWS
        ]
    rows["gait3d"] = [
        (f"{i:04d}", f"camid{k}_videoid2", "seq0", "test") for i in range(4) for k in range(3)
    ]
    rows["hid"] = [(f"{i:04d}", "seq0", "default", "test") for i in range(6)]
    rows["hid"] += [("probe", f"video{i}", "default", "test") for i in range(3)]
    rows["grew"] = [(f"{i:05d}", f"0{k}", f"v{k}", "test") for i in range(10) for k in (1, 2)]
    rows["grew"] += [("probe", "03", f"video{i}", "test") for i in range(4)]
    rows["grew"] += [(f"distractor_{i}", "04", "d", "distractor") for i in range(5)]
    return {name: store_of(folder / name, listed) for name, listed in rows.items()}


@pytest.fixture
def evaluated(nasgait, checkpoint, stores):
    def call(protocol, *words):
        return nasgait(
            "eval", "--checkpoint", checkpoint, "--store", stores[protocol],
            "--protocol", protocol, "--device", "cpu", *words,
        )  # fmt: skip

    return call


@pytest.mark.parametrize("metric", ["euc", "cos"])
@pytest.mark.parametrize("protocol", list(BY_CONDITION))
def test_views(evaluated, protocol, metric):
    code, stdout, err = evaluated(protocol, "--metric", metric, "--json")
    assert code == 0, err
    table = json.loads(stdout)
    conditions = list(BY_CONDITION[protocol].probe_types)
    for name in conditions:
        assert list(table[name]["per_view"]) == list(VIEWS)
    mean = np.mean([table[name]["rank1"] for name in conditions])
    assert table["rank1"] == pytest.approx(mean)
    assert {"rank5", "map"} <= table.keys() and len(table["cmc"]) == 20


def test_printed_tables(evaluated):
    code, stdout, _ = evaluated("casia-b")
    assert code == 0
    lines = stdout.splitlines()
    assert lines[lines.index("nm") + 1].startswith("  rank1 ") and "cmc" not in stdout
    assert any(line.startswith("    090  ") and line.endswith(" %") for line in lines)
    assert any(line.startswith("rank1_cl") for line in lines)


@pytest.fixture
def partition(tmp_path):
    path = tmp_path / "Gait3D.json"
    probes = [f"{i:04d}-camid0_videoid2-seq0" for i in range(4)]
    sets = {"TRAIN_SET": ["9"], "TEST_SET": ["0000"], "PROBE_SET": probes}
    path.write_text(json.dumps(sets))
    return path


@pytest.mark.parametrize("words", [(), ("--rerank",)])
def test_gait3d(evaluated, partition, words):
    code, stdout, err = evaluated("gait3d", "--probes", partition, "--json", *words)
    assert code == 0, err
    table = json.loads(stdout)
    assert {"rank1", "rank5", "rank10", "rank20", "map", "minp"} <= table.keys()


@pytest.mark.parametrize("words", [(), ("--rerank",)])
def test_hid(evaluated, tmp_path, words):
    path, truth = tmp_path / "hid.csv", tmp_path / "truth.csv"
    code, stdout, err = evaluated("hid", "--submission", path, "--json", *words)
    assert code == 0, err
    assert "rank1" not in json.loads(stdout)
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["videoID", "label"] and [row[0] for row in rows] == [
        f"video{i}" for i in range(3)
    ]
    # Its own answers as the truth: everything is right.
    truth.write_text(path.read_text())
    code, stdout, err = evaluated("hid", "--truth", truth, "--json", *words)
    assert code == 0, err
    assert json.loads(stdout)["rank1"] == 100


def test_grew_with_distractors(evaluated, tmp_path):
    path = tmp_path / "grew.csv"
    for words in ((), ("--distractors",), ("--distractors", "--rerank")):
        code, stdout, err = evaluated("grew", "--submission", path, "--json", *words)
        assert code == 0, err
        assert "rank1_local" in json.loads(stdout)
        with path.open(newline="") as file:
            _, *rows = csv.reader(file)
        listed = {name for row in rows for name in row[1:]}
        assert len(rows) == 4
        # 20 of 25 are listed, so at least some of the five distractors are.
        assert any(name.startswith("distractor") for name in listed) == bool(words)


def test_a_protocol_added_to_the_list(evaluated, monkeypatch):
    """Evaluation by a new protocol needs no more than its object in the list."""
    new = replace(BY_CONDITION["oumvlp"], name="new", gallery_types=("01", "02"))
    monkeypatch.setitem(PROTOCOLS, "new", new)
    code, stdout, err = evaluated("oumvlp", "--protocol", "new", "--json")
    assert code == 0, err
    report = json.loads(stdout)
    assert report["protocol"] == "new" and list(report["nm"]["per_view"]) == list(VIEWS)
    code, _, err = evaluated("oumvlp", "--protocol", "nwe")
    assert code == 2 and "--protocol 'nwe': did you mean 'new'? known are leave-one-out," in err


@pytest.mark.parametrize(
    ("protocol", "words", "message"),
    [
        ("hid", (), "--truth: protocol hid has unlabelled probes only; give their true labels or"),
        ("gait3d", (), "--probes: protocol gait3d needs the list of its probes"),
        ("gait3d", ("--probes", "none.json"), "none.json"),
        ("oumvlp", ("--rerank",), "--rerank: only protocol grew, gait3d, hid"),
        ("casia-b", ("--submission", "x.csv"), "--submission: only protocol grew, hid"),
        ("casia-b", ("--gallery-ids", 2), "--gallery-ids: only protocol leave-one-out"),
        ("hid", ("--distractors", "--submission", "x.csv"), "--distractors: only protocol grew"),
    ],
)
def test_flags_that_do_not_fit(evaluated, protocol, words, message):
    code, _, err = evaluated(protocol, *words)
    assert code == 2 and message in err


def test_wrong_input_is_refused_before_embedding(
    evaluated, nasgait, checkpoint, stores, tmp_path, monkeypatch
):
    """Sequences that a protocol cannot evaluate and unwritable files are refused first."""
    monkeypatch.setattr("retrain.evaluate.embed_shared", None)
    words = ("eval", "--checkpoint", checkpoint, "--device", "cpu")
    for store, protocol, message in (
        ("oumvlp", "casia-b", "protocol casia-b: no nm probe"),
        ("casia-b", "grew", "protocol grew (gallery 01, probe 02): no probe"),
    ):
        code, _, err = nasgait(*words, "--store", stores[store], "--protocol", protocol)
        assert code == 2 and message in err
    truth = tmp_path / "truth.csv"
    truth.write_text("videoId,label\nvideo0,00000\n")
    code, _, err = evaluated("grew", "--truth", truth)
    assert code == 2 and f"{truth}: true labels: 3 of 4 probes have none" in err
    code, _, err = evaluated("grew", "--submission", tmp_path)
    assert code == 2 and "--submission" in err and "cannot be written" in err


def test_a_store_of_another_layout(nasgait, checkpoint, stores):
    def call(protocol, store, *words):
        return nasgait("eval", "--checkpoint", checkpoint, "--store", stores[store],
                       "--protocol", protocol, *words)  # fmt: skip

    code, _, err = call("casia-b", "oumvlp")
    assert code == 2 and "no nm probe (nm-05, nm-06)" in err
    code, _, err = call("hid", "oumvlp", "--submission", "x.csv")
    assert code == 2 and "needs unlabelled probes and 1 or more gallery" in err


def test_conditions_reach_the_results(nasgait, tiny_config, tmp_path):
    """Training evaluates by the protocol; the results hold the rank-1 of each condition."""
    plan = BY_CONDITION["casia-b"]
    kinds = [*plan.gallery_types, *sum(plan.probe_types.values(), ())]
    rows = [(f"{i:03d}", kind, v, "test") for i in range(75, 78) for kind in kinds for v in VIEWS]
    rows += [(f"{i:03d}", kind, "000", "train") for i in range(8) for kind in plan.gallery_types]
    store = store_of(tmp_path / "store", rows)
    run = tmp_path / "run"
    out = run / "retrain" / "gaitset-nano" / "seed-0"
    code, stdout, err = nasgait(
        "retrain", "--config", tiny_config, "--out", out, "--model", "gaitset-nano", "--json",
        f"data.store={store}", "evaluation.protocol=casia-b", "data.search_val=4",
    )  # fmt: skip
    assert code == 0, err
    result = json.loads(stdout)
    wanted = {f"rank1_{name}": result[name]["rank1"] for name in plan.probe_types}
    assert result["rank1"] == pytest.approx(np.mean(list(wanted.values())))
    probes = read_probes(out / "probes.npz")
    assert len(probes.hits) == len(probes.ap) == 3 * 6 * 2
    config = ExperimentConfig("x", DataConfig("x"), evaluation=EvaluationConfig("casia-b"))
    network = compare(run, config)["networks"][0]
    assert {name: network[name] for name in wanted} == wanted
    assert network["map"] == result["map"] and network["seeds"] == [result["rank1"]]


def test_own_people_with_normal_walks_alone(nasgait, checkpoint, tmp_path):
    """The rates that there are, the conditions that there are not, and who cannot be found."""
    kinds = ("nm-01", "nm-02", "nm-03", "nm-04", "nm-05", "nm-06")
    rows = [(f"{i:03d}", kind, v, "test") for i in range(4) for kind in kinds for v in VIEWS]
    rows += [("visitor", "nm-05", "000", "test")]
    store = store_of(tmp_path / "own", rows)
    words = ("eval", "--checkpoint", checkpoint, "--store", store, "--device", "cpu")
    code, stdout, err = nasgait(*words, "--protocol", "casia-b", "--json")
    assert code == 0, err
    table = json.loads(stdout)
    assert table["missing_conditions"] == ["bg", "cl"] and "bg" not in table
    assert table["rank1"] == table["rank1_nm"] == table["nm"]["rank1"]
    assert (table["probes"], table["unmatched_probes"]) == (17, 1)
    assert table["rank1_matched"] == table["nm"]["matched"]["rank1"] > table["rank1"]
    for said in (
        "protocol casia-b: missing_conditions: no probes of bg (bg-01, bg-02), cl (cl-01, cl-02)",
        "protocol casia-b: nm: 1 of 17 probes have no match",
    ):
        assert err.count(said) == 1
    assert f"without them rank-1 is {table['rank1_matched']:.2f} %" in err
    assert not any("without them" in note for note in table["notes"])
    code, stdout, _ = nasgait(*words, "--protocol", "casia-b")
    assert code == 0 and "missing_conditions  bg, cl" in stdout
    assert any(line.startswith("nm: 1 of 17 probes") for line in stdout.splitlines())
