"""OpenGait's pickle trees: what they hold arrives, what is hostile is never run."""

import os
import pickle
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from raw_trees import by_key, frames, import_pickles, imported, make_pickles

from nasgait.core.errors import ConfigError, DataError
from nasgait.data.layouts.opengait_pkl import modality_of
from nasgait.data.pickles import read_array
from nasgait.data.readers import Options
from nasgait.data.store import GaitStore


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle_tree(tmp_path, protocol):
    content = make_pickles(tmp_path / "raw", protocol=protocol)
    summary = import_pickles(tmp_path / "raw", tmp_path / "out", bits=1)
    assert (summary.sequences, summary.faults) == (8, [])
    found = by_key(tmp_path / "out")
    for folder, images in content.items():
        subset, got = found[folder.replace("/", "-")]
        assert subset == ("train" if folder < "003" else "test") and np.array_equal(got, images)


def test_subsets_of_a_pickle_tree(tmp_path):
    make_pickles(tmp_path / "raw", ids=("00001", "00001train", "probe", "distractor_9"))
    import_pickles(tmp_path / "raw", tmp_path / "out")
    subsets = {s.label: s.subset for s in GaitStore.open(tmp_path / "out").sequences}
    expected = {"00001": "test", "00001train": "train", "probe": "test"}
    assert subsets == expected | {"distractor_9": "distractor"}
    partition = tmp_path / "p.json"
    partition.write_text('{"TRAIN_SET": ["00001", "77"], "TEST_SET": ["probe"]}')
    import_pickles(tmp_path / "raw", tmp_path / "out2", partition=partition)
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
    assert import_pickles(root, tmp_path / "out").faults == []
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
    "tuples nested for ever as a key": b"(t" + b"2\x86" * 60 + b"}2NNs.",
    "key of nested tuples": b"}" + b")" + b"2\x86" * 60 + b"Ns.",
    "too many opcodes": b"N0" * 2**20 + b"N.",
    "impossible shape": pickle.dumps(np.ones((4, 4, 4), np.uint8), 2).replace(
        b"K\x04K\x04K\x04\x87", b"(" + b"K\x04" * 9 + b"t"
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
        "001/bg-01/090/090.pkl": pickle.dumps(np.zeros((3, 64), np.float32)),
        "002/nm-01/090/090.pkl": pickle.dumps(np.full((3, 64, 64), 256, np.int16)),
        "002/bg-01/090/090.pkl": pickle.dumps(np.zeros((0, 64, 64), np.uint8)),
        "003/nm-01/090/second.pkl": b"",
        "003/bg-01/090/090.pkl": pickle.dumps(np.zeros((3, 64, 64), np.uint8)),
    }
    for name, data in odd.items():
        (root / name).write_bytes(data)
    (root / "003/nm-01/090/090.pkl").rename(root / "003/nm-01/090/first.pkl")
    summary = import_pickles(root, tmp_path / "out")
    assert summary.sequences == 2
    for fault, expected in zip(
        summary.faults,
        [
            "001/bg-01/090: 090.pkl: float32 [3, 64], not silhouettes",
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
    with pytest.raises(
        DataError, match=r"no pickle number 4, the folders hold 4 pickles \(aligned-sils, "
    ):
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


@pytest.mark.parametrize("name, kind", [("sils", 0), ("Aligned-Sils", 1)])
def test_modality_chooses_by_name_where_files_are_missing(tmp_path, name, kind):
    aligned = several(tmp_path / "raw")
    (tmp_path / "raw/001/nm-01/000/000-ratios.pkl").unlink()
    (tmp_path / "raw/001/nm-01/000/._000-sils.pkl").write_bytes(b"Mac")
    summary, found = imported("opengait-pkl", tmp_path / "raw", options=Options(modality=name))
    assert not summary.faults and len(found) == 2
    assert np.array_equal(found["002-nm-01-000"][1][:, :, 10:54], aligned) == (kind == 1)
    (tmp_path / "raw/002/nm-01/000/000-sils.pkl").unlink()
    (tmp_path / "raw/002/nm-01/000/000-aligned-sils.pkl").unlink()
    summary, found = imported("opengait-pkl", tmp_path / "raw", options=Options(modality=name))
    assert list(found) == ["001-nm-01-000"]
    message = f"0 pickles of the modality '{name}', found: 000-ratios.pkl, 000-rgbs.pkl"
    assert summary.faults[0] == f"002/nm-01/000: {message}"


def test_positions_hold_only_where_the_folders_agree(tmp_path):
    several(tmp_path / "raw")
    for label in ("003", "004"):
        shutil.copytree(tmp_path / "raw/002", tmp_path / "raw" / label)
    (tmp_path / "raw/003/nm-01/000/000-ratios.pkl").unlink()
    (tmp_path / "raw/004/nm-01/000/000-ratios.pkl").rename(tmp_path / "raw/004/nm-01/000/0-a.pkl")
    flags = (False, False, False, True)
    summary, found = imported("opengait-pkl", tmp_path / "raw", data_in_use=flags)
    assert list(found) == ["001-nm-01-000", "002-nm-01-000"]
    assert summary.faults[:2] == [
        "003/nm-01/000: holds aligned-sils, rgbs, sils, other folders aligned-sils, ratios, rgbs, "
        "sils, so a position does not tell the silhouettes; choose by name: --modality sils",
        "004/nm-01/000: holds a, aligned-sils, rgbs, sils, other folders aligned-sils, ratios, "
        "rgbs, sils, so a position does not tell the silhouettes; choose by name: --modality sils",
    ]
    with pytest.raises(DataError, match="5 flags, the folders hold 4 pickles"):
        imported("opengait-pkl", tmp_path / "raw", data_in_use=(*flags, False))
    for label in ("003", "004"):
        shutil.rmtree(tmp_path / "raw" / label)
    (tmp_path / "raw/001/nm-01/000/000-ratios.pkl").unlink()
    with pytest.raises(DataError, match=r"as many hold .* as others .*: choose by name"):
        imported("opengait-pkl", tmp_path / "raw", data_in_use=flags)
    with pytest.raises(ConfigError, match="data_in_use and modality both choose"):
        imported("opengait-pkl", tmp_path / "raw", data_in_use=(0,), options=Options(modality="x"))


def test_capital_endings_hidden_files_and_another_modality_alone(tmp_path):
    make_pickles(tmp_path / "raw")
    places = [tmp_path / "raw/001" / kind / "090" for kind in ("nm-01", "bg-01")]
    places[0].joinpath("090.pkl").rename(places[0] / "090.PKL")
    places[0].joinpath("._090.pkl").write_bytes(b"Mac")
    places[1].joinpath("090.pkl").rename(places[1] / "090-pose.pkl")
    summary, found = imported("opengait-pkl", tmp_path / "raw")
    assert len(found) == 7 and "001-nm-01-090" in found
    assert summary.faults == [
        "001/bg-01/090: one pickle of silhouettes is needed, found: 090-pose.pkl; choose by name: "
        "--modality pose"
    ]
    assert summary.notes[0].startswith("beside frames: hidden and system files were not read")


@pytest.mark.parametrize(
    "name, view, expected",
    [
        ("000-sils.pkl", "000", "sils"),
        ("05-000-Camera-Sils_aligned.pkl", "000", "Camera-Sils_aligned"),
        ("seq0.pkl", "seq0", ""),
        ("camid0_videoid2-0-par.pkl", "camid0_videoid2", "par"),
        ("090.PKL", "090", ""),
        ("sils.pkl", "s", "sils"),
    ],
)
def test_modality_of_a_name(name, view, expected):
    assert modality_of(name, view) == expected
