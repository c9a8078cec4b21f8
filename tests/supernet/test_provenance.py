"""scoring.json: what makes another search, what only changes last digits, what is free."""

import json
import logging
import re
from dataclasses import fields, replace

import pytest
from crowds import crowd

from nasgait.config.schema import (
    CalibrationConfig,
    DataConfig,
    EvaluationConfig,
    ExperimentConfig,
    RayConfig,
    SearchConfig,
    TrainConfig,
)
from nasgait.core.checksum import write_checked
from nasgait.core.errors import CheckpointError
from nasgait.data.split import split_as
from nasgait.data.store import GaitStore
from search_spaces import load_space
from supernet.provenance import Provenance
from supernet.weights import Weights

WEIGHTS = Weights({}, load_space("nano"), "a" * 64)

FREE = {"max_epochs": 3, "chunk": 7, "backend": "ray", "ray": RayConfig(workers=1)}
"""As documented: how long a search is, where and in which portions it scores."""
SLIGHT = {"memory": 3e9}
DECISIVE = {
    "population": 49,
    "top_k": 9,
    "mutations": 24,
    "crossovers": 24,
    "mutation_prob": 0.2,
    "batches_per_generation": 4,
    "lookahead": 2,
    "candidates": 2,
    "max_macs": 1e9,
    "max_params": 1e9,
    "max_latency": 1.0,
    "frames": 8,
    "objectives": ("rank1",),
    "calibration": CalibrationConfig(127),
    "max_sequences": 100,
    "max_frames": 20,
    "precision": "bfloat16",
}
"""Another value of each key of ``search``."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("crowd")


@pytest.fixture(scope="module")
def store(folder):
    """The store marks no search-val identities: the split draws them."""
    return GaitStore.open(crowd(folder / "store", subset_of={"search-val": "train"}))


@pytest.fixture
def config(store):
    return ExperimentConfig("test", DataConfig(str(store.path)), threads=1, device="cpu")


@pytest.fixture
def begun(tmp_path, config, store):
    """A folder whose search was begun with ``config``."""
    provenance_of(config, store).write(tmp_path)
    return tmp_path


def provenance_of(config, store, weights=WEIGHTS):
    return Provenance.of(config, weights, store, split_as(store, config.data))


NAMED = r"([\w.]+) \([^()]*, not "
"""A name, behind it both values."""


def refused(begun, found) -> list[str]:
    """The names that the refusal gives; none when it goes on."""
    try:
        found.compare(begun)
    except CheckpointError as error:
        named = str(error).split("was begun with another ")[1].split(";")[0]
        assert str(error).startswith(f"{begun}: ") and "--out" in str(error)
        return list(dict.fromkeys(name.split(".")[0] for name in re.findall(NAMED, named)))
    return []


def test_every_key_of_the_search_is_told():
    assert {entry.name for entry in fields(SearchConfig)} == {*FREE, *SLIGHT, *DECISIVE}


@pytest.mark.parametrize("name", DECISIVE)
def test_another_search(begun, config, store, name):
    other = replace(config, search=replace(config.search, **{name: DECISIVE[name]}))
    assert getattr(config.search, name) != DECISIVE[name]
    assert refused(begun, provenance_of(other, store)) == [name]


@pytest.mark.parametrize("calibration", [CalibrationConfig(0), CalibrationConfig(128, 9)])
def test_every_part_of_the_calibration_counts(begun, config, store, calibration):
    other = replace(config, search=replace(config.search, calibration=calibration))
    assert refused(begun, provenance_of(other, store)) == ["calibration"]


@pytest.mark.parametrize("name", FREE)
def test_the_same_search(begun, config, store, name, caplog):
    other = replace(config, search=replace(config.search, **{name: FREE[name]}))
    with caplog.at_level(logging.WARNING):
        assert refused(begun, provenance_of(other, store)) == []
    assert caplog.text == ""


def test_what_else_a_search_rests_on(begun, config, store):
    assert refused(begun, provenance_of(config, store)) == []
    assert refused(begun, provenance_of(replace(config, seed=1), store)) == ["seed"]
    cosine = replace(config, evaluation=EvaluationConfig(metric="cos"))
    assert refused(begun, provenance_of(cosine, store)) == ["metric"]
    other = Weights({}, WEIGHTS.space, "b" * 64)
    assert refused(begun, provenance_of(config, store, other)) == ["supernet"]
    both = replace(cosine, seed=2)
    assert refused(begun, provenance_of(both, store, other)) == ["supernet", "seed", "metric"]


def test_what_it_does_not_rest_on(begun, config, store, caplog):
    later = replace(
        config,
        name="renamed",
        supernet=TrainConfig(steps=1),
        retrain=TrainConfig(steps=1),
        evaluation=EvaluationConfig(protocol="grew", max_frames=3),
        random=9,
        seeds=3,
        jobs=2,
        label_rate=0.5,
    )
    with caplog.at_level(logging.WARNING):
        assert refused(begun, provenance_of(later, store)) == []
    assert caplog.text == ""


@pytest.mark.parametrize("change", [{"split_seed": 1}, {"search_val": 3.0}, {"train_ids": 9}])
def test_another_split(begun, config, store, change):
    other = replace(config, data=replace(config.data, **change))
    assert refused(begun, provenance_of(other, store)) == ["data", "search_val"]


def test_another_store(begun, config, store, folder):
    marked = {"search-val": "train"}
    others = {
        "pixels": crowd(folder / "pixels", tainted=("train",), subset_of=marked),
        "test pixels": crowd(folder / "test", tainted=("test",), subset_of=marked),
        "one more": crowd(folder / "more", more=[("t00", "train")], subset_of=marked),
        "one less": crowd(folder / "less", without=["t03-02-000"], subset_of=marked),
    }
    for what, path in others.items():
        found = provenance_of(config, GaitStore.open(path))
        assert refused(begun, found) == ["data", "search_val"], what
    same = GaitStore.open(crowd(folder / "same", subset_of=marked))
    assert refused(begun, provenance_of(config, same)) == []


def test_other_training_sequences_alone(begun, config, store):
    """The same search-val sequences: those that calibrate are others."""
    parts = split_as(store, config.data)
    fewer = replace(parts, train=parts.train[1:])
    assert refused(begun, Provenance.of(config, WEIGHTS, store, fewer)) == ["data"]
    moved = replace(
        parts, train=[*parts.train, parts.search_val[0]], search_val=parts.search_val[1:]
    )
    assert refused(begun, Provenance.of(config, WEIGHTS, store, moved)) == ["search_val"]


@pytest.mark.parametrize("change", [{"threads": 2}, {"search": SearchConfig(**SLIGHT)}])
def test_last_digits_are_warned_of(begun, config, store, change, caplog):
    other = replace(config, **change)
    with caplog.at_level(logging.WARNING):
        assert refused(begun, provenance_of(other, store)) == []
    told = "threads 1, not 2" if "threads" in change else "memory 4000000000, not 3000000000"
    assert told in caplog.text and str(begun) in caplog.text


def test_threads_are_those_of_each_scorer(config, store):
    """Three threads for three workers: one each, as a search in this process with one."""
    on_ray = SearchConfig(backend="ray", ray=RayConfig(workers=3))
    shared = provenance_of(replace(config, threads=3, search=on_ray), store)
    assert shared == provenance_of(config, store)


@pytest.mark.parametrize("name", ["supernet", "data", "search_val", "seed", "population"])
def test_a_note_that_lacks_something_is_of_another_search(begun, config, store, name):
    note = begun / "scoring.json"
    told = json.loads(note.read_text())
    del told[name]
    write_checked(note, told)
    assert refused(begun, provenance_of(config, store)) == [name]
