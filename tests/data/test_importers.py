"""Raw datasets into a store: every sequence arrives, damage costs one, a kill costs little."""

import itertools
import json
import os
import pickle
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from raw_trees import frames, make_grew, make_pickles, write_pngs

from nasgait.data.importers import import_dataset
from nasgait.data.pickles import read_array
from nasgait.data.store import GaitStore
from nasgait.errors import ConfigError, DataError, RunFailed


def grew(root, out, **options):
    return import_dataset("grew", root, out, **({"workers": 1, "progress": False} | options))


def pickles(root, out, **options):
    return import_dataset("opengait-pkl", root, out, workers=1, progress=False, **options)


def by_key(path):
    store = GaitStore.open(path)
    return {s.key: (s.subset, store[i]) for i, s in enumerate(store.sequences)}


@pytest.mark.parametrize("workers", [1, 2])
def test_grew_tree(tmp_path, workers):
    content = make_grew(tmp_path / "raw", distractors=2)
    summary = grew(tmp_path / "raw", tmp_path / "out", workers=workers)
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
    grew(tmp_path / "raw", tmp_path / "out")
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
    summary = grew(root, tmp_path / "out")
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
    summary = grew(tmp_path / "raw", tmp_path / "out")
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
        summary = grew(raw, out, workers=workers)
        assert summary.faults == [
            "train/00000/s0: 00003.png cannot be decoded as an image",
            "train/00001/s1: 00001.png cannot be decoded as an image",
            "train/00001/s2: 00001.png cannot be decoded as an image",
            "train/00002/s0: 00001.png cannot be decoded as an image",
            "train/00002/s1: 00001.png cannot be decoded as an image",
            "train/00002/s2: 00001.png cannot be decoded as an image",
            "test/probe/p1: none of its 8 frames shows anything",
            "identity 00002train: none of its sequences could be imported",
        ]
        assert summary.sequences == len(content) - 7
        assert GaitStore.open(out).verify() == []
    # Asked again, a complete store still knows what it lacks.
    again = grew(raw, tmp_path / "out1")
    assert again.already_complete and again.faults == summary.faults


def test_nothing_readable_is_an_error(tmp_path):
    write_pngs(tmp_path / "raw/train/1/a", [])
    with pytest.raises(DataError, match=r"no sequence can be read.*no PNG files"):
        grew(tmp_path / "raw", tmp_path / "out")


def test_wrong_roots(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        grew(tmp_path / "absent", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="the folder is empty"):
        grew(tmp_path / "empty", tmp_path / "out")
    make_grew(tmp_path / "outer" / "grew_raw")
    with pytest.raises(DataError, match=r"not a GREW tree.*did you mean .*grew_raw"):
        grew(tmp_path / "outer", tmp_path / "out")
    with pytest.raises(DataError, match="not a pickle tree"):
        pickles(tmp_path / "outer", tmp_path / "out")
    with pytest.raises(ConfigError, match="unknown layout 'casia'; known are grew"):
        import_dataset("casia", tmp_path / "outer", tmp_path / "out")
    with pytest.raises(ConfigError, match="0 workers"):
        grew(tmp_path / "outer" / "grew_raw", tmp_path / "out", workers=0)
    assert not (tmp_path / "out").exists()
    (tmp_path / "outer/grew_raw/train/00009").mkdir()
    with pytest.raises(DataError, match="00009: an identity with zero sequences"):
        grew(tmp_path / "outer" / "grew_raw", tmp_path / "out")
    (tmp_path / "outer/grew_raw/train/00009").rmdir()
    for name in ("g8", "g9"):
        (tmp_path / "outer/grew_raw/test/gallery/00001" / name).mkdir()
    with pytest.raises(DataError, match="4 sequences, a gallery identity"):
        grew(tmp_path / "outer" / "grew_raw", tmp_path / "out")


def test_a_complete_store_is_left_alone_and_another_source_refused(tmp_path):
    make_grew(tmp_path / "a")
    make_grew(tmp_path / "b")
    first = grew(tmp_path / "a", tmp_path / "out")
    before = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "out").iterdir()}
    second = grew(tmp_path / "a", tmp_path / "out")
    assert second.already_complete and not first.already_complete and second.frames == first.frames
    assert {p.name: p.stat().st_mtime_ns for p in (tmp_path / "out").iterdir()} == before
    with pytest.raises(DataError, match=r"complete store made from grew .*a; name another"):
        grew(tmp_path / "b", tmp_path / "out")
    with pytest.raises(DataError, match="at 8 bits"):
        grew(tmp_path / "a", tmp_path / "out", bits=1)
    write_pngs(tmp_path / "a/train/00000/new", frames(np.random.default_rng(0), 2))
    with pytest.raises(DataError, match="held other sequences"):
        grew(tmp_path / "a", tmp_path / "out")
    meta = json.loads((tmp_path / "out/meta.json").read_text())
    del meta["source"]
    (tmp_path / "out/meta.json").write_text(json.dumps(meta))
    with pytest.raises(DataError, match="made from something else"):
        grew(tmp_path / "a", tmp_path / "out")


