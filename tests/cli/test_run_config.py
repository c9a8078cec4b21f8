"""``nasgait run`` goes on with the configuration it began with: every key of it but a few."""

from dataclasses import asdict, fields, is_dataclass, replace
from typing import get_args

import pytest

from nasgait.cli.pipeline import Pipeline
from nasgait.cli.run_dir import (
    arrows,
    forget_failed_start,
    refuse_other_config,
    refuse_other_store,
)
from nasgait.config.differences import differences
from nasgait.config.load import dump_config, load_config
from nasgait.config.schema import (
    BaselineConfig,
    BatchConfig,
    DataConfig,
    EvaluationConfig,
    ExperimentConfig,
    RayConfig,
    TrainConfig,
)
from nasgait.config.schema.data import SourceConfig, SynthConfig
from nasgait.core.errors import ConfigError, DataError
from nasgait.data.store import GaitStore
from nasgait.data.synthetic.dataset import write_dataset

RESUMED = (
    "steps",  # CONFIG's schedules are multi-step
    "precision",
    "optimizer.lr",
    "optimizer.clip_norm",
    "optimizer.clip_value",
    "checkpoint_every",
    "keep",
    "log_every",
)
FREE = {
    "data.workers",
    "data.on_damage",
    "search.backend",
    *(f"search.ray.{f.name}" for f in fields(RayConfig)),
    *(f"{recipe}.{key}" for recipe in ("supernet", "retrain", "baselines.0.recipe")
      for key in RESUMED),
}  # fmt: skip
"""As documented: what works on a run, not what comes out of it, and what a training that is not
finished can go on with."""

CONFIG = ExperimentConfig(
    "mine",
    DataConfig("store", synth=SynthConfig(), source=SourceConfig("grew", "raw")),
    baselines=(
        BaselineConfig("gaitset-nano", recipe=TrainConfig(), evaluation=EvaluationConfig()),
        BaselineConfig("gaitset-nano", name="wide", settings={"channels": [8, 16, 32]}),
    ),
)


