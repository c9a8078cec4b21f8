"""Damage in a store: named at the read, left out where the user says so, never silent."""

import json
import logging
import pickle
import zlib

import numpy as np
import pytest

from nasgait.config.schema import AugmentConfig, BatchConfig, DataConfig
from nasgait.core.errors import DataError
from nasgait.data import checksums
from nasgait.data.checksums import are_whole, checksums_of
from nasgait.data.loader import TrainLoader
from nasgait.data.meta import meta_faults, read_meta, seal
from nasgait.data.sheet import contact_sheet
from nasgait.data.split import split
from nasgait.data.store import GaitStore, StoreWriter, check_store, open_store

RNG = np.random.default_rng(5)
PEOPLE, SEQUENCES = 6, 3


def made(path, bits=8, shard_bytes=2**30):
    with StoreWriter(path, (16, 16), bits, shard_bytes=shard_bytes) as writer:
        for person in range(PEOPLE):
            subset = "train" if person < 4 else "test"
            for walk in range(SEQUENCES):
                frames = RNG.integers(0, 256, (3 + walk, 16, 16), np.uint8)
                writer.add(f"p{person}", f"{walk:02d}", "0", subset, frames)
    return path


def flip(path, at, bit=3):
    """Change one bit of a file."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.write_bytes(data)


def as_format_1(path):
    """The same store as an older version wrote it."""
    meta = json.loads((path / "meta.json").read_text())
    for entry in ("checksums", "sha256"):
        del meta[entry]
    del meta["index"]["bytes"]
    (path / "meta.json").write_text(json.dumps(meta | {"format": "nasgait-store/1"}))
    (path / "frames.crc32").unlink()
    return path


@pytest.mark.parametrize("frame_bytes", [1, 2, 33, 512])
@pytest.mark.parametrize("crc", [checksums.crc32, zlib.crc32])
def test_every_changed_bit_of_a_run_is_seen(frame_bytes, crc, monkeypatch):
    monkeypatch.setattr(checksums, "crc32", crc)
    clips = [RNG.integers(0, 256, (n, frame_bytes), np.uint8) for n in (1, 32, 0, 33, 70, 5)]
    expected = np.concatenate([checksums_of(clip) for clip in clips])
    rows = [row.tobytes() for clip in clips for row in clip]
    assert expected.tolist() == [zlib.crc32(row) for row in rows]
    assert are_whole(iter(clips), expected) and are_whole([], expected[:0])
    for frame in range(len(expected)):
        wrong = expected.copy()
        wrong[frame] ^= 1 << frame % 32
        assert not are_whole(clips, wrong)
    for clip in clips:
        for row in clip[:3]:
            row[-1] ^= 4
            assert not are_whole(clips, expected)
            row[-1] ^= 4


@pytest.mark.parametrize("bits", [1, 8])
def test_the_file_holds_a_crc_for_each_frame_in_the_order_of_the_shards(tmp_path, bits):
    path = made(tmp_path / "s", bits, shard_bytes=3000 if bits == 8 else 400)
    shards = sorted(path.glob("shard-*"))
    size = 256 * bits // 8
    data = b"".join(shard.read_bytes() for shard in shards)
    wanted = [zlib.crc32(data[start : start + size]) for start in range(0, len(data), size)]
    assert np.fromfile(path / "frames.crc32", "<u4").tolist() == wanted and len(shards) > 3
    store = GaitStore.open(path)
    for i in range(len(store)):
        store.read(i)
        store.read(i, np.array([2, 0, 0, 1]))


@pytest.mark.parametrize("bits", [1, 8])
def test_each_flipped_byte_of_each_file_is_noticed(tmp_path, bits):
    path = made(tmp_path / "s", bits, shard_bytes=3000)
    unharmed = {file: file.read_bytes() for file in path.iterdir()}
    for file, data in unharmed.items():
        for at in RNG.choice(len(data), 12, replace=False).tolist():
            flip(file, at, int(RNG.integers(8)))
            with pytest.raises(DataError) as error:
                store = GaitStore.open(path)
                for i in range(len(store)):
                    store.read(i)
            assert str(error.value).count("\n") == 0 and str(path) in str(error.value)
            try:
                assert check_store(path)
            except DataError as error:
                assert "meta.json" in str(error)
            file.write_bytes(data)
    assert check_store(path) == []


def test_a_damaged_sequence_is_named_with_its_cure(tmp_path):
    path = made(tmp_path / "s")
    flip(path / "shard-00000.bin", 256 * 3 + 7)  # the first frame of the second sequence
    store = GaitStore.open(path)
    store.read(0)
    with pytest.raises(DataError) as error:
        store.read_into([np.empty((2, 16, 16), np.uint8)] * 2, [0, 1], [np.arange(2)] * 2)
    for words in (
        str(path),
        "sequence p0-01-0: 1 of its 4 frames in shard-00000.bin are damaged or missing, the first "
        "is number 0",
        f"'nasgait data check {path}'",
        "data.on_damage=skip",
        "--on-damage skip",
    ):
        assert words in str(error.value)
    store.read(1, np.array([1, 2, 3]))  # whole frames of it
    faults = check_store(path)
    assert [fault.split(":")[0] for fault in faults] == ["shard-00000.bin", "sequence p0-01-0"]


def test_readers_see_damage_and_padding_does_not_hide_it(tmp_path):
    path = made(tmp_path / "s")
    flip(path / "shard-00000.bin", 5)
    store = GaitStore.open(path)
    batch = BatchConfig(ids=4, seqs=3, frames=8)
    loader = TrainLoader(store, range(12), batch, AugmentConfig(), (16, 16), seed=0)
    with pytest.raises(DataError, match="sequence p0-00-0"):
        list(loader.stream(0, 2))
    with pytest.raises(DataError, match="sequence p0-00-0"):
        contact_sheet(store, tmp_path / "x.png")


@pytest.mark.parametrize("change", [-4, 4, -3])
def test_checksums_of_the_wrong_length(tmp_path, change):
    path = made(tmp_path / "s")
    file = path / "frames.crc32"
    data = file.read_bytes()
    file.write_bytes(data[:change] if change < 0 else data + bytes(change))
    expected = f"frames.crc32: {len(data) + change} bytes, meta.json records {len(data)}"
    assert expected in check_store(path)
    for on_damage in ("error", "skip"):
        with pytest.raises(DataError, match=expected):
            GaitStore.open(path, on_damage)
    file.unlink()
    assert "frames.crc32: missing" in check_store(path)


def test_damaged_checksums_are_not_taken_for_damaged_frames(tmp_path):
    path = made(tmp_path / "s")
    flip(path / "frames.crc32", 4 * 5)
    fault = r"frames\.crc32: its sha256 is not the one recorded"
    store = GaitStore.open(path)
    with pytest.raises(DataError, match=fault):
        store.read(1)
    with pytest.raises(DataError, match=fault):
        GaitStore.open(path, "skip")
    assert [f.split(":")[0] for f in check_store(path)] == ["frames.crc32"]


def test_a_shard_cut_short_after_opening(tmp_path):
    path = made(tmp_path / "s")
    store = GaitStore.open(path)
    shard = path / "shard-00000.bin"
    with shard.open("r+b") as file:
        file.truncate(shard.stat().st_size - 300)
    last = len(store) - 1
    store.read(0)
    with pytest.raises(DataError, match=f"sequence {store.sequences[last].key}: 2 of its 5"):
        store.read(last)


def test_skip_leaves_out_before_anything_is_drawn(tmp_path, caplog):
    path = made(tmp_path / "s", shard_bytes=3000)
    whole = GaitStore.open(path)
    before = split(whole, 1, 0)
    harmed = {0: "p0-00-0", 4: "p1-01-0", 12: "p4-00-0"}
    for i in harmed:
        row = whole.sequences[i]
        flip(path / f"shard-{row.shard:05d}.bin", (row.offset + 1) * 256)
    caplog.set_level(logging.WARNING)
    store = open_store(DataConfig(str(path), on_damage="skip"))
    assert store.left_out == list(harmed.values())
    assert all(f"left out: sequence {key}: 1 of its" in caplog.text for key in harmed.values())
    caplog.clear()
    again = pickle.loads(pickle.dumps(store))
    assert again.left_out == store.left_out and not caplog.text, "it is not read once more"
    parts = split(store, 1, 0)
    for name in ("train", "search_val", "test"):
        kept = [i for i in getattr(before, name) if i not in harmed]
        assert getattr(parts, name) == kept
    batch = BatchConfig(ids=4, seqs=3, frames=4)
    loaders = [
        TrainLoader(store, parts.everyone, batch, AugmentConfig(), (16, 16), 0, rank, 2)
        for rank in (0, 1)
    ]
    one = TrainLoader(store, parts.everyone, batch, AugmentConfig(), (16, 16), 0)
    for step in range(5):
        ranks = [loader.batch(step).silhouettes.numpy() for loader in loaders]
        assert np.array_equal(np.concatenate(ranks), one.batch(step).silhouettes.numpy())
    contact_sheet(store, tmp_path / "x.png")
    with pytest.raises(DataError, match="p1-01-0"):
        store.read(4)


def test_skip_of_a_whole_identity_keeps_the_draw(tmp_path):
    path = made(tmp_path / "s")
    before = split(GaitStore.open(path), 1, 0)
    gone = GaitStore.open(path).sequences[before.search_val[0]].label
    for row in GaitStore.open(path).sequences:
        if row.label == gone:
            flip(path / "shard-00000.bin", row.offset * 256)
    parts = split(GaitStore.open(path, "skip"), 1, 0)
    assert parts.search_val == [] and parts.train == before.train


def test_skip_leaves_out_what_a_lost_shard_held(tmp_path):
    path = made(tmp_path / "s", shard_bytes=3000)
    store = GaitStore.open(path)
    (path / "shard-00001.bin").unlink()
    with pytest.raises(DataError, match=r"shard-00001\.bin: missing"):
        GaitStore.open(path)
    lost = [row.key for row in store.sequences if row.shard == 1]
    store = GaitStore.open(path, "skip")
    assert store.left_out == pickle.loads(pickle.dumps(store)).left_out == lost and lost


def test_format_1_opens_as_before(tmp_path, caplog):
    path = as_format_1(made(tmp_path / "s"))
    store = GaitStore.open(path)
    assert not store.checked and len(store) == 18 and check_store(path) == []
    before = store.read(0)
    flip(path / "shard-00000.bin", 0)
    assert not np.array_equal(GaitStore.open(path).read(0), before)  # nothing says so
    assert [f.split(":")[0] for f in check_store(path)] == ["shard-00000.bin"]
    caplog.set_level(logging.WARNING)
    assert GaitStore.open(path, "skip").left_out == []
    assert "cannot know what has changed" in caplog.text


HOSTILE = {
    "shards.0.file": [
        "../x.bin",
        "/etc/passwd",
        "a/b",
        "..",
        "",
        7,
        None,
        "shard-00001.bin",
        "x\0y",
    ],
    "shards.0.bytes": [-1, 10**30, 1.5, "5", None, True, [], 2**53],
    "shards.0.sha256": ["", "xyz", 5, "A" * 64],
    "shards": [{}, None, "x", [[]], [None], 3],
    "index.file": ["../index.csv", "/dev/zero"],
    "index.sha256": [None, 1],
    "index": [None, [], "index.csv"],
    "checksums.file": ["shard-00000.bin", "../frames.crc32"],
    "checksums": [None, {}],
    "size": [[-1, 64], [64], [10**9, 10**9], [0, 0], "64", [16.0, 16], [True, 16], None, [[], {}]],
    "bits": [0, 2, 8.0, "8", True, float("nan"), -8],
    "counts.sequences": [-1, float("nan"), float("inf"), 10**400, "18", None, 1],
    "counts.frames": [-72, 71, float("nan"), {}],
    "counts": [None, [], 5],
    "format": [None, [], {}, 2, "nasgait-store/2 "],
    "source": [5, [], "x"],
    "import": [5, {"faults": 5}, {"faults": [], "notes": 5}],
    "appended": [5, {}, [5], [{}], [{"sequences": 1, "import": 5}]],
}


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("key", HOSTILE)
def test_hostile_values_cost_one_line_that_names_them(tmp_path, key, version):
    path = made(tmp_path / "s")
    if version == 1:
        if key.startswith("checksums"):
            return
        as_format_1(path)
    text = (path / "meta.json").read_text()
    for value in HOSTILE[key]:
        meta = place = json.loads(text)
        *words, last = [int(word) if word.isdecimal() else word for word in key.split(".")]
        for word in words:
            place = place[word]
        place[last] = value
        (path / "meta.json").write_text(json.dumps(meta | {"sha256": seal(meta)}))
        with pytest.raises(DataError) as error:
            GaitStore.open(path)
        message = str(error.value)
        assert "meta.json" in message or "index.csv" in message
        assert message.count("\n") == 0 and len(message) < 900


@pytest.mark.parametrize(
    "content",
    [b"[" * 100_000, b'{"format":' * 50_000, b"9" * 10_000, b"\xff", b"null", b'"x"', b"{}"],
)
def test_a_meta_json_that_is_none(tmp_path, content):
    path = made(tmp_path / "s")
    (path / "meta.json").write_bytes(content)
    for use in (GaitStore.open, check_store):
        with pytest.raises(DataError, match=r"meta\.json: not the meta\.json of a store"):
            use(path)
    (path / "meta.json").unlink()
    (path / "writing.json").write_bytes(content)
    with pytest.raises(DataError, match=r"writing\.json: damaged|another format"):
        StoreWriter(path, (16, 16))


@pytest.mark.parametrize("name", ["shard-00000.bin", "index.csv", "frames.crc32"])
def test_a_link_that_leads_out_is_not_followed(tmp_path, name):
    path = made(tmp_path / "s")
    outside = tmp_path / name
    (path / name).rename(outside)
    (path / name).symlink_to(outside)
    with pytest.raises(DataError, match=f"{name}: a link that leads out of the store"):
        GaitStore.open(path)
    assert any("leads out" in fault for fault in check_store(path))
    (tmp_path / "link").symlink_to(made(tmp_path / "t"))  # the whole store may be elsewhere
    assert check_store(tmp_path / "link") == []


def test_a_changed_meta_json_is_a_fault(tmp_path):
    path = made(tmp_path / "s")
    meta = json.loads((path / "meta.json").read_text())
    (path / "meta.json").write_text(json.dumps(meta | {"source": {"layout": "grew"}}))
    assert list(meta_faults(read_meta(path))) == check_store(path)
    with pytest.raises(DataError, match="does not match its own sha256"):
        GaitStore.open(path)
