"""Commands over a damaged store: they end by name, or leave out what they list."""

import json

import pytest
from crowds import config_of, crowd, keys, names, readings

from nasgait.data.store import GaitStore
from nasgait.training.checkpoint import Checkpoints


@pytest.fixture
def store(tmp_path):
    path = crowd(tmp_path / "store")
    frames = {key: i for i, key in enumerate(row.key for row in GaitStore.open(path).sequences)}
    data = bytearray((path / "shard-00000.bin").read_bytes())
    for key in ("t00-01-000", "x01-02-000"):
        data[GaitStore.open(path).sequences[frames[key]].offset * 4096 + 2000] ^= 16
    (path / "shard-00000.bin").write_bytes(data)
    return path


def test_training_and_evaluation(nasgait, store, tmp_path):
    out, left_out = tmp_path / "out", ["t00-01-000", "x01-02-000"]
    command = ("retrain", "--config", config_of(store), "--arch", "nano:0-5-2-4", "--out", out)
    code, _, err = nasgait(*command)
    assert code == 2 and err.count("\n") >= 1
    assert "error: " in err and "sequence t00-01-000: 1 of its" in err and "on_damage=skip" in err
    # The advice works; what had seen the damaged sequence goes on in another folder.
    out = tmp_path / "other"
    with readings() as seen:
        code, stdout, err = nasgait(*command[:-1], out, "data.on_damage=skip", "--json")
    assert code == 0, err
    assert json.loads(stdout)["left_out"] == left_out
    assert json.loads((out / "result.json").read_text())["left_out"] == left_out
    assert err.count("left out: sequence") == 2
    wanted = keys(store, "train", "search-val", "test") - set(left_out)
    assert names(seen) == wanted
    checkpoint = Checkpoints(out / "checkpoints").latest()
    command = ("eval", "--checkpoint", checkpoint, "--store", store, "--protocol", "leave-one-out")
    code, _, err = nasgait(*command)
    assert code == 2 and "sequence x01-02-000: 1 of its" in err and "--on-damage skip" in err
    code, stdout, err = nasgait(*command, "--on-damage", "skip")
    assert code == 0, err
    assert "t00-01-000, x01-02-000" in stdout
    code, stdout, err = nasgait(*command, "--on-damage", "skip", "--json")
    assert json.loads(stdout)["left_out"] == left_out