def another(value, kind):
    """A value of the same kind that is not this one."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value / 2 + 0.125
    if isinstance(value, dict):
        return {**value, "more": 1}
    if isinstance(value, tuple):
        return (*value, *value[:1]) if value else ("rank1",)
    if value is None:
        return 7
    return next((str(word) for word in get_args(kind) if word != value), f"{value}-other")


def variants(config, path=""):
    """(dotted key, the configuration with another value there) for every key there is."""
    for entry in fields(config):
        value, key = getattr(config, entry.name), f"{path}{entry.name}"
        if is_dataclass(value):
            inner = list(variants(value, f"{key}."))
        elif isinstance(value, tuple) and value and is_dataclass(value[0]):
            inner = [
                (name, (*value[:i], changed, *value[i + 1 :]))
                for i, one in enumerate(value)
                for name, changed in variants(one, f"{key}.{i}.")
            ]
        else:
            inner = [(key, another(value, entry.type))]
        for name, changed in inner:
            yield name, replace(config, **{entry.name: changed})


VARIANTS = dict(variants(CONFIG))


@pytest.fixture
def begun(tmp_path):
    (tmp_path / "config.yaml").write_text(dump_config(CONFIG))
    return tmp_path


def refusal(out, config) -> str | None:
    try:
        refuse_other_config(Pipeline(config, out, 1))
    except ConfigError as error:
        assert str(error).startswith(f"--out {out}: was run with another configuration (")
        return str(error)
    return None


def test_there_is_another_value_for_every_key():
    assert len(VARIANTS) > 150 and set(VARIANTS) > FREE
    assert all(config != CONFIG for config in VARIANTS.values())
    for key in ("seed", "supernet.loss.triplet.margin", "search.calibration.sequences",
                "baselines.1.settings", "data.source.bits", "pretrain.views.frames"):  # fmt: skip
        assert key in VARIANTS


def test_written_and_read_it_is_the_same(begun):
    assert load_config(begun / "config.yaml") == CONFIG
    assert refusal(begun, CONFIG) is None


@pytest.mark.parametrize("part", [field.name for field in fields(ExperimentConfig)])
def test_every_key_but_the_free_ones_binds(begun, part, monkeypatch):
    read = load_config(begun / "config.yaml")  # once: it is the same for every key
    monkeypatch.setattr("nasgait.cli.run_dir.load_recorded", lambda path: read)
    keys = [key for key in VARIANTS if key.split(".")[0] == part]
    assert keys
    for key in keys:
        said = refusal(begun, VARIANTS[key])
        if key in FREE:
            assert said is None, key
        else:
            shown = key.removesuffix(".settings")  # of which the single settings are told
            assert said is not None and f"({shown}" in said and " -> " in said, key


def test_baselines_whose_recipes_go_or_come_bind(begun):
    first, second = CONFIG.baselines
    for baselines in ((), (replace(first, recipe=None), second), (second,)):
        said = refusal(begun, replace(CONFIG, baselines=baselines))
        assert said is not None and "(baselines.0." in said and " -> None" in said


@pytest.mark.parametrize(
    ("changes", "free"),
    [
        ({"optimizer": {"lr": 0.01}}, True),
        ({"keep": 9, "steps": 90}, True),
        ({"batch": {"ids": 3}}, False),
    ],
)
def test_keys_of_retrain_that_a_baseline_changes_are_resumed_like_it(tmp_path, changes, free):
    def config(**own):
        return replace(CONFIG, baselines=(BaselineConfig("gaitset-nano", retrain=own),))

    (tmp_path / "config.yaml").write_text(dump_config(config(optimizer={"lr": 0.1})))
    said = refusal(tmp_path, config(**({"optimizer": {"lr": 0.1}} | changes)))
    assert (said is None) == free
    if not free:
        assert "baselines.0.retrain.batch.ids: None -> 3" in said


def test_all_free_keys_at_once_hide_nothing(begun):
    free = replace(
        CONFIG,
        data=replace(CONFIG.data, workers=3),
        search=replace(CONFIG.search, backend="ray", ray=RayConfig(5, 1, 0.5, "auto", 9)),
    )
    assert refusal(begun, free) is None
    said = refusal(begun, replace(free, seed=5))
    assert said is not None and "(seed: 0 -> 5)" in said


def test_what_differs_is_told_in_words():
    other = replace(
        CONFIG,
        seed=5,
        data=replace(CONFIG.data, search_val=4),
        search=replace(CONFIG.search, objectives=("rank1", "macs")),
        baselines=CONFIG.baselines[:1],
    )
    told = arrows(differences(asdict(CONFIG), asdict(other)))
    assert told.startswith(
        "data.search_val: 0.2 -> 4, seed: 0 -> 5, "
        "search.objectives: ('map',) -> ('rank1', 'macs'), "
    )
    assert "baselines.1.model: gaitset-nano -> None" in told
    assert "baselines.1.settings.channels: [8, 16, 32] -> None" in told
    assert differences(asdict(CONFIG), asdict(CONFIG)) == {}


def test_four_differences_are_named_and_the_rest_is_counted(begun):
    batch = BatchConfig(ids=3, seqs=3, frames=3)
    loop = replace(CONFIG.supernet, batch=batch)
    other = replace(CONFIG, seed=1, name="x", threads=1, supernet=loop)
    said = refusal(begun, other)
    assert said is not None and " and 2 more)" in said and said.count(" -> ") == 4
    said = refusal(begun, replace(other, name="mine", threads=0))
    assert said is not None and said.count(" -> ") == 4 and "more)" not in said


TRACES = ("config.yaml", ".lock", "sheet.png", "retrain/wide/seed-0/log.txt", "supernet/.lock")


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("done", ["", "supernet/metrics.jsonl", "retrain/wide/seed-0/result.json"])
def test_a_run_that_was_refused_leaves_its_folder_free(tmp_path, done, inside):
    out = tmp_path / "run"
    store = out / "data" / "store" if inside else tmp_path / "store"
    config = replace(CONFIG, data=replace(CONFIG.data, store=str(store)))
    pipeline = Pipeline(config, out, 1)
    for name in (*TRACES, *([done] if done else [])):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("x")
    store.mkdir(parents=True)
    (store / "meta.json").write_text("{}")
    (out / ".mine").write_text("x")
    before = {path for path in out.rglob("*") if path.is_file()}
    forget_failed_start(pipeline)
    left = {path for path in out.rglob("*") if path.is_file()}
    assert (store / "meta.json").exists()
    if done:
        assert left == before
    else:
        log = out / "retrain" / "wide" / "seed-0" / "log.txt"  # which the error names
        assert left == {log, out / ".mine", *([store / "meta.json"] if inside else [])}
        assert not (out / "supernet").exists()
        refuse_other_config(Pipeline(replace(config, seed=9), out, 1))


def test_a_run_keeps_to_the_store_that_it_was_begun_with(tmp_path):
    """Else identities that trained the supernet may come to score it."""

    def store(ids):
        path = tmp_path / f"store-{ids}"
        write_dataset(path, "wild-mini", ids, 1, 0, workers=1)
        return GaitStore.open(path)

    pipeline, small = Pipeline(CONFIG, tmp_path, 1), store(8)
    refuse_other_store(pipeline, small)
    refuse_other_store(pipeline, GaitStore.open(small.path, "skip"))
    with pytest.raises(
        DataError, match=r"begun with another content .* \(\d+ sequences, now \d+\)"
    ):
        refuse_other_store(pipeline, store(9))


def test_a_run_directory_that_holds_anything_else_is_refused(tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    (out / "thesis.tex").write_text("x")
    for store in (out / "store", tmp_path / "store"):
        config = replace(CONFIG, data=replace(CONFIG.data, store=str(store)))
        with pytest.raises(ConfigError, match="is not empty and no run"):
            refuse_other_config(Pipeline(config, out, 1))
