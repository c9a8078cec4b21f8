"""Published trees and partitions: who is found where, under which names, and who trains."""

import json
import logging
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from raw_trees import frames, make_grew, make_pickles, walkers

from nasgait.data.importers import import_dataset
from nasgait.data.layouts import list_dataset
from nasgait.data.normalise import normalise
from nasgait.data.partition import PUBLISHED, find_partition
from nasgait.data.store import GaitStore
from nasgait.errors import ConfigError, DataError


def tree(root: Path, *folders: str, names: str = "{:05d}.png", shape=(60, 50)) -> dict:
    """Pictures of walkers in these folders; the frames by folder."""
    rng = np.random.default_rng(len(folders))
    content = {}
    for folder in folders:
        content[folder] = walkers(rng, int(rng.integers(2, 5)), shape)
        (root / folder).mkdir(parents=True)
        for number, image in enumerate(content[folder]):
            cv2.imwrite(str(root / folder / names.format(number)), image)
    return content


def imported(layout: str, root: Path, **options):
    """Summary, and (subset, frames) by key."""
    out = root.parent / f"store-{len(list(root.parent.iterdir()))}"
    options = {"workers": 1, "progress": False} | options
    summary = import_dataset(layout, root, out, **options)
    store = GaitStore.open(out)
    return summary, {s.key: (s.subset, store[i]) for i, s in enumerate(store.sequences)}


def subsets(layout: str, root: Path, partition=None) -> dict[str, str]:
    return {raw.label: raw.subset for raw in list_dataset(layout, root, partition)}


def expected(images, size=64) -> np.ndarray:
    normal = [normalise(image, (size, size)) for image in images]
    return np.stack([image for image in normal if image is not None])


# Trees ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("size", [64, 128])
def test_casia_b(tmp_path, workers, size):
    content = tree(
        tmp_path / "casia",
        *(f"{i}/{kind}/{view}" for i in ("001", "074", "075", "124") for kind in ("bg-01", "nm-06")
          for view in ("000", "090")),
        names="xxx-{:03d}.png",
    )  # fmt: skip
    summary, found = imported("casia-b", tmp_path / "casia", workers=workers, size=(size, size))
    assert summary.sequences == 16 and not summary.faults
    for folder, images in content.items():
        subset, got = found[folder.replace("/", "-")]
        assert subset == ("train" if folder < "075" else "test")
        assert np.array_equal(got, expected(images, size))


def test_oumvlp_as_unpacked_and_as_rearranged(tmp_path):
    ids = ("00001", "00002", "10304", "10305", "10307")
    walks = [(i, seq, view) for i in ids for seq in ("00", "01") for view in ("000", "270")]
    raw = tree(tmp_path / "raw", *(f"Silhouette_{v}-{s}/{i}" for i, s, v in walks))
    for i, seq, view in walks:
        folder = tmp_path / "rearranged" / i / seq / view
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.symlink_to(tmp_path / "raw" / f"Silhouette_{view}-{seq}" / i)
    _, found = imported("oumvlp", tmp_path / "raw")
    assert list(found) == [f"{i}-{seq}-{view}" for i, seq, view in walks]
    for i, seq, view in walks:
        subset, got = found[f"{i}-{seq}-{view}"]
        assert subset == ("train" if i in ("00001", "10305") else "test")
        assert np.array_equal(got, expected(raw[f"Silhouette_{view}-{seq}/{i}"]))
    _, again = imported("oumvlp", tmp_path / "rearranged")
    assert all(np.array_equal(found[key][1], again[key][1]) for key in found)
    assert {key: value[0] for key, value in found.items()} == {k: v[0] for k, v in again.items()}


def partition_file(path: Path, train, test, **more) -> Path:
    path.write_text(json.dumps({"TRAIN_SET": train, "TEST_SET": test} | more))
    return path


