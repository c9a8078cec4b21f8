"""One bad file or folder costs its own sequence; whatever is not read is named."""

import json
import os
import pickle
import shutil
import struct
import zlib

import cv2
import numpy as np
import pytest
from raw_trees import frames, import_grew, imported, make_grew, make_pickles, partition_file, tree

from nasgait.core.errors import DataError
from nasgait.data import entries
from nasgait.data.importers import import_dataset
from nasgait.data.layouts import survey
from nasgait.data.readers import Options
from nasgait.data.store import GaitStore

FOLDERS = ("001/nm-01/000", "001/nm-02/000", "075/nm-01/000", "075/nm-02/000")


@pytest.fixture
def casia(tmp_path):
    tree(tmp_path / "casia", *FOLDERS)
    return tmp_path / "casia"


def test_links_and_devices(casia):
    folder = casia / "001/nm-02/000"
    (folder / "00000.png").unlink()
    (folder / "00000.png").symlink_to("/dev/zero")
    os.mkfifo(casia / "075/nm-02/000/pipe.png")
    (casia / "001/nm-03").mkdir()
    (casia / "001/nm-03/000").symlink_to("gone")
    (casia / "001/nm-03/loop").symlink_to("loop")
    (casia / "077").symlink_to("nowhere")
    os.mkfifo(casia / "075/fifo")
    tree(casia, "076/nm-01/000", "076/nm-02/000")
    for name, target in (("nm-01", "../gone.png"), ("nm-02", "00000.png")):
        (casia / f"076/{name}/000/x.png").symlink_to(target)
    summary, found = imported("casia-b", casia)
    assert sorted(found) == ["001-nm-01-000", "075-nm-01-000", "076-nm-02-000"]
    assert summary.faults == [
        "077: is a link to nowhere, which is not there",
        "001/nm-03/000: is a link to gone, which is not there",
        "001/nm-03/loop: cannot be read (Too many levels of symbolic links)",
        "001/nm-03: a folder without sequences",
        "075/fifo: is a pipe or socket",
        "001/nm-02/000: 00000.png is a device, not a file",
        "075/nm-02/000: pipe.png is a pipe or socket, not a file",
        "076/nm-01/000: x.png is a link to ../gone.png, which is not there",
    ]


def test_stray_folders_and_files(casia):
    (casia / "docs").mkdir()
    (casia / "075/empty/").mkdir()
    (casia / "075/nm-01/000/extra").mkdir()
    (casia / "075/nm-01/photo.jpg").write_bytes(b"x")
    (casia / "001.zip").write_bytes(b"PK")
    (casia / "075/nm-01/000/a.mp4").write_bytes(b"x")
    (casia / "readme.txt").write_text("x")
    (casia / ".git").mkdir()
    for name in ("Thumbs.db", ".DS_Store", "._00001.png", "notes.txt"):
        (casia / "075/nm-01/000" / name).write_text("x")
    shutil.move(casia / "001/nm-02/000", casia / "001/nm-02/000x")
    (casia / "001/nm-02/000").mkdir()
    shutil.move(casia / "001/nm-02/000x", casia / "001/nm-02/000/deep")
    everyone = partition_file(casia.parent / "p.json", ["001"], ["075", "docs"])
    summary, found = imported("casia-b", casia, partition=everyone)
    assert len(found) == 3
    images = "an image where this layout has none; frames lie in the folder of their sequence"
    assert summary.faults == [
        "001.zip: an archive that is not unpacked; unpack it first",
        "075/empty: a folder without sequences",
        f"075/nm-01/photo.jpg: {images}",
        "docs: an identity with zero sequences",
        "001/nm-02/000: no images in the folder; it holds folders, e.g. deep, one level too deep",
        "075/nm-01/000/a.mp4: no file that is read; frames are .png, .jpg, .jpeg, .bmp, .tif, "
        ".tiff, .webp",
        "075/nm-01/000/extra: a folder where files are expected",
    ]
    assert summary.notes == [
        "between the folders: hidden and system files, text files were not read",
        "beside frames: hidden and system files, text files were not read: 1 sequence, "
        "e.g. 075/nm-01/000",
    ]


