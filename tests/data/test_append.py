"""A store grows; a first try that stored nothing does not block the second."""

import json
import os
import shutil

import numpy as np
import pytest
from power_cut import cuts
from raw_trees import by_key, import_grew, import_pickles, make_grew, make_pickles, partition_file
from test_checksums import as_format_1, flip

from nasgait.config.schema import DataConfig, SourceConfig
from nasgait.core.errors import DataError
from nasgait.data.append import opened_to_append
from nasgait.data.meta import read_meta
from nasgait.data.prepare import prepare
from nasgait.data.store import GaitStore, StoreWriter, check_store

FRAMES = {name: np.full((2, 16, 16), 9 * int(name), np.uint8) for name in "123456"}


def write(path, names, **options):
    with StoreWriter(path, (16, 16), **options) as writer:
        add(writer, names)
    return path


def add(writer, names):
    for name in names:
        if f"{name}-nm-0" not in writer.done:
            writer.add(name, "nm", "0", "train", FRAMES[name])
            writer.commit()


def holds(path, names):
    store = GaitStore.open(path)
    assert [row.label for row in store.sequences] == list(names)
    return all(np.array_equal(store[i], FRAMES[name]) for i, name in enumerate(names))


@pytest.mark.parametrize("old", [False, True])
def test_sequences_are_added_and_the_old_files_stay(tmp_path, old):
    path = write(tmp_path / "s", "123", meta_extra={"source": {"root": "a"}}, shard_bytes=1000)
    if old:
        as_format_1(path)
    shards = {file: file.read_bytes() for file in path.glob("shard-*")}
    for names in ("4", "56"):
        base = opened_to_append(path)
        source = {"source": {"root": names}}
        with StoreWriter(path, (16, 16), meta_extra=source, base=base) as writer:
            add(writer, names)
    assert holds(path, "123456") and check_store(path) == []
    assert all(file.read_bytes() == data for file, data in shards.items())
    meta = GaitStore.open(path).meta
    assert meta["format"] == "nasgait-store/2" and meta["source"] == {"root": "a"}
    assert meta["appended"] == [
        {"source": {"root": "4"}, "sequences": 1},
        {"source": {"root": "56"}, "sequences": 2},
    ]
    assert meta["counts"]["sequences"] == meta["counts"]["identities"] == 6


def test_a_power_cut_at_any_event_leaves_the_old_store_or_the_new_one(tmp_path):
    seed = write(tmp_path / "seed", "123", shard_bytes=1000)

    def work(folder):
        shutil.copytree(seed, folder / "s")
        for directory in (folder / "s").rglob("*"):
            with directory.open("rb") as file:
                os.fsync(file.fileno())
        yield "ready"
        base = opened_to_append(folder / "s")
        writer = StoreWriter(folder / "s", (16, 16), shard_bytes=1000, base=base)
        try:
            add(writer, "456")
            writer.close()
            yield "whole"
        finally:
            writer.abandon()

    attempts, place = 0, tmp_path / "cuts"
    place.mkdir()
    for folder, done in cuts(place, work):
        path = folder / "s"
        if "ready" not in done:
            continue
        attempts += 1
        grown = len(GaitStore.open(path)) == 6
        assert holds(path, "123456" if grown else "123") and (grown or "whole" not in done)
        assert check_store(path) == []
        if not grown:
            base = opened_to_append(path)
            with StoreWriter(path, (16, 16), shard_bytes=1000, base=base) as writer:
                add(writer, "456")
        assert holds(path, "123456") and check_store(path) == []
    assert attempts > 12


@pytest.fixture
def cut(tmp_path):
    """A store whose append was cut off after two sequences."""
    path = write(tmp_path / "s", "123")
    writer = StoreWriter(path, (16, 16), meta_extra={"x": 1}, base=opened_to_append(path))
    add(writer, "45")
    writer.abandon()
    assert holds(path, "123") and check_store(path) == []
    return path


def test_the_same_append_resumes_and_another_starts_anew(cut):
    again = shutil.copytree(cut, cut.parent / "again")
    with StoreWriter(again, (16, 16), meta_extra={"x": 1}, base=opened_to_append(again)) as writer:
        assert writer.added == 2 and holds(again, "123")
        add(writer, "456")
    assert holds(again, "123456")
    with StoreWriter(cut, (16, 16), meta_extra={"x": 2}, base=opened_to_append(cut)) as writer:
        assert writer.added == 0
        add(writer, "6")
    assert holds(cut, "1236") and check_store(cut) == []


def test_an_append_of_nothing_leaves_the_store_as_it_was(tmp_path):
    path = write(tmp_path / "s", "123")
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    with (
        pytest.raises(DataError, match="no sequence to store"),
        StoreWriter(path, (16, 16), base=opened_to_append(path)),
    ):
        pass
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before


def test_damage_is_not_sealed(tmp_path):
    path = as_format_1(write(tmp_path / "s", "123"))
    flip(path / "shard-00000.bin", 3)
    with pytest.raises(DataError, match=r"shard-00000\.bin: its sha256 is not"):
        opened_to_append(path)
    assert read_meta(path).checksums is None
    with pytest.raises(DataError, match="no such store; make one"):
        opened_to_append(tmp_path / "absent")


