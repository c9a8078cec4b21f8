"""Configuration files: what is read, what is refused and how it is told."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nasgait.config import load
from nasgait.config.load import dump_config, load_config, load_recorded, read_yaml, validate
from nasgait.config.renamed import RENAMED
from nasgait.config.schema import (
    DataConfig,
    ExperimentConfig,
    OptimizerConfig,
    PretrainConfig,
    RayConfig,
    SearchConfig,
)
from nasgait.core.errors import ConfigError

SMALL = "name: walk\ndata: {store: there}\n"


@pytest.fixture
def write(tmp_path):
    def to(text, name="walk.yaml"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return to


def fault(*args, **kwargs):
    with pytest.raises(ConfigError) as caught:
        load_config(*args, **kwargs)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_defaults_fill_the_rest(write):
    config = load_config(write(SMALL))
    assert config == ExperimentConfig(name="walk", data=DataConfig(store="there"))


def test_exponents_without_a_dot_are_numbers(write):
    text = SMALL + "supernet: {optimizer: {lr: 1e-4, weight_decay: 5E-05}}\nsearch: {max_macs: 2e7}"
    config = load_config(write(text))
    assert config.supernet.optimizer.lr == 1e-4
    assert config.supernet.optimizer.weight_decay == 5e-5
    assert config.search.max_macs == 2e7


@pytest.mark.parametrize(
    "setting",
    ["population: 0", "top_k: 0", "batches_per_generation: 0", "lookahead: 0", "candidates: 0",
     "mutations: -1", "crossovers: -1", "max_epochs: -1", "mutation_prob: 1.5"],
)  # fmt: skip
def test_numbers_of_the_search_are_bounded(write, setting):
    key = setting.partition(":")[0]
    assert f"search.{key}" in fault(write(SMALL + f"search: {{{setting}}}"))


@pytest.mark.parametrize("number", ["1", "-1.5", "1e4", "+1E-4", ".5e3", "1.e2", "-2.5e+07"])
def test_numbers_read_as_python_reads_them(write, number):
    assert read_yaml(write(f"x: {number}"))["x"] == float(number)


@pytest.mark.parametrize("text", ["e4", "1e", "2024-01-01", "nano:0-1-2", "1e4x", "'1e4'"])
def test_other_text_stays_text(write, text):
    assert read_yaml(write(f"x: {text}"))["x"] == text.strip("'")


def test_a_quoted_number_is_not_a_number(write):
    assert "supernet.steps: must be a valid integer, not '5'" in fault(
        write(SMALL + "supernet: {steps: '5'}")
    )
    assert "search.max_macs" in fault(write(SMALL + "search: {max_macs: '2e7'}"))


@pytest.mark.parametrize(
    ("text", "number"), [("40M", 40e6), ("2.5g", 2.5e9), ("3K", 3000), ("1T", 1e12), ("7", 7)]
)
def test_budgets_take_a_suffix(write, text, number):
    config = load_config(write(SMALL + f"search: {{max_macs: {text}, max_params: {text}}}"))
    assert config.search.max_macs == config.search.max_params == number


@pytest.mark.parametrize("text", ["M", "-3M", "0G", "4x", "nanM", "infK"])
def test_other_budgets_are_refused(write, text):
    wrong = fault(write(SMALL + f"search: {{max_macs: {text}}}"))
    assert "search.max_macs: " in wrong and repr(text) in wrong


@pytest.mark.parametrize("value", ["yes", "2.5", "[3]", "null", "{a: 1}"])
def test_only_an_integer_is_a_count(write, value):
    assert "supernet.steps: must be" in fault(write(SMALL + f"supernet: {{steps: {value}}}"))


def with_old_keys(values):
    """A search section with the old keys of the new ones given."""
    old = {new: old.rpartition(".")[2] for old, new in RENAMED.items()}
    return {old[f"search.{key}"]: value for key, value in values.items()}


def test_renamed_keys_are_refused_with_their_new_names(write):
    in_file = with_old_keys({"batches_per_generation": 1}) | {"population": 0}
    overrides = with_old_keys({"lookahead": 1, "candidates": 8})
    faults = fault(
        write(SMALL + yaml.dump({"search": in_file})),
        [f"search.{key}={value}" for key, value in overrides.items()],
    )
    assert "search.population: must be" in faults
    for old, new in RENAMED.items():
        assert not old.startswith("search.") or f"{old}: is now {new}" in faults


def test_a_recorded_configuration_may_have_old_keys(write):
    old = with_old_keys({"batches_per_generation": 1, "lookahead": 2}) | {"ray": {"workers": 3}}
    config = load_recorded(write(SMALL + yaml.dump({"search": old})))
    search = SearchConfig(batches_per_generation=1, lookahead=2, ray=RayConfig(workers=3))
    assert config == ExperimentConfig("walk", DataConfig("there"), search=search)
    assert load_recorded(write(dump_config(config))) == config
    with pytest.raises(ConfigError, match=r"search\.populatoin: unknown key"):
        load_recorded(write(SMALL + "search: {populatoin: 1}\n"))


def test_every_renamed_key_has_a_successor():
    default = dump_config(ExperimentConfig("walk", DataConfig("there")))
    known = yaml.safe_load(default)
    for old, new in RENAMED.items():
        section, _, key = new.rpartition(".")
        assert old.rpartition(".")[0] == section
        here = known
        for part in filter(None, section.split(".")):
            here = here[part]
        assert key in here and old.rpartition(".")[2] not in here


def test_all_faults_at_once(write):
    path = write(
        "data: {synht: {}, search_val: .inf}\n"
        "supernet: {optimizer: {kind: adm}}\n"
        "baselines: [{model: gaitset, recipe: {stps: 3}}, 7]\n"
        "supernett: 3\n"
    )
    message = fault(path, ["seeds=0", "nonsense"])
    for part in [
        str(path),
        "name: missing",
        "data.synht: unknown key, did you mean 'synth'?",
        "data.search_val: must be a finite number",
        "supernet.optimizer.kind: must be 'sgd', 'adam' or 'adamw', not 'adm', meant 'adam'?",
        "baselines.0.recipe.stps: unknown key, did you mean 'steps'?",
        "baselines.1: must be a section with keys, not 7",
        "supernett: unknown key, did you mean 'supernet'?",
        "seeds: must be greater than or equal to 1, not 0",
        "override 'nonsense': write it as key=value",
    ]:
        assert part in message


def test_an_unlike_key_lists_the_known_ones(write):
    assert "known are store, synth, source" in fault(write("name: w\ndata: {qqqq: 1}"))


def test_a_key_given_twice_is_refused_with_its_lines(write):
    path = write(SMALL + "supernet:\n  steps: 3\n  steps: 4\nname: again\n")
    message = fault(path)
    assert f"{path}:5: key 'steps' given twice" in message
    assert f"{path}:6: key 'name' given twice" in message


def test_anchors_and_merge_keys(write):
    text = SMALL + "supernet: &fast\n  steps: 7\n  keep: 1\nretrain:\n  <<: *fast\n  steps: 9\n"
    config = load_config(write(text))
    assert (config.supernet.steps, config.retrain.steps, config.retrain.keep) == (7, 9, 1)


def test_an_override_leaves_the_other_user_of_an_anchor_alone(write):
    text = SMALL + "supernet: &same {steps: 7}\nretrain: *same\n"
    config = load_config(write(text), ["supernet.steps=8"])
    assert (config.supernet.steps, config.retrain.steps) == (8, 7)


def test_overrides(write):
    config = load_config(
        write(SMALL + "baselines: [{model: gaitset}, {model: gaitbase}]"),
        [
            "supernet.steps=500",
            "supernet.optimizer.lr=1e-3",
            "data.synth.ids=12",
            "baselines.1.model=gaitset-nano",
            "baselines.1.recipe.steps=4",
            "baselines.2.model=third",
            "retrain.schedule.milestones=[1, 2]",
            "evaluation.truth=a=b.csv",
            "data.search_val=12",
        ],
    )
    assert config.supernet.steps == 500
    assert config.supernet.optimizer.lr == 1e-3
    assert config.data.synth is not None and config.data.synth.ids == 12
    assert [entry.model for entry in config.baselines] == ["gaitset", "gaitset-nano", "third"]
    assert config.baselines[1].recipe is not None and config.baselines[1].recipe.steps == 4
    assert config.retrain.schedule.milestones == (1, 2)
    assert config.evaluation.truth == "a=b.csv"


def test_an_override_starts_a_list_that_the_file_leaves_out(write):
    config = load_config(write(SMALL), ["baselines.0.model=gaitset"])
    assert config.baselines[0].model == "gaitset"


def test_an_override_takes_a_default_back(write):
    text = SMALL + "search: {max_macs: 2e7}"
    assert load_config(write(text), ["search.max_macs=null"]).search.max_macs is None


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("steps", "write it as key=value"),
        ("=3", "write it as key=value"),
        ("a..b=3", "write it as key=value"),
        ("supernet.stps=3", "supernet.stps: unknown key, did you mean 'steps'?"),
        ("name.first=3", "name is a text, it has no keys"),
        ("baselines.3.model=x", "baselines is a list of 1"),
        ("baselines.first.model=x", "'first' must be a number from 0 to 1"),
        ("seeds=[1", "not YAML"),
        ("seeds={a: 1, a: 2}", "key 'a' given twice"),
    ],
)
def test_wrong_overrides(write, override, told):
    assert told in fault(write(SMALL + "baselines: [{model: gaitset}]"), [override])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "the file is empty"),
        (b"- 1\n", "found a list"),
        (b"a: [1\n", ":2: not YAML"),
        (b"a: !!python/object:os.system {}\n", "not YAML: could not determine a constructor"),
        (b"a: \x00\n", "not YAML"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b"a: &a [*a]\n", "not a plain configuration"),
        (b"a: !!binary aGk=\n", "not a plain configuration"),
        (b"a: " + b"[" * 5000, "not"),
    ],
)
def test_unreadable_files(tmp_path, content, told):
    path = tmp_path / "broken.yaml"
    path.write_bytes(content)
    message = fault(path)
    assert str(path) in message and told in message


def test_missing_file_and_folder(tmp_path):
    assert "no such file" in fault(tmp_path / "none.yaml")
    assert "is a directory" in fault(tmp_path)


def test_a_bare_name_is_looked_up_in_the_config_folders(write, tmp_path, monkeypatch):
    monkeypatch.setattr(load, "config_folders", lambda: [tmp_path / "nowhere", tmp_path])
    write(SMALL, "experiment.yaml")
    assert load_config("experiment").name == "walk"
    assert "did you mean 'experiment'?" in fault("experimnt")


def test_a_key_of_pre_training_given_alone_leaves_the_others(write):
    """So that ``pretrain.optimizer.lr=0.01`` lowers the rate on a resume, and nothing else."""
    config = load_config(write(SMALL), ["pretrain.optimizer.lr=0.01"])
    assert dataclasses.replace(config.pretrain.optimizer, lr=0.03) == PretrainConfig().optimizer


def test_config_folders_hold_the_checkout_and_the_installed_copies():
    folders = load.config_folders()
    assert folders[0].name == "configs"
    assert all(f.parts[-3:] == ("share", "nasgait", "configs") for f in folders[2::2])
    assert folders[1::2] == [folder / "published" for folder in folders[::2]]


@settings(deadline=None)
@example(ExperimentConfig(name="walk", space="步态\u2028", data=DataConfig(store="\x85")))
@given(
    st.builds(
        ExperimentConfig,
        name=st.sampled_from(["walk", "1e-4", "yes", "2024-01-01", "步态", "group/2"]),
        space=st.one_of(
            st.none(), st.text(), st.sampled_from(["1e-4", "yes", "2024-01-01", "null", "0-1"])
        ),
        data=st.builds(DataConfig, store=st.text(), search_val=st.floats(1e-300, 1e300)),
    )
)
def test_a_dumped_config_loads_back_equal(config):
    text = dump_config(config)
    assert validate(load.parse_yaml(text, "text"), ExperimentConfig, "text") == config


def test_the_dump_is_plain_yaml(write):
    config = load_config(write(SMALL), ["baselines.0.model=x", "supernet.schedule.milestones=[3]"])
    data = yaml.safe_load(dump_config(config))
    assert data["supernet"]["schedule"]["milestones"] == [3]
    assert data["baselines"][0]["model"] == "x" and data["baselines"][0]["recipe"] is None
    assert list(data) == [field.name for field in dataclasses.fields(config)]


def test_another_schema(write):
    @dataclass(frozen=True)
    class Space:
        channels: tuple[int, ...]
        optimizer: OptimizerConfig | None = None

    path = write("channels: [1, 2]\noptimizer: {lr: 3}")
    assert load_config(path, schema=Space) == Space((1, 2), OptimizerConfig(lr=3.0))
    message = fault(write("channels: 4\noptimizer: {rl: 3}"), schema=Space)
    assert "channels: must be a list, not 4" in message and "optimizer.rl: unknown key" in message


@pytest.mark.parametrize(
    "path",
    sorted((Path(load.__file__).parents[2] / "configs").rglob("*.yaml")),
    ids=lambda path: path.stem,
)
def test_every_shipped_config_loads_by_its_name(path):
    assert load.find_config(path.stem) == path
    assert load_config(path.stem).name == path.stem