def test_unreadable_folders(casia, monkeypatch):
    """As root, who reads everything, a test cannot take the permission away."""
    locked = {str(casia / "001/nm-02"), str(casia / "075/nm-01/000"), str(casia / "099")}
    (casia / "099").mkdir()
    scandir = os.scandir

    def refuse(path):
        if str(path) in locked:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(entries.os, "scandir", refuse)
    everyone = partition_file(casia.parent / "p.json", ["001"], ["075"])
    summary, found = imported("casia-b", casia, partition=everyone)
    assert sorted(found) == ["001-nm-01-000", "075-nm-02-000"]
    assert summary.faults == [  # not those of 099, who neither trains nor tests
        "001/nm-02: cannot be read (Permission denied)",
        "001/nm-02: a folder without sequences",
        "075/nm-01/000: cannot be read (Permission denied)",
    ]


def test_what_the_partition_leaves_out_costs_nothing(casia):
    tree(casia, "099/nm-01/000")
    (casia / "099/nm-01/000/00000.png").write_text("damaged")
    (casia / "099/nm-01/\n").mkdir()
    (casia / "099/empty").mkdir()
    summary, found = imported(
        "casia-b", casia, partition=partition_file(casia.parent / "p.json", ["001"], ["075"])
    )
    assert len(found) == 4 and summary.faults == []


def bombs() -> dict[str, bytes]:
    frame = np.ones((64, 64, 64), np.uint8) * 255
    same = pickle.dumps([frame] * 20_000)
    # Each call of _codecs.encode makes the same 16 MB anew.
    text = "\x01" * 2**24
    head = b"\x80\x02c_codecs\nencode\nq\x00X" + struct.pack("<I", len(text)) + text.encode()
    again = b"q\x01X\x06\x00\x00\x00latin1q\x02\x86R0(" + b"h\x00h\x01h\x02\x86R" * 500 + b"l."
    return {"same array 20,000 times": same, "same bytes 500 times": head + again}


@pytest.mark.parametrize("name", bombs())
def test_a_pickle_that_wants_more_than_it_is_given(tmp_path, name):
    make_pickles(tmp_path / "raw")
    (tmp_path / "raw/001/nm-01/090/090.pkl").write_bytes(bombs()[name])
    summary, found = imported("opengait-pkl", tmp_path / "raw")
    assert len(found) == 7 and "134217728" in summary.faults[0]


def test_a_pickle_of_93_gib(tmp_path):
    make_pickles(tmp_path / "raw")
    with open(tmp_path / "raw/001/nm-01/090/090.pkl", "wb") as file:
        file.truncate(93 * 2**30)  # a hole: takes no space on the disk
    summary, found = imported("opengait-pkl", tmp_path / "raw")
    assert len(found) == 7
    assert summary.faults == [
        "001/nm-01/090: 090.pkl: has 99857989632 bytes; files of at most 134217728 are read, so "
        "split or shrink it"
    ]


def huge_png(side: int) -> bytes:
    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def claims(suffix: str, side: int) -> bytes:
    """A small image whose header claims to be of this size."""
    data = bytearray(cv2.imencode(suffix, np.full((64, 64), 255, np.uint8))[1].tobytes())
    if suffix == ".jpg":
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = struct.pack(">HH", side, side)
    elif suffix == ".bmp":
        data[18:26] = struct.pack("<ii", side, side)
    elif suffix == ".webp":
        data[21:25] = struct.pack("<I", (side - 1) | (side - 1) << 14)
        data[12:16] = b"VP8L"
    else:
        at = int.from_bytes(data[4:8], "little")
        for entry in range(at + 2, at + 2 + 12 * int.from_bytes(data[at : at + 2], "little"), 12):
            if int.from_bytes(data[entry : entry + 2], "little") in (256, 257):
                data[entry + 2 : entry + 12] = struct.pack("<HII", 4, 1, side)
    return bytes(data)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp", ".tiff"])