def test_gait3d(tmp_path, caplog):
    folders = (
        "0000/camid0_videoid2/seq0",
        "0002/camid9_videoid2/seq0",
        "0002/camid3_videoid1/seq1",
    )
    content = tree(tmp_path / "Gait3D/2D_Silhouettes", *folders, names="human_crop_f{:05d}.png")
    probes = ["0002-camid9_videoid2-seq0", "0009-camid1_videoid1-seq0"]
    file = partition_file(tmp_path / "Gait3D.json", ["0000"], ["0002"], PROBE_SET=probes)
    root = tmp_path / "Gait3D/2D_Silhouettes"
    with pytest.raises(ConfigError, match=r"gait3d needs a partition.*Gait3D\.json"):
        imported("gait3d", root)
    with pytest.raises(DataError, match=r"not a tree of PNG.*did you mean .*2D_Silhouettes\?"):
        list_dataset("gait3d", tmp_path / "Gait3D", file)
    _, found = imported("gait3d", root, partition=file)
    assert probes[0] in found and [found[k][0] for k in sorted(found)] == ["train", "test", "test"]
    assert all(np.array_equal(found[f.replace("/", "-")][1], expected(content[f])) for f in folders)
    assert "1 sequences of PROBE_SET that the dataset lacks: 0009-camid1" in caplog.text


def test_grew_rearranged_is_the_raw_tree_under_other_folders(tmp_path):
    make_grew(tmp_path / "raw")
    for sequence in list_dataset("grew", tmp_path / "raw"):
        folder = tmp_path / "rearranged" / sequence.label / sequence.type / sequence.view
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.symlink_to(tmp_path / "raw" / sequence.folder)
    _, raw = imported("grew", tmp_path / "raw")
    _, rearranged = imported("grew", tmp_path / "rearranged")
    assert sorted(raw) == sorted(rearranged)
    for key, (subset, got) in raw.items():
        assert subset == rearranged[key][0] and np.array_equal(got, rearranged[key][1])
    # And so do the pickles made of it.
    for sequence in list_dataset("grew", tmp_path / "rearranged"):
        folder = tmp_path / "pickles" / sequence.folder
        folder.mkdir(parents=True)
        data = pickle.dumps(raw[sequence.key][1])
        (folder / f"{sequence.view}.pkl").write_bytes(data)
    _, pickled = imported("opengait-pkl", tmp_path / "pickles")
    assert {key: value[0] for key, value in pickled.items()} == {k: v[0] for k, v in raw.items()}


def test_test_set_of_grew_alone_and_energy_images(tmp_path):
    tree(tmp_path / "raw", "00001/01/a", "probe/03/b", shape=(64, 64))
    cv2.imwrite(str(tmp_path / "raw/probe/03/b/b_gei.png"), np.full((64, 64), 99, np.uint8))
    _, found = imported("grew", tmp_path / "raw")
    assert {key: value[0] for key, value in found.items()} == {
        "00001-01-a": "test",
        "probe-03-b": "test",
    }
    assert not any((got == 99).all() for _, got in found.values())


def test_frames_of_the_store_size_are_normalised_but_for_those_published_so(tmp_path):
    folders = ("001/nm-01/000", "075/nm-01/000")
    content = tree(tmp_path / "casia", *folders, shape=(64, 64))
    for images in content.values():  # half as tall as the frame, and away from its middle
        assert images[0][:16].sum() == 0
    _, found = imported("casia-b", tmp_path / "casia")
    for folder in folders:
        got = found[folder.replace("/", "-")][1]
        assert np.array_equal(got, expected(content[folder])) and got[:, 0].any()
    tree(tmp_path / "grew", "train/1/a", shape=(64, 64))
    _, found = imported("grew", tmp_path / "grew")
    assert not found["1train-00-a"][1][:, :16].any()


def test_wrong_trees(tmp_path):
    tree(tmp_path / "outer/casia", "001/nm-01/000")
    tree(tmp_path / "outer2/raw", "Silhouette_000-00/00001")
    make_pickles(tmp_path / "pickles")
    for layout, root, message in (
        ("casia-b", "outer", r"outer: not a tree of PNG files.*did you mean .*outer/casia\?"),
        ("casia-b", "pickles", r"pickles: not a tree of PNG files.*\*\.png"),
        ("oumvlp", "outer2", r"no Silhouette_<view>-<seq> folders in it; did you mean .*raw\?"),
        ("oumvlp", "pickles", r"not OU-MVLP"),
        ("opengait-pkl", "outer/casia", r"not a pickle tree"),
        ("grew", "outer/casia", r"not a GREW tree"),
    ):
        with pytest.raises(DataError, match=message):
            list_dataset(layout, tmp_path / root)
    (tmp_path / "outer/casia/002").mkdir()
    with pytest.raises(DataError, match="casia/002: an identity with zero sequences"):
        list_dataset("casia-b", tmp_path / "outer/casia")