# Imports -----------------------------------------------------------------------------------------


def test_import_appends_identities_and_sequences(tmp_path):
    out, first, second = tmp_path / "out", tmp_path / "a", tmp_path / "b"
    content = make_pickles(first, ("001", "002"))
    more = make_pickles(second, ("002", "003", "004"))
    for kind in ("nm-01", "bg-01"):  # another walk of 002 stays, what is there already goes
        (second / "002" / kind).rename(second / "002" / f"{kind}x")
    shutil.copytree(first / "001", second / "001")
    shutil.copytree(first / "002" / "nm-01", second / "002" / "nm-01")
    split = partition_file(tmp_path / "p.json", ["001", "003"], ["002", "004"])
    assert import_pickles(first, out, partition=split, size=(64, 64)).sequences == 4
    summary = import_pickles(second, out, partition=split, append=True)
    assert (summary.sequences, summary.added, summary.already_complete) == (10, 6, False)
    assert [fault.split(": the store already has")[0] for fault in summary.faults] == [
        "001/bg-01/090",
        "001/nm-01/090",
        "002/nm-01/090",
    ]
    found = by_key(out)
    assert {key: subset for key, (subset, _) in found.items() if "nm-01" in key} == {
        "001-nm-01-090": "train",
        "002-nm-01-090": "test",
        "002-nm-01x-090": "test",
        "003-nm-01-090": "train",
        "004-nm-01-090": "test",
    }
    assert np.array_equal(found["003-nm-01-090"][1], more["003/nm-01/090"])
    assert np.array_equal(found["001-nm-01-090"][1], content["001/nm-01/090"])
    assert check_store(out) == []
    again = import_pickles(second, out, partition=split, append=True)
    assert again.already_complete and again.sequences == 10
    # The first import's own command still finds its store.
    assert import_pickles(first, out, partition=split).already_complete
    source = SourceConfig("opengait-pkl", str(first), partition=str(split))
    assert len(prepare(DataConfig(str(out), source=source))) == 10


def test_what_cannot_be_appended(tmp_path):
    out, first, second = tmp_path / "out", tmp_path / "a", tmp_path / "b"
    make_pickles(first, ("001", "002"))
    make_pickles(second, ("001", "003"))
    split = partition_file(tmp_path / "p.json", ["001"], ["002"])
    import_pickles(first, out, partition=split, size=(32, 32), bits=1)
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    other = partition_file(tmp_path / "q.json", ["003"], ["001"])
    for options, message in (
        ({"size": (64, 64)}, "has frames of 32 x 32 pixels at 1 bits, and 64 x 64 at 1 bits"),
        ({"bits": 8}, "leave --size and --bits out"),
        ({"partition": other}, "identity 001: is in subset train of .*, 001/.* would be in test"),
    ):
        with pytest.raises(DataError, match=message):
            import_pickles(second, out, append=True, **options)
    with pytest.raises(DataError, match=r"has all 4 sequences already, e\.g\. 001-bg"):
        import_pickles(first, out, partition=split, size=(32, 32), append=True, data_in_use=[0])
    with pytest.raises(DataError, match="no such store"):
        import_pickles(first, tmp_path / "absent", append=True)
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before


def test_a_try_that_stored_nothing_does_not_block_the_next(tmp_path):
    bad, good, out = tmp_path / "bad", tmp_path / "good", tmp_path / "out"
    make_grew(bad)
    make_grew(good)
    for file in bad.rglob("*.png"):
        file.write_text("damaged")
    with pytest.raises(DataError, match="no sequence can be read"):
        import_grew(bad, out)
    assert not out.exists()
    assert import_grew(good, out).resumed == 0
    # A process that was killed before its first sequence cleans nothing up.
    killed = tmp_path / "killed"
    StoreWriter(killed, meta_extra={"source": {"layout": "other"}}).abandon()
    (killed / "shard-00000.bin").write_bytes(b"frames without a row")
    assert import_grew(good, killed).sequences == len(by_key(out))
    assert check_store(killed) == []


def test_what_was_stored_is_not_written_over(tmp_path):
    half = tmp_path / "half"
    writer = StoreWriter(half, (16, 16), meta_extra={"seed": 1})
    add(writer, "1")
    writer.abandon()
    with pytest.raises(DataError, match="a partial store with another seed"):
        StoreWriter(half, (16, 16), meta_extra={"seed": 2})
    assert write(half, "12", meta_extra={"seed": 1}) and holds(half, "12")


def test_a_partial_store_of_the_older_version_is_resumed(tmp_path):
    half = tmp_path / "half"
    writer = StoreWriter(half, (16, 16), shard_bytes=1000)
    add(writer, "123")
    writer.abandon()
    marker = json.loads((half / "writing.json").read_text())
    (half / "writing.json").write_text(json.dumps(marker | {"format": "nasgait-store/1"}))
    (half / "frames.crc32").unlink()
    write(half, "1234", shard_bytes=1000)
    assert holds(half, "1234") and check_store(half) == []
