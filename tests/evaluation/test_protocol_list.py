"""The list of protocols: what follows from it, and that a new one needs nothing else."""

import numpy as np
import pytest

from nasgait.config.load import load_config
from nasgait.config.schema import EvaluationConfig
from nasgait.core.errors import ConfigError, DataError
from nasgait.data.store import Sequence
from nasgait.evaluation.options import check_options, check_sequences
from nasgait.evaluation.protocols import PROTOCOLS, evaluate, find_protocol, that_accept
from nasgait.evaluation.protocols.base import OPTIONS, Protocol

NAMES = [
    "leave-one-out", "casia-b", "casia-b-cross-view", "oumvlp", "oumvlp-cross-view", "grew",
    "gait3d", "hid",
]  # fmt: skip


class Twice(Protocol):
    """The first recording of each identity against the second."""

    def probes_and_gallery(self, sequences):
        probes = np.flatnonzero(sequences.types == "first")
        gallery = np.flatnonzero(sequences.types == "second")
        sequences.require(probes, gallery, self.title)
        return probes, gallery


@pytest.fixture
def twice(monkeypatch):
    protocol = Twice(name="twice", description="first against second", options=("rerank",))
    monkeypatch.setitem(PROTOCOLS, "twice", protocol)
    return protocol


def test_the_list():
    assert list(PROTOCOLS) == NAMES
    assert [protocol.name for protocol in PROTOCOLS.values()] == NAMES


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=NAMES)
def test_each_is_described_and_takes_options_that_exist(protocol):
    assert protocol.description and "\n" not in protocol.description
    assert sum(other.description == protocol.description for other in PROTOCOLS.values()) == 1
    assert set(protocol.options) <= OPTIONS.keys()
    assert protocol.required.keys() <= set(protocol.options)
    assert ("truth" in protocol.options) == (protocol.submission is not None)


def shown(nasgait, capsys, *words):
    with pytest.raises(SystemExit):
        nasgait(*words)
    return capsys.readouterr().out


def test_help_names_and_describes_all(nasgait, capsys, twice):
    text = shown(nasgait, capsys, "eval", "--help")
    for protocol in PROTOCOLS.values():
        assert f"  {protocol.name} " in text and protocol.description in text
    assert f"{that_accept('rerank')}: re-rank" in " ".join(text.split())


@pytest.mark.parametrize("given", ["gerw", "GREW", "grew "])
def test_a_mistyped_name_is_suggested(given):
    with pytest.raises(ConfigError) as caught:
        check_options(EvaluationConfig(given))
    message = f"evaluation.protocol {given!r}: did you mean 'grew'? known are {', '.join(NAMES)}"
    assert str(caught.value) == message
    with pytest.raises(ConfigError, match=r"^--protocol "):
        check_options(EvaluationConfig(given), flags=True)


@pytest.mark.parametrize("stage", ["supernet", "run"])
def test_every_stage_refuses_an_unknown_name(nasgait, tiny_config, tmp_path, stage):
    words = (stage, "--config", tiny_config) if stage != "run" else (stage, tiny_config)
    code, _, err = nasgait(*words, "--out", tmp_path / "out", "evaluation.protocol=gerw")
    assert code == 2 and f"{tiny_config}: evaluation.protocol 'gerw': did you mean 'grew'?" in err
    assert not (tmp_path / "out").exists()


def test_an_unlike_name_lists_all(twice):
    with pytest.raises(ConfigError, match=r"^protocol 'xyz': known are leave.*, hid, twice$"):
        find_protocol("xyz")


def test_a_new_protocol_works_from_its_configuration_to_its_metrics(tiny_config, twice):
    config = load_config(tiny_config, ["evaluation.protocol=twice", "evaluation.rerank=true"])
    check_options(config.evaluation)
    with pytest.raises(ConfigError, match="distractors: only protocol grew has distractors"):
        check_options(EvaluationConfig("twice", distractors=True))
    with pytest.raises(ConfigError, match="only protocol grew, gait3d, hid, twice re-ranks"):
        check_options(EvaluationConfig("oumvlp", rerank=True))
    sequences = [
        Sequence(label, kind, "000", "test", 9, 0, 0)
        for kind in ("first", "second")
        for label in "abcd"
    ]
    check_sequences(config.evaluation, sequences)
    with pytest.raises(DataError, match="protocol twice: no gallery sequence among 4 sequences"):
        check_sequences(config.evaluation, sequences[:4])
    labels, types, views = zip(*((s.label, s.type, s.view) for s in sequences), strict=True)
    embeddings = np.array([1, 2, 3, 4, 1.1, 2.1, 2.9, 9], np.float32).reshape(-1, 1, 1)
    metrics = evaluate("twice", embeddings, labels, types, views)
    assert (metrics["rank1"], metrics["rank5"]) == (75, 100)
    assert metrics["map"] == pytest.approx(100 * (1 + 1 + 1 + 1 / 4) / 4)
