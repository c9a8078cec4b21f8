"""A stage goes on with the data, seed, recipe and network that it began with, and no others."""

import re

import pytest
from crowds import config_of, crowd

from nasgait.core.errors import CheckpointError
from nasgait.training.checkpoint import Checkpoints, load_checkpoint, save_checkpoint
from nasgait.training.loop import Training

ARCH = ("--arch", "nano:0-5-2-4")
STAGES = {
    "supernet": ("supernet",),
    "retrain": ("retrain", *ARCH),
    "pretrain": ("pretrain", "--model", "selfgait-nano"),
}
MARKS = {"search-val": "train"}
COMMON = ("data.search_val=4", "pretrain.views.sequences=18")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("crowd")


@pytest.fixture(scope="module")
def config(folder):
    return config_of(crowd(folder / "store", subset_of=MARKS))


@pytest.fixture(scope="module")
def stores(folder):
    """Overrides that name other stores under the same configuration."""
    made = {
        "same": crowd(folder / "same", subset_of=MARKS),
        "pixels": crowd(folder / "pixels", tainted=("train",), subset_of=MARKS),
        "more": crowd(folder / "more", more=[("t00", "train")], subset_of=MARKS),
        "less": crowd(folder / "less", without=["t00-01-000"], subset_of=MARKS),
    }
    return {name: f"data.store={path}" for name, path in made.items()}


@pytest.fixture(scope="module")
def begun(folder, config):
    """Every stage's folder after its last step; a refused resumption leaves it as it is."""
    from nasgait.cli.main import main

    outs = {name: folder / f"begun-{name}" for name in STAGES}
    for name, out in outs.items():
        command, *words = STAGES[name]
        words = [command, "--config", str(config), "--out", str(out), *words, *COMMON]
        assert main(words) == 0
    return outs


@pytest.fixture(scope="module")
def trainings(begun, config):
    """The training of each stage, ready to go on."""
    from nasgait.cli.main import main

    found = {}
    real = Training.restore
    with pytest.MonkeyPatch.context() as patch:
        for name, out in begun.items():
            patch.setattr(
                Training,
                "restore",
                lambda self, path, n=name: (found.update({n: self}), real(self, path)),
            )
            command, *words = STAGES[name]
            words = [command, "--config", str(config), "--out", str(out), *words, *COMMON]
            assert main([*words, "--resume"]) == 0
    return found


@pytest.fixture
def resume(nasgait, begun, config):
    """``resume(stage, *words)`` -> what it refused for, None when it went on."""

    def call(stage, *words):
        out = begun[stage]
        before = Checkpoints(out / "checkpoints").newest()
        command, *network = STAGES[stage]
        network = [] if {"--arch", "--model"} & set(words) else network
        code, _, err = nasgait(
            command, "--config", config, "--out", out, "--resume", *network, *COMMON, *words
        )
        assert Checkpoints(out / "checkpoints").newest() == before
        if code == 0:
            return None
        assert code == 2 and "Traceback" not in err and str(out) in err
        last = err.strip().splitlines()[-1]
        named = last.split("was made with another ")[1].split(";")[0]
        return ", ".join(re.findall(r"([\w.]+) \([^()]*, not ", named))

    return call


@pytest.mark.parametrize("stage", STAGES)
def test_the_same_once_more(resume, stores, stage):
    assert resume(stage) is None
    assert resume(stage, stores["same"], "name=other", "threads=1") is None


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("store", ["pixels", "more", "less"])
def test_another_store(resume, stores, stage, store):
    assert resume(stage, stores[store]) == "data"


@pytest.mark.parametrize("stage", STAGES)
def test_another_seed(resume, stage):
    assert resume(stage, "seed=1") == "seed"


def test_another_split(resume):
    """Final networks train on those drawn for search-val as well: to them it is the same."""
    for words in ("data.split_seed=1", "data.search_val=3"):
        assert resume("supernet", words) == "data"
        assert resume("retrain", words) is None
        assert resume("pretrain", words) is None
    for stage in STAGES:
        few = ("data.train_ids=9", "supernet.batch.ids=5", "retrain.batch.ids=9")
        assert resume(stage, *few).startswith("data")


def test_other_labels(resume):
    words = ("label_rate=0.5", "retrain.batch.ids=5")
    assert resume("retrain", *words).startswith("data")
    assert resume("pretrain", *words) is None
    assert resume("supernet", *words) is None


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    "change", ["steps=1", "optimizer.lr=0.5", "augment.flip=0.25", "precision=float64", "keep=3"]
)
def test_another_recipe(resume, stage, change):
    """Nothing is left to train otherwise: how it was trained cannot change any more."""
    name = change.split("=")[0]
    said = resume(stage, f"{stage}.{change}")
    assert said is None if name == "keep" else said.startswith(f"{stage}.{name}")


