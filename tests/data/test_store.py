"""The store: what is written is read, damage is named, an unfinished one is continued."""

import json
import multiprocessing
import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nasgait.core.errors import DataError
from nasgait.data.geometry import Geometry
from nasgait.data.store import GaitStore, StoreWriter, check_store

RNG = np.random.default_rng(3)
FRAMES = [(RNG.random((n, 64, 64)) > 0.5).astype(np.uint8) * 255 for n in (3, 1, 7, 4, 2)]
NAMES = [
    ("1", "nm-01", "000", "train"),
    ("1", "nm-02", "000", "train"),
    ('a "quoted", id', "nm-01", "000", "train"),
    ("ü", "nm-01", "000", "test"),
    ("ü", "nm-01", "018", "test"),
]


def write(path, part=slice(None), **options):
    with StoreWriter(path, **options) as writer:
        for names, frames in list(zip(NAMES, FRAMES, strict=True))[part]:
            writer.add(*names, frames)
    return path


def same_files(a, b):
    names = sorted(p.name for p in a.iterdir())
    assert names == sorted(p.name for p in b.iterdir())
    return [name for name in names if (a / name).read_bytes() != (b / name).read_bytes()] == []


@pytest.mark.parametrize("bits", [1, 8])
@pytest.mark.parametrize("shard_bytes", [2**30, 5000])
def test_reads_what_was_written(tmp_path, bits, shard_bytes):
    path = write(tmp_path / "s", bits=bits, shard_bytes=shard_bytes, meta_extra={"origin": "x"})
    store = GaitStore.open(path)
    assert len(store) == 5 and store.size == (64, 64) and store.meta["origin"] == "x"
    assert [(s.label, s.type, s.view, s.subset) for s in store.sequences] == NAMES
    assert store.sequences[4].key == "ü-nm-01-018"
    for i, frames in enumerate(FRAMES):
        got = store[i]
        assert got.dtype == np.uint8 and np.array_equal(got, frames)
        got[:] = 1  # a copy: the store does not change
        assert np.array_equal(store[i], frames)
    chosen = np.array([6, 0, 0, 3])
    assert np.array_equal(store.read(2, chosen), FRAMES[2][chosen])
    with pytest.raises(IndexError):
        store.read(0, np.array([3]))
    assert store.meta["counts"]["frames"] == 17
    assert store.meta["format"] == "nasgait-store/2"
    assert check_store(store.path) == []


def test_grey_levels_are_kept_and_one_bit_halves_at_128(tmp_path):
    grey = np.arange(64 * 64, dtype=np.uint16).astype(np.uint8).reshape(1, 64, 64)
    for bits, expected in ((8, grey), (1, np.where(grey >= 128, 255, 0))):
        with StoreWriter(tmp_path / str(bits), bits=bits) as writer:
            writer.add("a", "b", "c", "train", grey)
        assert np.array_equal(GaitStore.open(tmp_path / str(bits))[0], expected)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32))
def test_packing_is_reversible_for_any_size(length, height, width, seed):
    rng = np.random.default_rng(seed)
    frames = (rng.random((length, height, width)) > 0.5).astype(np.uint8) * 255
    for bits in (1, 8):
        geometry = Geometry(height, width, bits)
        packed = geometry.pack(frames)
        assert packed.shape == (length, geometry.frame_bytes)
        assert np.array_equal(geometry.unpack(packed), frames)


def test_frames_can_be_sliced_rows_of_a_larger_array(tmp_path):
    wide = RNG.integers(0, 255, (4, 64, 128), dtype=np.uint8)
    with StoreWriter(tmp_path / "s") as writer:
        writer.add("a", "b", "c", "train", wide[:, :, ::2])
    assert np.array_equal(GaitStore.open(tmp_path / "s")[0], wide[:, :, ::2])


def _total(store, queue):
    queue.put(int(store[2].sum()))


def test_a_store_goes_to_other_processes_without_its_frames(tmp_path):
    store = GaitStore.open(write(tmp_path / "s"))
    _ = store[0]
    data = pickle.dumps(store)
    assert len(data) < 500 and np.array_equal(pickle.loads(data)[2], FRAMES[2])
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_total, args=(store, queue))
    child.start()
    assert queue.get(timeout=30) == int(FRAMES[2].sum())
    child.join()


