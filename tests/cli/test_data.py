"""``nasgait data``: results on stdout, one clear line for wrong input, exit codes."""

import argparse
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from raw_trees import make_grew, make_pickles, walkers, write_pngs

from nasgait.cli import data
from nasgait.cli.main import guard
from nasgait.data.store import GaitStore, StoreWriter
from nasgait.data.transforms import fit


def nasgait_data(*words):
    parser = argparse.ArgumentParser()
    data.add_arguments(parser)
    args = parser.parse_args([str(word) for word in words])
    return guard(lambda: data.run(args))


@pytest.fixture
def raw(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_grew(Path("raw"))
    return Path("raw")


GREW = ("import", "--layout", "grew", "--root", "raw", "--out", "out", "--workers", "1")


def test_import_check_sheet(raw, capsys):
    assert nasgait_data(*GREW, "--json") == 0
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert (result["sequences"], result["faults"], result["already_complete"]) == (16, [], False)
    assert "import: 16 sequences, about" in err and "GB free" in err
    assert nasgait_data(*GREW) == 0
    assert "complete already, nothing to do" in capsys.readouterr().out
    assert nasgait_data("check", "out") == 0
    assert capsys.readouterr().out == "out: no faults\n"
    assert nasgait_data("sheet", "out", "--out", "x.png", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"sheet": "x.png"} and Path("x.png").exists()


def test_only_strict_fails_for_a_fault(raw, capsys):
    (raw / "train/00001/s1/00002.png").write_text("no image")
    assert nasgait_data(*GREW) == 0
    out, err = capsys.readouterr()
    assert "1 faults, named above" in out
    assert "not imported: train/00001/s1: 00002.png cannot be decoded" in err
    assert nasgait_data(*GREW, "--strict", "--json") == 1
    result = json.loads(capsys.readouterr().out)
    assert result["already_complete"] and len(result["faults"]) == 1


def test_casia_b_for_a_network_of_128_by_88(tmp_path, monkeypatch, capsys, caplog):
    """The split of HSTL, at the size of GLN."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for label in ("004", "005", "075"):
        write_pngs(Path("raw") / label / "nm-01" / "090", walkers(rng, 3, (240, 320)))
    command = ("import", "--layout", "casia-b", "--root", "raw", "--out", "out", "--workers", "1")
    assert nasgait_data(*command, "--size", "128", "--partition", "casia-b-73", "--json") == 0
    assert json.loads(capsys.readouterr().out)["sequences"] == 2
    assert "identities in neither set, left out: 005" in caplog.text
    store = GaitStore.open("out")
    assert [(s.key, s.subset) for s in store.sequences] == [
        ("004-nm-01-090", "train"),
        ("075-nm-01-090", "test"),
    ]
    assert fit(store[0], (128, 88)).shape == (3, 128, 88)


def test_masks_of_another_meaning(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    mask = walkers(np.random.default_rng(0), 3, (64, 64))
    for folder, images in {"a": mask, "b": mask // 255, "c": 255 - mask, "d": mask // 2}.items():
        write_pngs(Path("raw/train/1") / folder, images)
    write_pngs(Path("raw/train/1/e"), [mask[0] // 100, mask[0] // 100 * np.eye(64, dtype=np.uint8)])
    Path("raw/train/1/a/00009.png").symlink_to("gone")
    assert nasgait_data(*GREW, "--skip-frames", "--strict", "--json") == 1
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert result["sequences"] == 5
    assert "note: values 0 and 1 were read as masks: 1 sequence, e.g. train/1/b\n" in err
    assert "note: white backgrounds were inverted: 1 sequence, e.g. train/1/c\n" in err
    assert "not imported: train/1/a/frame 00009.png is a link to gone, which is not there" in err
    store = GaitStore.open("out")
    assert all(np.array_equal(store[i], mask) for i in range(4))
    assert nasgait_data(*GREW, "--out", "b", "--threshold", "1", "--no-invert", "--no-alpha") == 0
    capsys.readouterr()
    assert nasgait_data("check", "b") == 0
    capsys.readouterr()
    assert "threshold 0: allowed are 1 to 255" in wrong(capsys, *GREW, "--threshold", "0")


def test_check_finds_pixels_that_are_no_silhouettes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with StoreWriter("old") as writer:
        mask = walkers(np.random.default_rng(0), 3, (64, 64))
        for view, images in {"a": mask, "b": mask // 255, "c": 255 - mask, "d": mask * 0}.items():
            writer.add("1", "nm", view, "train", images)
    assert nasgait_data("check", "old", "--json") == 1
    faults = json.loads(capsys.readouterr().out)["faults"]
    assert [fault.split(";")[0].partition(", e.g. ")[2] for fault in faults] == [
        "1-nm-b: values 0 and 1 instead of 0 and 255",
        "1-nm-c: inverted, the background is white",
        "1-nm-d: all black",
    ]


class Touch:
    def __reduce__(self):
        return Path.touch, (Path("HACKED"),)


def test_a_hostile_pickle_costs_its_sequence(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make_pickles(Path("raw"))
    Path("raw/001/nm-01/090/090.pkl").write_bytes(pickle.dumps(Touch()))
    command = ("import", "--layout", "opengait-pkl", "--root", "raw", "--out", "out", "--strict")
    assert nasgait_data(*command, "--bits", "1", "--workers", "2") == 1
    out, err = capsys.readouterr()
    assert "001/nm-01/090: 090.pkl: not a pickle that can be read (it names" in err
    assert "7 sequences" in out and not Path("HACKED").exists()


def wrong(capsys, *words):
    """Run a command that must refuse its input; its one line."""
    assert nasgait_data(*words) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: ") and err.count("\n") == 1, err
    return err


def test_wrong_input(raw, capsys, tmp_path):
    assert "no such folder" in wrong(capsys, *GREW, "--root", "absent")
    Path("empty").mkdir()
    assert "the folder is empty" in wrong(capsys, *GREW, "--root", "empty")
    assert "not a GREW tree" in wrong(capsys, *GREW, "--root", "raw/train")
    assert "not a pickle tree" in wrong(capsys, *GREW, "--layout", "opengait-pkl")
    assert "0 workers" in wrong(capsys, *GREW, "--workers", "0")
    assert "0 x 0 pixels" in wrong(capsys, *GREW, "--size", "0")
    assert "x.json: no such partition file" in wrong(capsys, *GREW, "--partition", "x.json")
    assert "names none of" in wrong(capsys, *GREW, "--partition", "casia-b")
    assert "layout grew has none" in wrong(capsys, *GREW, "--data-in-use", "0")
    assert "gait3d needs a partition" in wrong(capsys, *GREW, "--layout", "gait3d")
    assert "not empty and not a store" in wrong(capsys, *GREW, "--out", "raw")
    assert not Path("out").exists()
    (raw / "train/00007").mkdir()
    assert nasgait_data(*GREW, "--strict") == 1
    assert "train/00007: an identity with zero sequences" in capsys.readouterr().err
    for command in (("check", "none"), ("sheet", "none", "--out", "x.png")):
        assert "none: no such store" in wrong(capsys, *command)
    for words in (("--layout", "casia"), ("--data-in-use", "first")):
        with pytest.raises(SystemExit) as exit_:
            nasgait_data(*GREW, *words)
        assert exit_.value.code == 2


def test_a_damaged_store_and_one_of_another_version(raw, capsys):
    assert nasgait_data(*GREW) == 0
    capsys.readouterr()
    shard = Path("out/shard-00000.bin")
    shard.write_bytes(b"\0" + shard.read_bytes())
    assert nasgait_data("check", "out", "--json") == 1
    faults = json.loads(capsys.readouterr().out)["faults"]
    assert faults[0].startswith("shard-00000.bin: 454657 bytes")
    assert all(fault.startswith("sequence ") for fault in faults[1:])
    assert "shard-00000.bin" in wrong(capsys, "sheet", "out", "--out", "x.png")
    meta = json.loads(Path("out/meta.json").read_text())
    Path("out/meta.json").write_text(json.dumps(meta | {"format": "nasgait-store/0"}))
    for command in (("check", "out"), ("sheet", "out", "--out", "x.png"), GREW):
        assert "'nasgait-store/0'" in wrong(capsys, *command)


def test_synth(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = ("--preset", "wild-mini", "--ids", "6", "--seqs", "2", "--workers", "1")
    assert nasgait_data("synth", "--out", "store", *small, "--json") == 0
    assert json.loads(capsys.readouterr().out)["identities"] == 6
    assert nasgait_data("check", "store") == 0


@pytest.mark.parametrize("command", ["synth", "import", "check", "sheet"])
def test_help(command, capsys):
    with pytest.raises(SystemExit) as exit_:
        nasgait_data(command, "--help")
    assert exit_.value.code == 0 and "--json" in capsys.readouterr().out