@pytest.mark.parametrize("stage", STAGES)
def test_the_recipe_of_another_stage_is_free(resume, stage):
    others = [f"{other}.optimizer.lr=0.5" for other in STAGES if other != stage]
    assert resume(stage, *others, "search.population=9", "random=2") is None


def test_another_network(resume):
    assert resume("retrain", "--arch", "nano:0-1-1-1") == "arch"
    assert resume("retrain", "--model", "gaitset-nano").startswith("arch")
    assert resume("pretrain", "--model", "gaitset-nano") == "model_name"
    assert resume("retrain", "freeze=nothing") is None


def test_pretraining_with_the_crowd_of_distractors(resume):
    assert "pretrain.distractors" in resume("pretrain", "pretrain.distractors=true")


def test_another_space(nasgait, config, tmp_path):
    """The same name and network size, another kernel: an edited file is another space."""
    from pathlib import Path

    from search_spaces import space

    text = (Path(space.__file__).parent / "spaces" / "nano.yaml").read_text()
    mine = tmp_path / "mine.yaml"
    mine.write_text(text.replace("name: nano", "name: mine"))
    words = ["--config", config, f"space={mine}", "data.search_val=4"]
    out = tmp_path / "out"
    assert nasgait("supernet", *words, "--out", out)[0] == 0
    mine.write_text(mine.read_text().replace("blocks: [3x3x3, 3x1x3", "blocks: [3x1x3, 3x3x3"))
    code, _, err = nasgait("supernet", *words, "--out", out, "--resume")
    assert code == 2 and "was made with another space_sha256 (" in err
    checkpoint = Checkpoints(out / "checkpoints").latest()
    code, _, err = nasgait("search", *words, "--supernet", checkpoint, "--out", tmp_path / "search")
    assert code == 2 and "is of space" in err and not (tmp_path / "search").exists()


WRITTEN = {
    "supernet": {"kind", "space", "space_sha256", "num_classes", "seed", "data", "init",
                 "recipe"},
    "retrain": {"kind", "arch", "space", "space_sha256", "model_name", "settings", "num_classes",
                "seed", "data", "init", "freeze", "recipe"},
    "pretrain": {"kind", "arch", "space", "space_sha256", "model_name", "settings", "seed", "data",
                 "recipe"},
}  # fmt: skip
"""What a checkpoint says of itself, beside the state."""


@pytest.mark.parametrize("stage", STAGES)
def test_whatever_a_checkpoint_says_must_be_so(begun, trainings, stage, tmp_path, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda file: None)
    saved = load_checkpoint(Checkpoints(begun[stage] / "checkpoints").latest())
    state = {"format", "model", "optimizer", "scheduler", "scaler", "rng", "step", "recipe_changes"}
    assert set(saved) - state == WRITTEN[stage]
    for name in WRITTEN[stage]:
        path = tmp_path / f"{name}.pt"
        save_checkpoint(path, saved | {name: "another"})
        with pytest.raises(CheckpointError, match=rf"was made with another {name} \("):
            trainings[stage].restore(path)
        save_checkpoint(path, {key: value for key, value in saved.items() if key != name})
        if saved[name] is not None:
            with pytest.raises(CheckpointError, match=rf"was made with another {name} \("):
                trainings[stage].restore(path)


def test_a_search_goes_on_with_its_own_data_alone(nasgait, begun, config, stores, tmp_path):
    checkpoint = Checkpoints(begun["supernet"] / "checkpoints").latest()
    words = ["--config", config, "--supernet", checkpoint, "--out", tmp_path / "search"]
    words += COMMON
    assert nasgait("search", *words)[0] == 0
    ledger = (tmp_path / "search" / "ledger.jsonl").read_bytes()
    for store in ("pixels", "more", "less"):
        code, _, err = nasgait("search", *words, "--resume", stores[store])
        assert code == 2 and "was begun with another data (" in err, err
    code, _, err = nasgait("search", *words, "--resume", "data.split_seed=1")
    assert code == 2 and ", search_val (" in err, err
    assert nasgait("search", *words, "--resume", stores["same"])[0] == 0
    assert (tmp_path / "search" / "ledger.jsonl").read_bytes() == ledger
