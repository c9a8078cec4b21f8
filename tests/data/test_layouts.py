"""Published trees: who is found where, and under which names."""

import pickle

import cv2
import numpy as np
import pytest
from raw_trees import imported, make_grew, make_pickles, partition_file, tree

from nasgait.core.errors import ConfigError, DataError
from nasgait.data.layouts import list_dataset, survey
from nasgait.data.normalise import normalise


def expected(images, size=64) -> np.ndarray:
    normal = [normalise(image, (size, size)) for image in images]
    return np.stack([image for image in normal if image is not None])


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
    with pytest.raises(DataError, match=r"not a tree of images.*did you mean .*2D_Silhouettes\?"):
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
        ("casia-b", "outer", r"outer: not a tree of images.*did you mean .*outer/casia\?"),
        ("casia-b", "pickles", r"pickles: not a tree of images.*\*\.png"),
        ("oumvlp", "outer2", r"no Silhouette_<view>-<seq> folders in it; did you mean .*raw\?"),
        ("oumvlp", "pickles", r"not OU-MVLP"),
        ("opengait-pkl", "outer/casia", r"not a pickle tree"),
        ("grew", "outer/casia", r"not a GREW tree.*holds 001/.*png: try --layout casia-b"),
        ("opengait-pkl", "outer/casia", r"holds 001/.*png: try --layout casia-b"),
        ("casia-b", "pickles", r"holds 001/.*pkl: try --layout opengait-pkl"),
    ):
        with pytest.raises(DataError, match=message):
            list_dataset(layout, tmp_path / root)
    (tmp_path / "outer/casia/002").mkdir()
    assert survey("casia-b", tmp_path / "outer/casia").faults == [
        "002: an identity with zero sequences"
    ]


def test_damage_is_named(tmp_path):
    tree(tmp_path / "casia", "001/nm-01/000", "001/nm-02/000", "075/nm-01/000")
    (tmp_path / "casia/001/nm-02/000/00001.png").write_bytes(b"\x89PNG")
    (tmp_path / "casia/075/nm-02/000").mkdir(parents=True)
    summary, found = imported("casia-b", tmp_path / "casia")
    assert summary.faults == [
        "001/nm-02/000: 00001.png cannot be decoded as an image",
        "075/nm-02/000: no images in the folder",
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
