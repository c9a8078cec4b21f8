"""Raw datasets into a store: every sequence arrives, damage costs one."""

import itertools
import json
import os
import tarfile

import cv2
import numpy as np
import pytest
from PIL import Image
from raw_trees import (
    by_key,
    frames,
    import_grew,
    import_pickles,
    make_grew,
    write_pngs,
)

from nasgait.core.errors import ConfigError, DataError
from nasgait.data.importers import import_dataset
from nasgait.data.meta import seal
from nasgait.data.store import GaitStore, check_store


@pytest.mark.parametrize("workers", [1, 2])
def test_grew_tree(tmp_path, workers):
    content = make_grew(tmp_path / "raw", distractors=2)
    summary = import_grew(tmp_path / "raw", tmp_path / "out", workers=workers)
    assert (summary.sequences, summary.faults, summary.dropped) == (len(content), [], 0)
    found = by_key(tmp_path / "out")
    expected = {
        "00001train-00-s2": ("train", "train/00001/s2"),
        "00001-01-g0": ("test", "test/gallery/00001/g0"),
        "00001-02-g1": ("test", "test/gallery/00001/g1"),
        "probe-03-p2": ("test", "test/probe/p2"),
        "distractor_d1-04-d1": ("distractor", "distractor/d1"),
    }
    for key, (subset, folder) in expected.items():
        assert found[key][0] == subset and np.array_equal(found[key][1], content[folder])
    assert sum(len(images) for images in content.values()) == summary.frames


def test_a_part_of_grew_and_nested_distractors(tmp_path):
    write_pngs(tmp_path / "raw/test/probe/x", frames(np.random.default_rng(0), 2))
    write_pngs(tmp_path / "raw/distractor/7/a", frames(np.random.default_rng(0), 2))
    write_pngs(tmp_path / "raw/distractor/7/b", frames(np.random.default_rng(0), 2))
    import_grew(tmp_path / "raw", tmp_path / "out")
    assert list(by_key(tmp_path / "out")) == [
        "probe-03-x",
        "distractor_7-04-a",
        "distractor_7-04-b",
    ]


def test_walk_grew(shared, tmp_path):
    """The first sequences of the real-input sample arrive as another decoder reads them."""
    with tarfile.open(shared / "data" / "walk-grew.tar.gz", "r|gz") as archive:
        for member in itertools.islice(archive, 500):
            archive.extract(member, tmp_path, filter="data")
    root = tmp_path / "grew_raw"
    summary = import_grew(root, tmp_path / "out")
    assert summary.sequences > 5 and not summary.faults
    store = GaitStore.open(tmp_path / "out")
    for i, sequence in enumerate(store.sequences):
        files = sorted((root / "test/probe" / sequence.view).glob("*.png"))
        assert np.array_equal(store[i], np.stack([np.asarray(Image.open(f)) for f in files]))


def test_frames_of_other_kinds(tmp_path):
    """Colour, palette-like, other sizes, names without zeros, black frames, other files."""
    image = frames(np.random.default_rng(1), 12)
    folder = tmp_path / "raw/train/1/a"
    write_pngs(folder, [])
    for number in range(12):
        cv2.imwrite(str(folder / f"{number}.png"), image[number])
    cv2.imwrite(str(folder / "2.png"), cv2.cvtColor(image[2], cv2.COLOR_GRAY2BGR))
    alpha = cv2.cvtColor(image[3], cv2.COLOR_GRAY2BGRA)
    cv2.imwrite(str(folder / "3.png"), alpha)
    cv2.imwrite(str(folder / "4.png"), image[4], [cv2.IMWRITE_PNG_BILEVEL, 1])
    cv2.imwrite(str(folder / "12.png"), np.zeros((64, 64), np.uint8))
    cv2.imwrite(str(folder / "13.png"), np.zeros((100, 80), np.uint8))
    large = np.zeros((300, 400), np.uint8)
    large[50:250, 100:180] = 255
    cv2.imwrite(str(folder / "14.png"), large)
    (folder / "00001_2d_pose.txt").write_text("1,2,3")
    (folder / "._1.png").write_text("resource fork")
    summary = import_grew(tmp_path / "raw", tmp_path / "out")
    assert summary.dropped == 2 and not summary.faults
    got = GaitStore.open(tmp_path / "out")[0]
    assert np.array_equal(got[:12], image)
    # 200 x 80 pixels scaled to 64 x 25.6, centred.
    assert got[12].all(axis=1).sum() == 0 and (got[12] == 255).sum() == pytest.approx(64 * 26, 0.1)
    assert abs(np.flatnonzero(got[12].any(axis=0)).mean() - 32) < 2