SCRIPT = """
import os, sys, time
from nasgait.cli.main import guard
from nasgait.data import importers, readers, writer

writer.COMMIT_SECONDS = 0

def odd(root, size, raw):
    with open("log", "a") as file:
        file.write(f"{os.getpid()} {raw.folder}\\n")
    ACTION
    return readers.read_png_folder(root, size, raw)

def run():
    importers.READERS["grew"] = odd
    importers.import_dataset("grew", "raw", "out", workers=2, progress=False)

if __name__ == "__main__":
    sys.exit(guard(run))
"""
"""A program that imports with workers which do something odd."""


def test_killed_and_run_again_gives_the_same_store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    raw, out = Path("raw"), Path("out")
    content = make_grew(raw, train=12)
    (raw / "train/00000/s1/00001.png").write_text("damaged")
    Path("slow.py").write_text(SCRIPT.replace("ACTION", "time.sleep(0.05)"))
    process = subprocess.Popen([sys.executable, "slow.py"])
    wait_for(lambda: (out / "index.csv").exists() and len(rows(out)) > 6)
    process.send_signal(signal.SIGKILL)
    process.wait()
    written = len(rows(out))
    assert not (out / "meta.json").exists() and 6 < written < len(content) - 1
    log = Path("log").read_text().splitlines()
    wait_for(lambda: not any(alive(line.split()[0]) for line in log))
    summary = grew(raw, out, workers=2)
    assert summary.resumed in (written, written - 1)  # the last row may have been torn
    assert summary.faults == ["train/00000/s1: 00001.png cannot be decoded as an image"]
    undisturbed = Path("undisturbed")
    grew(raw, undisturbed)
    for file in undisturbed.iterdir():
        assert file.read_bytes() == (out / file.name).read_bytes(), file.name


