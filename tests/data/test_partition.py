"""Partitions: who trains and who tests."""

import logging

import pytest
from raw_trees import imported, make_grew, make_pickles, partition_file, subsets, tree

from nasgait.core.errors import DataError
from nasgait.data.importers import import_dataset
from nasgait.data.layouts import PUBLISHED, list_dataset
from nasgait.data.partition import read_partition
from nasgait.data.store import GaitStore


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_partitions_are_those(name):
    partition = PUBLISHED[name]
    sizes = {"casia-b": (74, 50), "casia-b-73": (73, 50), "oumvlp": (5153, 5154)}
    assert (len(partition.train), len(partition.test)) == sizes[name]
    assert partition.train.isdisjoint(partition.test)
    if name.startswith("casia-b"):
        assert max(partition.train) == "074" and min(partition.test) == "075"
        assert ("005" in partition.train) == (name == "casia-b")
        assert {f"{i:03d}" for i in range(1, 125)} - partition.train - partition.test <= {"005"}
    else:
        assert all(int(label) % 2 for label in partition.train) and "10307" in partition.test
        assert partition.train | partition.test == {f"{i:05d}" for i in range(1, 10308)}


def test_identities_that_a_partition_does_not_know_are_named(tmp_path, caplog):
    tree(tmp_path / "casia", *(f"{i}/nm-01/000" for i in ("004", "005", "090", "125")))
    assert subsets("casia-b", tmp_path / "casia") == {
        "004": "train",
        "005": "train",
        "090": "test",
    }
    warnings = [
        record.getMessage() for record in caplog.records if record.levelno == logging.WARNING
    ]
    assert warnings == [
        "partition casia-b: 1 identities in neither set, left out: 125",
        "partition casia-b: 121 identities named there that the dataset lacks: "
        "001, 002, 003, 006, 007, ...",
    ]
    assert subsets("casia-b", tmp_path / "casia", "casia-b-73") == {"004": "train", "090": "test"}
    assert "2 identities in neither set, left out: 005, 125" in caplog.text


@pytest.mark.parametrize("layout", ["grew", "casia-b", "oumvlp", "gait3d", "opengait-pkl"])
def test_every_layout_takes_a_partition_file(tmp_path, layout, caplog):
    root = tmp_path / "raw"
    if layout == "grew":
        make_grew(root, distractors=1)
        ids = ("00000train", "00001", "00001train", "distractor_d0", "probe")
    elif layout == "opengait-pkl":
        ids = ("001", "002", "003", "004")
        make_pickles(root)
    else:
        ids = ("001", "002", "003", "004")
        tree(root, *(f"Silhouette_090-00/{i}" if layout == "oumvlp" else f"{i}/a/b" for i in ids))
    file = partition_file(tmp_path / "p.json", [ids[2], "unknown"], [ids[0]])
    assert subsets(layout, root, file) == {ids[2]: "train", ids[0]: "test"}
    assert "left out" in caplog.text and ids[1] in caplog.text
    assert "1 identities named there that the dataset lacks: unknown" in caplog.text
    _, found = imported(layout, root, partition=file)
    assert {value[0] for value in found.values()} == {"train", "test"}


@pytest.mark.parametrize(
    "text, message",
    [
        ('{"TRAIN_SET": ["a"], "TEST_SET": ["a"]}', "identity a is in TRAIN_SET and in TEST_SET"),
        (
            '{"TRAIN_SET": ["a"], "TEST_SET": ["b"]}',
            "names none of the 4 identities.*001, 002.*it names a, b; give the --partition",
        ),
        ('{"TRAIN_SET": ["a"]}', "not a partition file.*'TEST_SET'"),
        ('{"TRAIN_SET": "001", "TEST_SET": []}', "not a partition file.*a list is needed"),
        ('{"TRAIN_SET": [["001"]], "TEST_SET": []}', "not a partition file.*an id is a text or"),
        ("[]", "not a partition file"),
        ("{", "not a partition file"),
        (None, "no such partition file, and no published partition; those are casia-b, casia-b-73"),
    ],
)
def test_wrong_partitions(tmp_path, text, message):
    make_pickles(tmp_path / "raw")
    file = tmp_path / "p.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        list_dataset("opengait-pkl", tmp_path / "raw", file)
    assert "\n" not in str(caught.value)


def test_ids_may_be_numbers_in_the_file(tmp_path):
    assert read_partition(partition_file(tmp_path / "p.json", [1], ["2"])).train == {"1"}


def test_a_store_knows_its_partition(tmp_path):
    root, out = tmp_path / "casia", tmp_path / "out"
    tree(root, *(f"{i}/nm-01/000" for i in ("004", "005", "090")))

    def run(**options):
        return import_dataset("casia-b", root, out, workers=1, progress=False, **options)

    assert run().sequences == 3
    assert run(partition="casia-b").already_complete  # the layout's own, by name
    assert GaitStore.open(out).meta["source"]["partition"] == "casia-b"
    with pytest.raises(DataError, match="made from this folder with partition casia-b"):
        run(partition="casia-b-73")
