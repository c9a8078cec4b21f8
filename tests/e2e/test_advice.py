"""What a failed training advises works when it is typed; a run takes it up as well."""

import pytest

from nasgait.core.checksum import read_result
from nasgait.training.checkpoint import Checkpoints, load_checkpoint

LOUD = "retrain.optimizer.lr=1e30"
QUIET = "retrain.optimizer.lr=1e-4"


def advice(err):
    """The keys that the last line names, as they are typed."""
    last = err.strip().splitlines()[-1]
    assert "not finite" in last and "Traceback" not in err, err
    assert "lower retrain.optimizer.lr (now " in last and "set retrain.optimizer.clip_norm" in last
    return last


@pytest.fixture
def retrain(nasgait, tiny_config, tmp_path):
    words = ["retrain", "--config", tiny_config, "--model", "gaitset-nano"]
    return lambda *more: nasgait(*words, "--out", tmp_path / "out", *more)


def test_a_lower_rate_goes_on_from_the_last_checkpoint(retrain, tmp_path):
    out = tmp_path / "out"
    assert retrain("retrain.steps=3")[0] == 0
    (out / "result.json").unlink()
    code, _, err = retrain("--resume", LOUD)
    assert code == 1
    advice(err)
    assert Checkpoints(out / "checkpoints").newest().step == 3, "nothing spoilt was kept"
    code, _, err = retrain("--resume", QUIET)
    assert code == 0 and "from step 3 on: optimizer.lr 0.0001, was 0.001" in err, err
    changes = [
        {"step": 3, "key": "steps", "before": 3, "after": 8},
        {"step": 3, "key": "optimizer.lr", "before": 1e-3, "after": 1e-4},
    ]
    assert read_result(out / "result.json")["recipe_changes"] == changes
    saved = load_checkpoint(Checkpoints(out / "checkpoints").latest())
    assert saved["recipe_changes"] == changes
    assert "lr: 0.0001\n" in (out / "config.yaml").read_text()


def test_without_a_checkpoint_and_with_a_spoilt_one_it_begins_again(retrain, tmp_path):
    out = tmp_path / "out"
    code, _, err = retrain(LOUD, "retrain.checkpoint_every=1")
    assert code == 1 and "delete the folder checkpoints" in advice(err)
    for checkpoint in (out / "checkpoints").iterdir():
        checkpoint.unlink()
    (out / "checkpoints").rmdir()
    code, _, err = retrain("--resume", QUIET)
    assert code == 0, err
    assert read_result(out / "result.json")["recipe_changes"] == []
    assert "lr: 0.0001\n" in (out / "config.yaml").read_text()


@pytest.mark.slow
def test_a_run_goes_on_with_what_it_was_advised(nasgait, tiny_config, tmp_path):
    out = tmp_path / "out"
    words = ["run", tiny_config, "--out", out, "space=null", "supernet.log_every=2"]
    words += ["baselines=[{model: gaitset-nano}, {model: gaitbase-nano}]"]
    code, _, err = nasgait(*words, LOUD)
    assert code == 1
    advice(err)
    code, _, err = nasgait(*words, QUIET, "retrain.batch.ids=3")
    assert code == 2 and "retrain.batch.ids: 4 -> 3" in err and "retrain.optimizer.lr" not in err
    code, _, err = nasgait(*words, QUIET)
    assert code == 0, err
    result = read_result(out / "retrain" / "gaitset-nano" / "seed-0" / "result.json")
    assert result["recipe"]["optimizer"]["lr"] == 1e-4
    longer = [*words, QUIET, "retrain.steps=10"]
    code, _, err = nasgait(*longer)
    assert code == 0, err
    for name in ("gaitset-nano", "gaitbase-nano"):
        result = read_result(out / "retrain" / name / "seed-0" / "result.json")
        assert result["steps"] == 10
        assert {"step": 8, "key": "steps", "before": 8, "after": 10} in result["recipe_changes"]
    code, _, err = nasgait(*longer, "retrain.optimizer.lr=1e-5")
    assert code == 0 and "finished with another optimizer.lr (0.0001, not 1e-05)" in err


@pytest.mark.slow
def test_a_supernet_that_is_trained_keeps_its_recipe(nasgait, tiny_config, tmp_path):
    out = tmp_path / "out"
    words = ["run", tiny_config, "--out", out]
    assert nasgait(*words)[0] == 0
    for change in ("supernet.optimizer.lr=1e-4", "supernet.steps=9"):
        code, _, err = nasgait(*words, change)
        assert code == 2 and f"{change.split('=')[0]}: " in err and "its search has begun" in err
    assert nasgait(*words, "supernet.keep=3", "retrain.log_every=2")[0] == 0
