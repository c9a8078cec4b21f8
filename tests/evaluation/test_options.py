"""Settings that do not fit the protocol are refused before anything is embedded."""

import json
from dataclasses import replace

import pytest

from nasgait.config.schema import EvaluationConfig
from nasgait.core.errors import ConfigError, DataError
from nasgait.data.store import Sequence
from nasgait.evaluation.options import check_options, check_sequences


@pytest.fixture
def files(tmp_path):
    """A partition with probes, one without, and a table of true labels."""
    sets = {"TRAIN_SET": ["1"], "TEST_SET": ["2"]}
    (tmp_path / "bare.json").write_text(json.dumps(sets))
    (tmp_path / "probes.json").write_text(json.dumps(sets | {"PROBE_SET": ["2-a-b"]}))
    (tmp_path / "truth.csv").write_text("videoId,label\nv,2\n")
    return tmp_path


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"protocol": "casia-b"},
        {"protocol": "leave-one-out", "gallery_ids": 4},
        {"protocol": "grew", "distractors": True, "rerank": True, "truth": "truth.csv"},
        {"protocol": "gait3d", "probes": "probes.json", "rerank": True},
        {"protocol": "hid", "truth": "truth.csv"},
    ],
)
def test_settings_that_fit(files, settings, monkeypatch):
    monkeypatch.chdir(files)
    check_options(EvaluationConfig(**settings))


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"truth": "truth.csv"}, ConfigError, "truth: only protocol grew, hid has unlabelled"),
        ({"protocol": "grew", "gallery_ids": 4}, ConfigError, "only protocol leave-one-out splits"),
        ({"protocol": "casia-b", "probes": "x"}, ConfigError, "probes: only protocol gait3d"),
        ({"protocol": "hid", "distractors": True}, ConfigError, "distractors: only protocol grew"),
        ({"protocol": "oumvlp", "rerank": True}, ConfigError, "rerank: only protocol grew, gait3d"),
        (
            {"protocol": "hid"},
            ConfigError,
            "truth: protocol hid has unlabelled probes only; give their true",
        ),
        ({"protocol": "gait3d"}, ConfigError, "needs the list of its probes; give OpenGait's"),
        ({"protocol": "gait3d", "probes": "bare.json"}, DataError, "bare.json: no PROBE_SET"),
        ({"protocol": "gait3d", "probes": "none.json"}, DataError, "none.json"),
        ({"protocol": "grew", "truth": "none.csv"}, DataError, "none.csv"),
    ],
)
def test_settings_that_do_not(files, settings, error, message, monkeypatch):
    monkeypatch.chdir(files)
    with pytest.raises(error, match=message):
        check_options(EvaluationConfig(**settings))


def test_messages_name_keys_or_flags():
    config = EvaluationConfig(protocol="grew", gallery_ids=4)
    with pytest.raises(ConfigError, match=r"^evaluation\.gallery_ids:"):
        check_options(config)
    with pytest.raises(ConfigError, match=r"^--gallery-ids:"):
        check_options(config, flags=True)


def test_hid_needs_no_labels_to_submit():
    check_options(EvaluationConfig(protocol="hid"), submits=True)


def test_sequences_that_cannot_be_evaluated_are_refused_before_training(files, monkeypatch):
    monkeypatch.chdir(files)

    def recordings(*types):
        return [Sequence("2", kind, view, "test", 9, 0, 0) for kind in types for view in "ab"]

    check_sequences(EvaluationConfig("oumvlp"), recordings("00", "01"))
    with pytest.raises(DataError, match="no gallery sequence"):
        check_sequences(EvaluationConfig("oumvlp"), recordings("00"))
    with pytest.raises(DataError, match="no nm probe"):
        check_sequences(EvaluationConfig("casia-b"), [])
    gait3d = EvaluationConfig("gait3d", probes="probes.json")
    check_sequences(gait3d, recordings("a"))
    for sequences in ([], recordings("x")):
        with pytest.raises(DataError, match="none of the 1 listed probes"):
            check_sequences(gait3d, sequences)
    with pytest.raises(DataError, match="no gallery sequence"):
        check_sequences(gait3d, recordings("a")[1:])
    grew = EvaluationConfig("grew")
    check_sequences(grew, recordings("01", "02"))
    with pytest.raises(DataError, match=r"protocol grew \(gallery 01, probe 02\): no probe among"):
        check_sequences(grew, recordings("01"))
    with pytest.raises(DataError, match="distractors: none"):
        check_sequences(replace(grew, distractors=True), recordings("01", "02"))
    with pytest.raises(DataError, match=r"HID .*: no probe among 2 sequences"):
        check_sequences(EvaluationConfig("hid"), recordings("01"))
    with pytest.raises(DataError, match="leave-one-out: 1 identities with at most 2 sequences"):
        check_sequences(EvaluationConfig(), recordings("x"))
    with pytest.raises(DataError, match="leave-one-out: 0 identities with at most 0 sequences"):
        check_sequences(EvaluationConfig(), [])


@pytest.mark.parametrize("protocol", ["grew", "hid"])
def test_true_labels_are_checked_against_the_probes(files, protocol):
    config = EvaluationConfig(protocol, truth=str(files / "truth.csv"))
    rows = [("2", "01", "a"), ("2", "02", "a"), ("probe", "03", "v")]
    if protocol == "hid":
        rows = [("2", "x", "d"), ("probe", "v", "d")]

    def sequences():
        return [Sequence(*row, "test", 9, 0, 0) for row in rows]

    check_sequences(config, sequences())
    rows.append(("probe", "03", "w") if protocol == "grew" else ("probe", "w", "d"))
    with pytest.raises(DataError, match=r"truth.csv: true labels: 1 of 2 probes .* video w"):
        check_sequences(config, sequences())
    (files / "truth.csv").write_text("videoId,label\nv,9\nw,8\n")
    with pytest.raises(DataError, match=r"truth.csv: true labels: none is in the gallery"):
        check_sequences(config, sequences())
