"""Imported sequences that are added to a store: what is said about them, and where it is kept."""

import json
import shutil

import numpy as np
import pytest
from raw_trees import import_grew, make_grew, walkers, write_pngs

from nasgait.core.errors import DataError
from nasgait.data import readers
from nasgait.data.append import opened_to_append
from nasgait.data.meta import REMARKS, read_meta
from nasgait.data.readers import Options
from nasgait.data.store import GaitStore, StoreWriter, check_store
from nasgait.data.store_masks import mask_faults

MASK = walkers(np.random.default_rng(0), 3, (64, 64))
CLASSES = [MASK[0] // 255 * np.triu(np.full((64, 64), 3, np.uint8)) + MASK[0] // 255]
"""Values 0, 1 and 4: which of them are the person, nobody can say."""


def content(path):
    return {file.name: file.read_bytes() for file in sorted(path.iterdir())}


@pytest.fixture
def grown(tmp_path):
    """A store of plain masks, and a tree whose 12 sequences have pixels 0 and 1."""
    make_grew(tmp_path / "a", train=1)
    for identity in ("00007", "00008", "00009", "00010"):
        for name in ("x", "y", "z"):
            write_pngs(tmp_path / "b/train" / identity / name, MASK // 255)
    (tmp_path / "b/train/00008/y/movie.avi").write_bytes(b"x")
    import_grew(tmp_path / "a", tmp_path / "out")
    return tmp_path


def test_notes_are_kept_with_what_was_added(grown):
    out = grown / "out"
    first = read_meta(out).raw["import"]
    summary = import_grew(grown / "b", out, append=True)
    assert summary.notes == ["values 0 and 1 were read as masks: 12 sequences, e.g. train/00007/x"]
    assert len(summary.faults) == 1 and "train/00008/y/movie.avi" in summary.faults[0]
    meta = read_meta(out).raw
    assert meta["import"] == first == {"faults": [], "notes": []}
    assert meta["appended"][0]["import"] == {"faults": summary.faults, "notes": summary.notes}
    assert check_store(out) == mask_faults(GaitStore.open(out)) == []
    again = import_grew(grown / "b", out, append=True)
    assert again.already_complete and again.notes == summary.notes
    assert again.faults == summary.faults
    assert import_grew(grown / "a", out).notes == []
    text = (out / "meta.json").read_text()
    (out / "meta.json").write_text(text.replace("were read as masks", "were road as masks"))
    assert "its content does not match its own sha256" in check_store(out)[0]


def test_an_interrupted_append_ends_with_the_same_bytes(grown, monkeypatch):
    whole, out = shutil.copytree(grown / "out", grown / "whole"), grown / "out"
    summary, look = import_grew(grown / "b", whole, append=True), readers.look

    def dies(folder, *args, **options):
        if folder.endswith("00009/x"):
            raise KeyboardInterrupt
        return look(folder, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr("nasgait.data.readers.look", dies)
        with pytest.raises(KeyboardInterrupt):
            import_grew(grown / "b", out, append=True)
    assert (out / REMARKS).exists() and check_store(out) == []
    again = import_grew(grown / "b", out, append=True)
    assert (again.resumed, again.added) == (6, 12)
    assert (again.faults, again.notes) == (summary.faults, summary.notes)
    assert content(out) == content(whole)


def test_remarks_of_an_append_that_was_given_up_are_not_those_of_the_next(grown, monkeypatch):
    out, other = grown / "out", grown / "c"
    for name in ("x", "y", "z"):
        write_pngs(other / "train/00007" / name, MASK)

    def dies(ending):
        look = readers.look

        def patched(folder, *args, **options):
            if folder.endswith(ending):
                raise KeyboardInterrupt
            return look(folder, *args, **options)

        return patched

    for tree, ending in (("b", "00008/x"), ("c", "00007/z")):
        with monkeypatch.context() as patch:
            patch.setattr("nasgait.data.readers.look", dies(ending))
            with pytest.raises(KeyboardInterrupt):
                import_grew(grown / tree, out, append=True)
    summary = import_grew(other, out, append=True)
    assert (summary.resumed, summary.added, summary.notes) == (2, 3, [])


def test_an_identity_of_the_store_is_not_lost_with_what_would_be_added(tmp_path):
    make_grew(tmp_path / "a", train=1)
    import_grew(tmp_path / "a", tmp_path / "out")
    write_pngs(tmp_path / "b/train/00000/s0", MASK)
    write_pngs(tmp_path / "b/train/00000/s9", MASK)
    for identity in ("00000/s8", "00001/s0"):
        write_pngs(tmp_path / "b/train" / identity, MASK[:0])
    write_pngs(tmp_path / "b/train/00002/s0", MASK)
    faults = import_grew(tmp_path / "b", tmp_path / "out", append=True).faults
    assert "identity 00001train: none of its sequences could be imported" in faults
    assert not [fault for fault in faults if fault.startswith("identity 00000")]


@pytest.mark.parametrize("append", [False, True])
def test_a_refused_import_does_not_block_the_one_that_its_message_advises(tmp_path, append):
    raw, out = tmp_path / "raw", tmp_path / "out"
    write_pngs(raw / "train/1/a", CLASSES)
    if append:
        make_grew(tmp_path / "a")
        import_grew(tmp_path / "a", out)
        before = content(out)
    with pytest.raises(DataError, match=r"no sequence can be read; .*--threshold"):
        import_grew(raw, out, append=append)
    assert content(out) == before if append else not out.exists()
    summary = import_grew(raw, out, append=append, options=Options(threshold=1))
    assert summary.added == int(append) and not summary.resumed
    assert GaitStore.open(out).sequences[-1].key == "1train-00-a"
    assert check_store(out) == mask_faults(GaitStore.open(out)) == []


def test_what_was_said_of_a_part_is_not_doubted_and_of_the_rest_it_is(tmp_path):
    for number, said in enumerate(({}, {"invert": False}, {})):
        base = opened_to_append(tmp_path / "s") if number else None
        source = {"source": {"part": number} | said}
        with StoreWriter(tmp_path / "s", meta_extra=source, base=base) as writer:
            writer.add(str(number), "nm", "0", "train", 255 - MASK)
    faults = mask_faults(GaitStore.open(tmp_path / "s"))
    assert len(faults) == 1 and faults[0].startswith("2 sequences, e.g. 0-nm-0: inverted")


def test_more_appended_than_there_is(tmp_path):
    with StoreWriter(tmp_path / "s") as writer:
        writer.add("1", "nm", "0", "train", MASK)
    file = tmp_path / "s/meta.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"appended": [{"sequences": 9}]}))
    assert any(
        "9 appended sequences are more than 1" in fault for fault in check_store(file.parent)
    )