@pytest.mark.parametrize(
    ("names", "frames", "message"),
    [
        (("a", "b", "c", "train"), np.zeros((0, 64, 64), np.uint8), "no frames"),
        (("a", "b", "c", "train"), np.zeros((1, 64, 44), np.uint8), "[1, 64, 44]"),
        (("a", "b", "c", "train"), np.zeros((1, 64, 64), np.float32), "float32"),
        (("a", "b", "c", "valid"), FRAMES[0], "'valid' is none of train"),
        (("a\nb", "b", "c", "train"), FRAMES[0], "one line"),
        (("", "b", "c", "train"), FRAMES[0], "one line"),
        (NAMES[0], FRAMES[0], "already has"),
    ],
)
def test_refuses_wrong_sequences(tmp_path, names, frames, message):
    with StoreWriter(tmp_path / "s") as writer:
        writer.add(*NAMES[0], FRAMES[0])
        with pytest.raises(DataError) as error:
            writer.add(*names, frames)
        assert message in str(error.value)
    assert len(GaitStore.open(tmp_path / "s")) == 1


@pytest.mark.parametrize("shard_bytes", [2**30, 5000])
@pytest.mark.parametrize("stop", range(6))
def test_a_partial_store_is_resumed(tmp_path, stop, shard_bytes):
    whole = write(tmp_path / "whole", shard_bytes=shard_bytes)
    half = tmp_path / "half"
    with pytest.raises(KeyboardInterrupt), StoreWriter(half, shard_bytes=shard_bytes) as writer:
        for names, frames in list(zip(NAMES, FRAMES, strict=True))[:stop]:
            writer.add(*names, frames)
        raise KeyboardInterrupt
    # What a crash may leave: frames without their row, and half a row.
    with open(sorted(half.glob("shard-*"))[-1], "ab") as file:
        file.write(b"frames without a row")
    (half / "shard-00099.bin").write_bytes(b"x")
    with open(half / "index.csv", "a") as file:
        file.write("1,nm-0")
    with pytest.raises(DataError, match="partial store"):
        GaitStore.open(half)
    with StoreWriter(half, shard_bytes=shard_bytes) as writer:
        assert len(writer.done) == stop
        for names, frames in zip(NAMES, FRAMES, strict=True):
            if "-".join(names[:3]) not in writer.done:
                writer.add(*names, frames)
    assert same_files(whole, half)


def test_what_may_not_be_written_over(tmp_path):
    complete = write(tmp_path / "complete")
    with pytest.raises(DataError, match="complete store"):
        StoreWriter(complete)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("x")
    with pytest.raises(DataError, match="not empty and not a store"):
        StoreWriter(tmp_path / "other")
    half = tmp_path / "half"
    writer = StoreWriter(half, meta_extra={"seed": 1})
    writer.add(*NAMES[0], FRAMES[0])
    writer.commit()
    writer.abandon()
    with pytest.raises(DataError, match="another seed"):
        StoreWriter(half, meta_extra={"seed": 2})
    with pytest.raises(DataError, match="another bits"):
        StoreWriter(half, bits=1, meta_extra={"seed": 1})
    (half / "writing.json").write_text("{")
    with pytest.raises(DataError, match="damaged"):
        StoreWriter(half)


def test_a_continued_store_that_lost_frames_is_refused(tmp_path):
    half = tmp_path / "half"
    writer = StoreWriter(half)
    writer.add(*NAMES[0], FRAMES[0])
    writer.commit()
    writer.abandon()
    (half / "shard-00000.bin").write_bytes(b"")
    with pytest.raises(DataError, match="frames are missing"):
        StoreWriter(half)
    (half / "index.csv").write_text("something else\n")
    with pytest.raises(DataError, match=r"index\.csv: damaged"):
        StoreWriter(half)


def _write_and_wait(path, started, stop):
    writer = StoreWriter(path)
    started.set()
    stop.wait()
    writer.abandon()


def test_only_one_process_writes(tmp_path):
    context = multiprocessing.get_context("fork")
    started, stop = context.Event(), context.Event()
    child = context.Process(target=_write_and_wait, args=(tmp_path / "s", started, stop))
    child.start()
    assert started.wait(30)
    with pytest.raises(DataError, match="another process"):
        StoreWriter(tmp_path / "s")
    stop.set()
    child.join()
    StoreWriter(tmp_path / "s").abandon()