def test_an_image_that_claims_to_be_huge(casia, suffix):
    side = 16_000
    data = huge_png(side) if suffix == ".png" else claims(suffix, side)
    (casia / f"001/nm-02/000/99999{suffix}").write_bytes(data)
    summary, found = imported("casia-b", casia)
    assert len(found) == 3
    assert summary.faults == [
        f"001/nm-02/000: 99999{suffix} has 16000 x 16000 pixels, more than the limit of 16777216; "
        "scale the pictures down"
    ]


def test_skip_frames(casia):
    folder = casia / "001/nm-02/000"
    kept = len(list(folder.iterdir()))
    (folder / "90000.png").write_text("no image")
    (folder / "90001.png").symlink_to("/dev/zero")
    assert len(imported("casia-b", casia)[1]) == 3
    summary, found = imported("casia-b", casia, options=Options(skip_frames=True))
    assert len(found) == 4 and len(found["001-nm-02-000"][1]) == kept
    assert summary.faults == [
        "001/nm-02/000/frame 90000.png cannot be decoded as an image",
        "001/nm-02/000/frame 90001.png is a device, not a file",
    ]
    for file in (casia / "075/nm-01/000").iterdir():
        file.write_text("x")
    summary, _ = imported("casia-b", casia, options=Options(skip_frames=True))
    assert "none of its 2 frames can be read; frame 00000.png cannot" in summary.faults[-1]


def test_names(casia):
    tree(casia, "001/nm/01-x", "001/nm-01/x", "075/a/=cmd", "075/a/-30", "075/a/-x", "075/@b/c")
    tree(casia, "075/a/\x1b[31mred", "075/a\n/b", "075/a/\u202egpj")
    summary, found = imported("casia-b", casia)
    assert sorted(found) == sorted([*(f.replace("/", "-") for f in FOLDERS), "075-a--30"])
    assert all(fault.isprintable() for fault in summary.faults)
    told = "\n".join(summary.faults)
    assert (
        "001/nm/01-x: its id, type and view make the key 001-nm-01-x, as those of 001/nm-01/x do"
        in told
    )
    for name in (r"\x1b[31mred: its view", r"a\n/b: its type", r"\u202egpj: its view"):
        assert name + " cannot be written as one line of text" in told
    for name in ("=cmd", "-x", "@b"):
        assert f"{name!r} would be a formula in a table" in told
    assert len(summary.faults) == 7
    assert GaitStore.open(_store_beside(casia)).meta["import"]["faults"] == summary.faults


def _store_beside(root):
    return next(root.parent.glob("store-*"))


def test_the_same_names_at_the_start_also_when_resumed(casia):
    tree(casia, "001/nm/01-000")
    found = survey("casia-b", casia)
    assert [raw.folder for raw in found.sequences] == list(FOLDERS[1:])
    assert "001/nm/01-000" in found.faults[0] and "001/nm-01/000" in found.faults[0]


@pytest.mark.parametrize(
    "place, hint",
    [
        (".", r"lie 4 folders down.*did you mean --root .*/casia\?"),
        ("casia/001", r"lie 2 folders down.*did you mean --root .*/casia\?"),
        ("casia/001/nm-01", r"lie 1 folders down.*did you mean --root .*/casia\?"),
        ("casia/001/nm-01/000", r"lie 0 folders down.*did you mean --root .*/casia\?"),
    ],
)
def test_a_root_that_is_too_high_or_too_low(casia, place, hint):
    with pytest.raises(DataError, match=hint):
        survey("casia-b", casia.parent / place)