def rows(out):
    return (out / "index.csv").read_text().splitlines()[1:]


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_dead_worker_fails_the_run_with_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_grew(Path("raw"))
    Path("dies.py").write_text(SCRIPT.replace("ACTION", "os._exit(9)"))
    result = subprocess.run([sys.executable, "dies.py"], capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.startswith("failed: import into out stopped: A process in the process")
    assert result.stderr.count("\n") == 1
    assert grew("raw", "out").faults == []


def test_a_full_disk_fails_the_run_and_can_be_continued(tmp_path, monkeypatch):
    make_grew(tmp_path / "raw")

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("nasgait.data.writer.StoreWriter.add", full)
        with pytest.raises(RunFailed, match="No space left on device; the same command goes on"):
            grew(tmp_path / "raw", tmp_path / "out")
    assert grew(tmp_path / "raw", tmp_path / "out").sequences


def test_names_that_cannot_be_written(tmp_path):
    make_grew(tmp_path / "raw")
    (tmp_path / "raw/train/00000/s0").rename(tmp_path / "raw/train/00000/line\nbreak")
    os.rename(tmp_path / "raw/train/00000/s1", os.fsencode(tmp_path / "raw/train/00000") + b"/\xff")
    summary = grew(tmp_path / "raw", tmp_path / "out")
    assert len(summary.faults) == 2 and all("one line" in fault for fault in summary.faults)
    assert GaitStore.open(tmp_path / "out").meta["import"]["faults"] == summary.faults


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle_tree(tmp_path, protocol):
    content = make_pickles(tmp_path / "raw", protocol=protocol)
    summary = pickles(tmp_path / "raw", tmp_path / "out", bits=1)
    assert (summary.sequences, summary.faults) == (8, [])
    found = by_key(tmp_path / "out")
    for folder, images in content.items():
        subset, got = found[folder.replace("/", "-")]
        assert subset == ("train" if folder < "003" else "test") and np.array_equal(got, images)


def test_subsets_of_a_pickle_tree(tmp_path):
    make_pickles(tmp_path / "raw", ids=("00001", "00001train", "probe", "distractor_9"))
    pickles(tmp_path / "raw", tmp_path / "out")
    subsets = {s.label: s.subset for s in GaitStore.open(tmp_path / "out").sequences}
    expected = {"00001": "test", "00001train": "train", "probe": "test"}
    assert subsets == expected | {"distractor_9": "distractor"}
    partition = tmp_path / "p.json"
    partition.write_text('{"TRAIN_SET": ["00001", "77"], "TEST_SET": ["probe"]}')
    pickles(tmp_path / "raw", tmp_path / "out2", partition=partition)
    subsets = {s.label: s.subset for s in GaitStore.open(tmp_path / "out2").sequences}
    assert subsets == {"00001": "train", "probe": "test"}


def test_pickles_of_other_sizes(tmp_path):
    root = tmp_path / "raw"
    content = make_pickles(root)
    full = content["001/nm-01/090"]
    cut = np.ascontiguousarray(full[:, :, 10:54])
    large = np.stack([cv2.resize(image, (128, 128)) for image in full])
    (root / "001/nm-01/090/090.pkl").write_bytes(pickle.dumps(cut))
    (root / "001/bg-01/090/090.pkl").write_bytes(pickle.dumps(large))
    (root / "002/nm-01/090/090.pkl").write_bytes(pickle.dumps(list(full)))
    (root / "002/bg-01/090/090.pkl").write_bytes(pickle.dumps(full > 0))
    (root / "003/nm-01/090/2-sil.pkl").write_bytes(pickle.dumps(full))
    (root / "003/nm-01/090/090.pkl").rename(root / "003/nm-01/090/0-pose.pkl")
    assert pickles(root, tmp_path / "out").faults == []
    found = by_key(tmp_path / "out")
    assert np.array_equal(found["001-nm-01-090"][1][:, :, 10:54], cut)
    assert found["001-bg-01-090"][1].shape == (5, 64, 64)
    for key in ("002-nm-01-090", "002-bg-01-090", "003-nm-01-090"):
        assert np.array_equal(found[key][1], full)


class Runs:
    """What a hostile pickle does: calls a function of its choice."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


HOSTILE = {
    "os.system": pickle.dumps(Runs(os.system, "touch HACKED")),
    "eval in a list": pickle.dumps([np.zeros((1, 2, 2), np.uint8), Runs(eval, "1/0")]),
    "numpy function": pickle.dumps(Runs(np.load, "file.npy")),
    "numpy subclass": pickle.dumps(np.zeros((1, 2, 2), np.uint8).view(np.recarray)),
    "object array": pickle.dumps(np.array([None, "x"], dtype=object)),
    "structured array": pickle.dumps(np.zeros(3, dtype=[("a", "u1")])),
    "text": pickle.dumps("frames"),
    "dictionary": pickle.dumps({"frames": np.zeros((1, 2, 2), np.uint8)}),
    "empty list": pickle.dumps([]),
    "unequal frames": pickle.dumps([np.zeros((2, 2), np.uint8), np.zeros((3, 3), np.uint8)]),
    "truncated": pickle.dumps(np.ones((4, 64, 64), np.uint8))[:-100],
    "not a pickle": b"\x89PNG",
    "empty file": b"",
    "huge memo": b"\x80\x02]r\xff\xff\xff\x7f.",
    "huge bytearray": b"\x80\x05\x96" + (2**40).to_bytes(8, "little") + b".",
    "bytes of another codec": b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x05\x00\x00\x00rot13tR.",
    "dtype alone": pickle.dumps(np.dtype("u1")),
    "wrong length": pickle.dumps(np.ones((4, 4, 4), np.uint8), 4).replace(
        b"K\x04K\x04K\x04", b"K\x04K\x04K\x05"
    ),
    "persistent id": b"\x80\x02X\x01\x00\x00\x00aQ.",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles_are_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.pkl").write_bytes(HOSTILE[name])
    with pytest.raises(DataError, match=r"^x\.pkl: ") as error:
        read_array(tmp_path / "x.pkl")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "HACKED").exists()


def test_hostile_and_odd_pickles_cost_their_sequence(tmp_path):
    root = tmp_path / "raw"
    make_pickles(root)
    odd = {
        "001/nm-01/090/090.pkl": HOSTILE["os.system"],
        "001/bg-01/090/090.pkl": pickle.dumps(np.zeros((3, 64, 64), np.float32)),
        "002/nm-01/090/090.pkl": pickle.dumps(np.full((3, 64, 64), 256, np.int16)),
        "002/bg-01/090/090.pkl": pickle.dumps(np.zeros((0, 64, 64), np.uint8)),
        "003/nm-01/090/second.pkl": b"",
        "003/bg-01/090/090.pkl": pickle.dumps(np.zeros((3, 64, 64), np.uint8)),
    }
    for name, data in odd.items():
        (root / name).write_bytes(data)
    (root / "003/nm-01/090/090.pkl").rename(root / "003/nm-01/090/first.pkl")
    summary = pickles(root, tmp_path / "out")
    assert summary.sequences == 2
    for fault, expected in zip(
        summary.faults,
        [
            "001/bg-01/090: 090.pkl: float32 [3, 64, 64], not silhouettes",
            "001/nm-01/090: 090.pkl: not a pickle that can be read (it names",
            "002/bg-01/090: no frames in the pickle",
            "002/nm-01/090: 090.pkl: pixels outside 0..255",
            "003/bg-01/090: none of its 3 frames shows anything",
            "003/nm-01/090: one pickle of silhouettes is needed, found: first.pkl, second.pkl",
            "identity 001",
            "identity 002",
            "identity 003",
        ],
        strict=True,
    ):
        assert fault.startswith(expected)


def test_arrays_read_as_pickle_reads_them(tmp_path):
    rng = np.random.default_rng(2)
    for dtype in ("u1", "i2", ">u2", "f4", "?"):
        for order in ("C", "F"):
            array = np.asarray((rng.random((3, 4, 5)) * 200).astype(dtype), order=order)
            for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
                data = pickle.dumps(array, protocol)
                written = [data]
                if protocol < 4:  # names without lengths: as NumPy 1 and 2 write them
                    written.append(data.replace(b"cnumpy._core.", b"cnumpy.core."))
                    written.append(data.replace(b"cnumpy.core.", b"cnumpy._core."))
                for variant in written:
                    (tmp_path / "x").write_bytes(variant)
                    got = read_array(tmp_path / "x")
                    assert np.array_equal(got, array) and got.dtype == array.dtype