def test_a_store_without_sequences_is_not_finished(tmp_path):
    with pytest.raises(DataError, match="no sequence"), StoreWriter(tmp_path / "s"):
        pass


def edit_meta(path, **entries):
    meta = json.loads((path / "meta.json").read_text())
    (path / "meta.json").write_text(json.dumps(meta | entries))


def test_open_names_what_is_wrong(tmp_path):
    with pytest.raises(DataError, match="no such store"):
        GaitStore.open(tmp_path / "absent")
    with pytest.raises(DataError, match=r"no meta\.json"):
        GaitStore.open(tmp_path)
    path = write(tmp_path / "s")
    edit_meta(path, format="nasgait-store/3")
    for use in (GaitStore.open, check_store):
        with pytest.raises(DataError, match=r"'nasgait-store/3'.*reads 'nasgait-store/1' and"):
            use(path)
    for broken in ("", "[]", '{"format": "nasgait-store/1"}', '{"format": 1'):
        (path / "meta.json").write_text(broken)
        with pytest.raises(DataError, match=r"meta\.json"):
            GaitStore.open(path)


def test_open_refuses_damage_and_check_lists_all_of_it(tmp_path):
    path = write(tmp_path / "s", shard_bytes=5000)
    shards = sorted(path.glob("shard-*"))
    shards[0].unlink()
    shards[1].write_bytes(shards[1].read_bytes()[:-1])
    shards[2].write_bytes(bytes(shards[2].stat().st_size))
    rows = (path / "index.csv").read_text().splitlines()
    rows += [
        "2,nm-01,000,0,0,0,train",
        "3,nm-01,000,0,9,9,train",
        "4,nm-01,000,77,0,1,train",
        "5,nm-01,000,0,0,1,held-out",
        "6,nm-01,000,0,zero,1,train",
        "7,nm-01,000",
        "1,nm-01,000,0,0,1,train",
        "ü,nm-03,000,0,0,1,train",
    ]
    (path / "index.csv").write_text("\n".join(rows) + "\n")
    faults = check_store(path)
    for expected in (
        "shard-00000.bin: missing",
        "shard-00001.bin: 4095 bytes, meta.json records 4096",
        "shard-00002.bin: its sha256",
        "index.csv:7: sequence 2-nm-01-000: 0 frames",
        "index.csv:8: sequence 3-nm-01-000: frames 9 to 18 of a shard of 3",
        "index.csv:9: sequence 4-nm-01-000: shard 77 of 5",
        "index.csv:10: subset 'held-out' is none of",
        "index.csv:11: invalid literal",
        "index.csv:12: 3 columns, not 7",
        "index.csv:13: sequence 1-nm-01-000: the same id, type and view as an earlier row",
        "index.csv: its sha256",
        "identity ü: in test and train",
    ):
        assert any(fault.startswith(expected) for fault in faults), (expected, faults)
    named = [fault.split(":")[0] for fault in faults if "damaged or missing" in fault]
    assert named == [
        f"sequence {'-'.join(names[:3])}" for names in [*NAMES[:3], ("ü", "nm-03", "000")]
    ]
    assert len(faults) == 12 + len(named)
    with pytest.raises(DataError, match=r"shard-00000\.bin: missing \(and 9 more"):
        GaitStore.open(path)


def test_bits_changed_by_hand_are_a_fault(tmp_path):
    write(tmp_path / "store")
    meta = tmp_path / "store" / "meta.json"
    assert '"bits": 8' in meta.read_text()
    meta.write_text(meta.read_text().replace('"bits": 8', '"bits": 1'))
    assert any("bits were changed" in fault for fault in check_store(tmp_path / "store"))


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b'id,type\n"', None])
def test_an_index_that_cannot_be_read(tmp_path, content):
    path = write(tmp_path / "s")
    (path / "index.csv").unlink()
    if content is not None:
        (path / "index.csv").write_bytes(content)
    assert any(fault.startswith("index.csv") for fault in check_store(path))
    with pytest.raises(DataError, match=r"index\.csv"):
        GaitStore.open(path)