def test_archives_that_are_not_unpacked(tmp_path):
    for name in ("001.tar.gz", "002.zip"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(DataError, match=r"holds 2 archives, e\.g\. 001\.tar\.gz: unpack them"):
        survey("casia-b", tmp_path)
    with pytest.raises(DataError, match=r"GREW tree.*holds 2 archives"):
        survey("grew", tmp_path)
    with pytest.raises(DataError, match=r"zip: is a file; --root takes .* folder, unpacked"):
        survey("casia-b", tmp_path / "002.zip")


def test_a_resumed_import_forgets_nothing_that_was_said(tmp_path, monkeypatch):
    raw = tmp_path / "raw"
    make_grew(raw)
    for place in ("train/00000/s0", "train/00002/s2"):
        (raw / place / "movie.avi").write_bytes(b"x")
        for file in (raw / place).glob("*.png"):
            cv2.imwrite(str(file), cv2.imread(str(file), 0) // 255)
    whole = import_grew(raw, tmp_path / "whole")
    assert len(whole.faults) == 2 and "2 sequences, e.g. train/00000/s0" in whole.notes[0]
    add, stored = entries.look, []

    def dies(folder, *args, **options):
        stored.append(folder)
        if folder.endswith("train/00001/s1"):
            raise KeyboardInterrupt
        return add(folder, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr("nasgait.data.readers.look", dies)
        with pytest.raises(KeyboardInterrupt):
            import_grew(raw, tmp_path / "out")
    (tmp_path / "out/remarks.jsonl").open("a").write('{"key": "torn')
    again = import_grew(raw, tmp_path / "out")
    assert again.resumed == 4 and (again.faults, again.notes) == (whole.faults, whole.notes)
    files = {file.name for file in (tmp_path / "out").iterdir()}
    assert files == {"meta.json", "index.csv", "frames.crc32", "shard-00000.bin"}
    assert (tmp_path / "out/meta.json").read_bytes() == (tmp_path / "whole/meta.json").read_bytes()
    complete = import_grew(raw, tmp_path / "out")
    assert complete.already_complete and complete.notes == whole.notes


def test_size_has_a_limit(casia):
    with pytest.raises(DataError.__base__, match="size 100000: frames have 1024 rows at most"):
        import_dataset("casia-b", casia, casia.parent / "out", size=(100_000, 100_000))


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"], ids=["", "bom", "wide", "nobom"]
)
def test_partition_files_as_editors_save_them(casia, encoding):
    file = casia.parent / "p.json"
    text = json.dumps({"TRAIN_SET": ["001"], "TEST_SET": ["075"]})
    file.write_bytes(text.encode(encoding))
    if encoding == "utf-16-le":
        with pytest.raises(DataError, match="not a partition file"):
            survey("casia-b", casia, file)
    else:
        assert len(survey("casia-b", casia, file).sequences) == 4


@pytest.mark.parametrize("text", ["[" * 100_000, '{"TRAIN_SET": ["a\\n"], "TEST_SET": ["a\\n"]}'])
def test_partition_files_of_odd_content(casia, text):
    file = casia.parent / "p.json"
    file.write_text(text)
    with pytest.raises(
        DataError, match=r"nested too deeply|identity a\\n is in TRAIN_SET"
    ) as error:
        survey("casia-b", casia, file)
    assert str(error.value).isprintable()


def test_frames_are_drawn_once(tmp_path):
    """The reader of one frame twice, in two formats, does not decide by itself."""
    image = frames(np.random.default_rng(0), 1)[0]
    for label in ("1", "2"):
        folder = tmp_path / "raw/train" / label / "a"
        folder.mkdir(parents=True)
        cv2.imwrite(str(folder / "1.png"), image)
        cv2.imwrite(str(folder / "10.JPG"), image)
    assert len(imported("grew", tmp_path / "raw")[1]["1train-00-a"][1]) == 2
    cv2.imwrite(str(tmp_path / "raw/train/1/a/01.jpg"), image)
    cv2.imwrite(str(tmp_path / "raw/train/1/a/01.png"), image)
    summary, found = imported("grew", tmp_path / "raw")
    assert list(found) == ["2train-00-a"]
    assert "are the same frame twice: choose by --modality jpg or --modality png" in (
        summary.faults[0].replace("png or --modality jpg", "jpg or --modality png")
    )
    _, found = imported("grew", tmp_path / "raw", options=Options(modality="png"))
    assert len(found["1train-00-a"][1]) == 2