def test_damage_costs_the_sequence_and_is_named(tmp_path):
    content = make_grew(tmp_path / "raw")
    raw = tmp_path / "raw"
    data = (raw / "train/00000/s0/00003.png").read_bytes()
    (raw / "train/00000/s0/00003.png").write_bytes(data[: len(data) // 2])
    (raw / "train/00001/s1/00001.png").write_bytes(b"")
    bomb = data[:16] + b"\x7f\xff\xff\xff\x7f\xff\xff\xff" + data[24:]
    (raw / "train/00001/s2/00001.png").write_bytes(bomb)
    for file in (raw / "train/00002/s0").iterdir():
        file.unlink()
    for file in (raw / "test/probe/p1").iterdir():
        cv2.imwrite(str(file), np.zeros((64, 64), np.uint8))
    for k in range(3):
        (raw / f"train/00002/s{k}/00001.png").write_text("not an image")
    for workers in (1, 2):
        out = tmp_path / f"out{workers}"
        summary = import_grew(raw, out, workers=workers)
        assert summary.faults == [
            "train/00000/s0: 00003.png cannot be decoded as an image",
            "train/00001/s1: 00001.png is empty",
            "train/00001/s2: 00001.png has 2147483647 x 2147483647 pixels, more than the limit of "
            "16777216; scale the pictures down",
            "train/00002/s0: 00001.png cannot be decoded as an image",
            "train/00002/s1: 00001.png cannot be decoded as an image",
            "train/00002/s2: 00001.png cannot be decoded as an image",
            "test/probe/p1: none of its 8 frames shows anything",
            "identity 00002train: none of its sequences could be imported",
        ]
        assert summary.sequences == len(content) - 7
        assert check_store(out) == []
    # Asked again, a complete store still knows what it lacks.
    again = import_grew(raw, tmp_path / "out1")
    assert again.already_complete and again.faults == summary.faults


def test_nothing_readable_is_an_error(tmp_path):
    write_pngs(tmp_path / "raw/train/1/a", [])
    with pytest.raises(DataError, match=r"no sequence can be read.*no images"):
        import_grew(tmp_path / "raw", tmp_path / "out")


def test_wrong_roots(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        import_grew(tmp_path / "absent", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="the folder is empty"):
        import_grew(tmp_path / "empty", tmp_path / "out")
    make_grew(tmp_path / "outer" / "grew_raw")
    with pytest.raises(DataError, match=r"not a GREW tree.*did you mean .*grew_raw"):
        import_grew(tmp_path / "outer", tmp_path / "out")
    with pytest.raises(DataError, match="not a pickle tree"):
        import_pickles(tmp_path / "outer", tmp_path / "out")
    with pytest.raises(
        ConfigError, match=r"layout 'casia': did you mean 'casia-b'\? known are grew"
    ):
        import_dataset("casia", tmp_path / "outer", tmp_path / "out")
    with pytest.raises(ConfigError, match="0 workers"):
        import_grew(tmp_path / "outer" / "grew_raw", tmp_path / "out", workers=0)
    assert not (tmp_path / "out").exists()
    (tmp_path / "outer/grew_raw/train/00009").mkdir()
    for name in ("g8", "g9"):
        (tmp_path / "outer/grew_raw/test/gallery/00001" / name).mkdir()
    faults = import_grew(tmp_path / "outer" / "grew_raw", tmp_path / "out").faults
    assert faults[0] == "train/00009: an identity with zero sequences"
    assert faults[1].startswith("test/gallery/00001: 4 sequences, a gallery identity")
    assert len(faults) == 2


def test_a_complete_store_is_left_alone_and_another_source_refused(tmp_path):
    make_grew(tmp_path / "a")
    make_grew(tmp_path / "b")
    first = import_grew(tmp_path / "a", tmp_path / "out")
    before = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "out").iterdir()}
    second = import_grew(tmp_path / "a", tmp_path / "out")
    assert second.already_complete and not first.already_complete and second.frames == first.frames
    assert {p.name: p.stat().st_mtime_ns for p in (tmp_path / "out").iterdir()} == before
    with pytest.raises(DataError, match=r"complete store made from grew .*a; name another"):
        import_grew(tmp_path / "b", tmp_path / "out")
    with pytest.raises(DataError, match="at 8 bits"):
        import_grew(tmp_path / "a", tmp_path / "out", bits=1)
    write_pngs(tmp_path / "a/train/00000/new", frames(np.random.default_rng(0), 2))
    with pytest.raises(DataError, match="held other sequences"):
        import_grew(tmp_path / "a", tmp_path / "out")
    meta = json.loads((tmp_path / "out/meta.json").read_text())
    del meta["source"]
    meta["sha256"] = seal(meta)
    (tmp_path / "out/meta.json").write_text(json.dumps(meta))
    with pytest.raises(DataError, match="made from something else"):
        import_grew(tmp_path / "a", tmp_path / "out")


def test_names_that_cannot_be_written(tmp_path):
    make_grew(tmp_path / "raw")
    (tmp_path / "raw/train/00000/s0").rename(tmp_path / "raw/train/00000/line\nbreak")
    os.rename(tmp_path / "raw/train/00000/s1", os.fsencode(tmp_path / "raw/train/00000") + b"/\xff")
    summary = import_grew(tmp_path / "raw", tmp_path / "out")
    assert len(summary.faults) == 2 and all("one line" in fault for fault in summary.faults)
    assert GaitStore.open(tmp_path / "out").meta["import"]["faults"] == summary.faults