def test_damage_is_named(tmp_path):
    tree(tmp_path / "casia", "001/nm-01/000", "001/nm-02/000", "075/nm-01/000")
    (tmp_path / "casia/001/nm-02/000/00001.png").write_bytes(b"\x89PNG")
    (tmp_path / "casia/075/nm-02/000").mkdir(parents=True)
    summary, found = imported("casia-b", tmp_path / "casia")
    assert summary.faults == [
        "001/nm-02/000: 00001.png cannot be decoded as an image",
        "075/nm-02/000: no PNG files in the folder",
    ]
    assert sorted(found) == ["001-nm-01-000", "075-nm-01-000"]


def test_a_frame_with_too_little_of_a_person_is_dropped(tmp_path):
    content = tree(tmp_path / "casia", "001/nm-01/000", "075/nm-01/000")
    image = content["001/nm-01/000"][0] * 0
    image[30, :39] = 255  # 9945
    cv2.imwrite(str(tmp_path / "casia/001/nm-01/000/99998.png"), image)
    image[31, 0] = 56  # 10001
    cv2.imwrite(str(tmp_path / "casia/001/nm-01/000/99999.png"), image)
    summary, found = imported("casia-b", tmp_path / "casia")
    assert summary.dropped == 1
    wanted = expected([*content["001/nm-01/000"], image])
    assert np.array_equal(found["001-nm-01-000"][1], wanted)


# Partitions -----------------------------------------------------------------------------------


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


def test_identities_that_a_partition_does_not_know_are_told(tmp_path, caplog):
    tree(tmp_path / "casia", *(f"{i}/nm-01/000" for i in ("004", "005", "090", "125")))
    assert subsets("casia-b", tmp_path / "casia") == {
        "004": "train",
        "005": "train",
        "090": "test",
    }
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert told == [
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
        ('{"TRAIN_SET": ["a"], "TEST_SET": ["b"]}', "names none of the identities, e.g. 001"),
        ('{"TRAIN_SET": ["a"]}', "not a partition file.*'TEST_SET'"),
        ('{"TRAIN_SET": "001", "TEST_SET": []}', "not a partition file.*a list is needed"),
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
    assert find_partition(str(partition_file(tmp_path / "p.json", [1], ["2"]))).train == {"1"}


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


# Folders of several pickles ---------------------------------------------------------------------


def several(root: Path) -> np.ndarray:
    """CASIA-B*'s four files in each folder, as OpenGait documents them; one's aligned frames."""
    rng = np.random.default_rng(3)
    for label in ("001", "002"):
        folder = root / label / "nm-01" / "000"
        folder.mkdir(parents=True)
        aligned = frames(rng, 4)[:, :, 10:54]
        contents = {
            "000-aligned-sils": aligned,
            "000-ratios": np.ones(4),
            "000-rgbs": np.zeros((4, 3, 8, 8), np.uint8),
            "000-sils": frames(rng, 4, 128),
        }
        for name, content in contents.items():
            (folder / f"{name}.pkl").write_bytes(pickle.dumps(np.ascontiguousarray(content)))
    return aligned


@pytest.mark.parametrize("chosen", [(True, False, False, False), (True,), (0,)])
def test_data_in_use_chooses_the_pickle(tmp_path, chosen):
    aligned = several(tmp_path / "raw")
    summary, found = imported("opengait-pkl", tmp_path / "raw", data_in_use=chosen)
    assert not summary.faults
    assert np.array_equal(found["002-nm-01-000"][1][:, :, 10:54], aligned)


def test_without_data_in_use_two_silhouette_files_are_a_fault(tmp_path):
    several(tmp_path / "raw")
    with pytest.raises(DataError, match="one pickle of silhouettes is needed, found: 000-aligned"):
        imported("opengait-pkl", tmp_path / "raw")
    with pytest.raises(DataError, match="no pickle number 4, found: 000-aligned"):
        imported("opengait-pkl", tmp_path / "raw", data_in_use=(4,))
    with pytest.raises(DataError, match="not silhouettes uint8"):
        imported("opengait-pkl", tmp_path / "raw", data_in_use=(False, True))


@pytest.mark.parametrize("chosen", [(True, True), (False,), (0, 1), (-1,)])
def test_data_in_use_that_does_not_choose_one(tmp_path, chosen):
    with pytest.raises(ConfigError, match="must choose one pickle"):
        imported("opengait-pkl", tmp_path / "raw", data_in_use=chosen)


def test_data_in_use_of_a_layout_without_pickles(tmp_path):
    with pytest.raises(ConfigError, match="layout casia-b has none"):
        imported("casia-b", tmp_path / "raw", data_in_use=(0,))
