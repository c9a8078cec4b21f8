"""Data is on disk before anything speaks of it: the order of sync and rename, and power cuts."""

import json
import logging
import os
import sys

import numpy as np
import pytest
import torch
from power_cut import Disk, cuts

from nasgait.core.files import write_atomically
from nasgait.data.store import GaitStore, StoreWriter, check_store
from nasgait.search.latency import Latencies
from nasgait.search.ledger import Ledger, LedgerEntry
from nasgait.search.pareto import read_pareto, write_pareto
from nasgait.training.checkpoint import FORMAT, MANIFEST, Checkpoints, load_checkpoint
from retrain.evaluate import Probes, read_probes, write_probes
from search_spaces import load_architecture, load_space
from search_spaces.architecture import save_architecture

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks files up in /proc")


def events(folder, work):
    disk = Disk(folder)
    with disk.watched():
        work()
    return disk.events


def payload(step):
    return {"format": FORMAT, "step": step, "model": {"w": torch.full((9,), float(step))}}


def entry(number, score=1.0):
    return LedgerEntry((0, number), 0, {"map": score, "macs": 7, "params": 3})


# The order ---------------------------------------------------------------------------------------


def test_a_checkpoint_is_synced_renamed_and_listed_before_an_old_one_goes(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(1, payload(1))
    assert events(tmp_path, lambda: checkpoints.save(2, payload(2))) == [
        ("sync", ".step-000002.pt.*"),
        ("replace", "step-000002.pt"),
        ("sync", "."),
        ("sync", f".{MANIFEST}.*"),
        ("replace", MANIFEST),
        ("sync", "."),
        ("remove", "step-000001.pt"),
    ]


def test_a_small_file_is_synced_before_it_takes_its_place(tmp_path):
    assert events(tmp_path, lambda: write_atomically(tmp_path / "a.json", "{}")) == [
        ("sync", ".a.json.*"),
        ("replace", "a.json"),
        ("sync", "."),
    ]


def test_a_ledger_line_is_synced_when_it_is_written(tmp_path):
    ledger = Ledger.open(tmp_path / "ledger.jsonl")
    assert events(tmp_path, lambda: ledger.append(entry(1))) == [("sync", "ledger.jsonl")]


def test_a_score_counts_once_it_is_synced(tmp_path, monkeypatch):
    ledger = Ledger.open(tmp_path / "ledger.jsonl")
    ledger.append(entry(1))
    told = []

    def broken(handle):
        told.append(len(ledger.entries))
        raise OSError("input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="input/output"):
        ledger.append(entry(2))
    assert told == [1] and ledger.entries == [entry(1)]


def test_frames_are_synced_before_the_rows_that_speak_of_them(tmp_path):
    writer = StoreWriter(tmp_path / "store")
    writer.add("0", "nm", "0", "train", np.zeros((2, 64, 64), np.uint8))
    assert events(tmp_path / "store", writer.commit) == [
        ("sync", "shard-00000.bin"),
        ("sync", "frames.crc32"),
        ("sync", "index.csv"),
    ]
    last = events(tmp_path / "store", writer.close)
    assert last[-4:] == [
        ("sync", ".meta.json.*"),
        ("replace", "meta.json"),
        ("sync", "."),
        ("remove", "writing.json"),
    ]


# Power cuts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [1, 2])
def test_checkpoints_load_after_a_power_cut_at_any_event(tmp_path, keep, caplog):
    """What was saved is there, or something newer; nothing is damaged, and saving goes on."""

    def work(folder):
        for step in (1, 2, 3):
            Checkpoints(folder, keep).save(step, payload(step))
            yield step

    caplog.set_level(logging.WARNING)
    attempts = 0
    for folder, saved in cuts(tmp_path, work):
        attempts += 1
        newest = Checkpoints(folder, keep).newest()
        assert (newest.step if newest else 0) in (len(saved), len(saved) + 1)
        if newest:
            loaded = load_checkpoint(folder / newest.file, FORMAT)
            assert loaded["step"] == newest.step
            assert (loaded["model"]["w"] == newest.step).all()
        Checkpoints(folder, keep).save(9, payload(9))
        assert Checkpoints(folder, keep).newest().step == 9
    assert attempts > 3 * 6 and "damaged" not in caplog.text


def test_a_power_cut_while_a_step_is_saved_again_leaves_the_one_before(tmp_path):
    """A resumed run comes by steps that were saved before it, with other content at worst."""

    def work(folder):
        for number, step in enumerate((1, 2, 2)):
            Checkpoints(folder).save(step, payload(step) | {"number": number})
            yield number

    for folder, saved in cuts(tmp_path, work):
        newest = Checkpoints(folder).newest()
        if saved:
            number = load_checkpoint(folder / newest.file, FORMAT)["number"]
            assert number in ((0, 1) if saved == [0] else (0, 1, 2) if saved == [0, 1] else (2,))


def test_scores_that_counted_are_there_after_a_power_cut(tmp_path):
    def work(folder):
        ledger = Ledger.open(folder / "ledger.jsonl")
        for number in range(3):
            ledger.append(entry(number))
            yield entry(number)

    lengths = []
    for folder, counted in cuts(tmp_path, work):
        kept = Ledger.open(folder / "ledger.jsonl").entries
        assert kept[: len(counted)] == counted
        lengths.append(len(kept))
    assert lengths == [0, 1, 2, 3]


def test_measured_latencies_are_there_after_a_power_cut(tmp_path):
    """A search that measured again could breed others."""

    def open_in(folder, seconds):
        return Latencies(folder / "l.jsonl", seconds.__getitem__, {"device": "cpu"})

    def work(folder):
        latencies = open_in(folder, {(0,): 0.5, (1,): 0.25})
        for choices in ((0,), (1,)):
            yield choices, latencies.value(choices)

    for folder, measured in cuts(tmp_path, work):
        again = open_in(folder, {})
        assert all(again.value(choices) == seconds for choices, seconds in measured)


def test_a_store_is_continued_after_a_power_cut(tmp_path):
    frames = {name: np.full((3, 64, 64), 40 * int(name), np.uint8) for name in "123"}

    def work(folder):
        writer = StoreWriter(folder / "store", shard_bytes=30_000)
        try:
            for name, sequence in frames.items():
                writer.add(name, "nm", "0", "train", sequence)
                writer.commit()
                yield name
            writer.close()
            yield "whole"
        finally:
            writer.abandon()

    for folder, committed in cuts(tmp_path, work):
        if not (folder / "store" / "meta.json").exists():
            with StoreWriter(folder / "store", shard_bytes=30_000) as writer:
                assert set(committed) <= {key[0] for key in writer.done}
                for name in frames.keys() - {key[0] for key in writer.done}:
                    writer.add(name, "nm", "0", "train", frames[name])
        store = GaitStore.open(folder / "store")
        assert check_store(folder / "store") == []
        found = {row.label: store[i] for i, row in enumerate(store.sequences)}
        assert found.keys() == frames.keys()
        assert all(np.array_equal(found[name], frames[name]) for name in frames)


FRONT = [[entry(1, 1.0)], [entry(2, 2.0)]]
PROBES = [Probes(np.array([f"{k}"]), np.ones(1), np.full(1, 0.5)) for k in (1, 2)]


def text(path, which):
    write_atomically(path, json.dumps(which) * 4000)


def read_text(path):
    return json.loads(path.read_text()[: len(path.read_text()) // 4000])


def architecture(path, which):
    space = load_space("nano")
    save_architecture(path, space, space.parse(f"nano:0-{which}-0-0"))


WRITERS = {
    "small file": (text, read_text),
    "best.yaml": (architecture, lambda path: load_architecture(path)[1].choices[1]),
    "pareto.json": (
        lambda path, which: write_pareto(path, FRONT[which], ["map"], ["macs"]),
        lambda path: FRONT.index(read_pareto(path)["front"]),
    ),
    "probes": (
        lambda path, which: write_probes(path, PROBES[which]),
        lambda path: int(read_probes(path).labels[0]) - 1,
    ),
}


@pytest.mark.parametrize("name", list(WRITERS))
def test_a_result_is_the_old_or_the_new_one_after_a_power_cut(tmp_path, name):
    write, read = WRITERS[name]

    def work(folder):
        for which in (0, 1):
            write(folder / "result", which)
            yield which

    for folder, written in cuts(tmp_path, work):
        if written or (folder / "result").exists():
            assert read(folder / "result") >= (written or [0])[-1]
