"""docs/migration.md: every new name exists, every published key has its line."""

import dataclasses
import importlib
import inspect
import json
import re
import shlex
import types
import typing
from pathlib import Path

import yaml

from nasgait.baselines.registry import VARIANTS
from nasgait.cli.main import COMMANDS, main, parse, parser
from nasgait.config.load import load_config, validate
from nasgait.config.schema import ExperimentConfig
from nasgait.core.metrics_log import read_metrics
from retrain.compare import CONDITIONS, LOCAL, METRICS

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "migration.md").read_text()
SECTIONS = (
    "Commands and flags", "Data", "Sampling", "Transforms", "Losses", "Optimiser and schedule",
    "Training and checkpoints", "Networks", "Evaluation", "Search", "SelfGait", "Files",
    "Result tables",
)  # fmt: skip
DROPPED = "dropped, because "


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of the table."""

    before: str
    now: str
    note: str

    @property
    def old(self) -> list[str]:
        return re.findall(r"`([^`]+)`", self.before)

    @property
    def new(self) -> list[str]:
        return [] if self.now.startswith(DROPPED) else re.findall(r"`([^`]+)`", self.now)


def rows() -> list[Row]:
    table = TEXT.split("## The table", 1)[1]
    lines = re.findall(r"^\| (.*) \|$", table, flags=re.M)
    cells = [[cell.strip() for cell in f" {line} ".split(" | ")] for line in lines]
    assert all(len(row) == 3 for row in cells), [row for row in cells if len(row) != 3]
    return [Row(*row) for row in cells if row[0] not in ("before", "---")]


ROWS = rows()
NEW = sorted({token for row in ROWS for token in row.new})
OLD = {token for row in ROWS for token in row.old}


def test_sections_and_shape():
    assert tuple(re.findall(r"^### (.*)$", TEXT, flags=re.M)) == SECTIONS
    for row in ROWS:
        assert row.old or row.before[0].isalpha(), row
        assert row.new or row.now.startswith(DROPPED), row


def test_an_old_name_has_one_line():
    everyone = [token for row in ROWS for token in row.old]
    assert sorted(everyone) == sorted(set(everyone))


def options(command: list[str]) -> set[str]:
    """The flags of ``nasgait`` and a command, perhaps a subcommand."""
    found = parser(command)
    for word in command:
        actions = [a for a in found._actions if isinstance(a.choices, dict)]
        found = actions[0].choices[word]
    return {flag for action in found._actions for flag in action.option_strings}


def check_command(words: list[str]) -> None:
    names = [word for word in words if not word.startswith("-")]
    assert names[0] in COMMANDS, words
    known = options(names)
    assert all(word in known for word in words if word.startswith("-")), words


def check_key(path: str) -> None:
    """A key resolves in the schema, through sections and lists; a value must be allowed."""
    key, _, value = path.partition("=")
    kinds: list[object] = [ExperimentConfig]
    for name in key.split("."):
        fields = {
            field: hint
            for kind in kinds
            if dataclasses.is_dataclass(kind)
            for field, hint in typing.get_type_hints(kind).items()
        }
        assert name in fields, path
        kinds = members(fields[name])
    if value:
        nested: object = yaml.safe_load(value)
        for name in reversed(key.split(".")):
            nested = {name: nested}
        validate({"name": "x", "data": {"store": "y"}} | nested, ExperimentConfig, "migration")


def members(hint: object) -> list[object]:
    """The classes in ``X | None``, ``tuple[X, ...]`` and the like."""
    if typing.get_origin(hint) in (types.UnionType, typing.Union, tuple):
        return [kind for inner in typing.get_args(hint) for kind in members(inner)]
    return [hint]


def produced(tiny_store: Path, folder: Path) -> dict[str, set[str]]:
    """Keys that a short walk writes, by file."""
    config = folder / "tiny.yaml"
    config.write_text(WALK.replace("STORE", str(tiny_store)))
    supernet, search, network = (folder / name for name in ("supernet", "search", "network"))
    words = ["--config", str(config), "--out"]
    assert main(["supernet", *words, str(supernet)]) == 0
    checkpoint = str(supernet / "checkpoints" / "step-000002.pt")
    assert main(["search", *words, str(search), "--supernet", checkpoint]) == 0
    arch = str(search / "best.yaml")
    assert main(["retrain", *words, str(network), "--arch", arch]) == 0
    ledger = (search / "ledger.jsonl").read_text().splitlines()
    metrics = read_metrics(network / "metrics.jsonl")
    return {
        "result.json": set(json.loads((network / "result.json").read_text())),
        "metrics.jsonl": {key for line in metrics for key in line},
        "ledger.jsonl": {key for line in ledger for key in json.loads(line)},
    }


WALK = """
name: tiny
data: {store: STORE, search_val: 4}
threads: 1
supernet: &recipe
  steps: 2
  batch: {ids: 4, seqs: 2, frames: 6}
  precision: float32
  checkpoint_every: 2
  log_every: 1
search: {population: 2, top_k: 1, mutations: 1, crossovers: 1, max_epochs: 0,
         calibration: {sequences: 4}}
retrain: {<<: *recipe, loss: {cross_entropy: {weight: 0.1}}}
evaluate_every: 2
"""


def test_every_new_name_exists(tiny_store, tmp_path):
    keys = produced(tiny_store, tmp_path)
    keys["result.json"] |= {*LOCAL}  # of GREW
    keys["results.json"] = {*keys["result.json"], *METRICS, *CONDITIONS}
    keys["nasgait profile --json"] = {"seconds", "macs", "params"}
    sources = "\n".join(
        path.read_text()
        for package in ("nasgait", "search_spaces", "supernet", "retrain")
        for path in (ROOT / package).rglob("*.py")
    )
    settings = {
        name
        for baseline in VARIANTS.values()
        for name in inspect.signature(baseline.make).parameters
    }
    for token in NEW:
        place, _, name = token.partition(": ")
        if place == "baselines.settings" and name:
            assert name in settings, token
        elif name:
            assert name in keys[place], token
        elif token.startswith("nasgait "):
            check_command(token.split()[1:])
        elif token.startswith("nasgait."):
            module, _, function = token.rpartition(".")
            assert callable(getattr(importlib.import_module(module), function)), token
        elif "/" in token or token.endswith((".yaml", ".json")):
            last = token.rpartition("/")[2].replace("step-N.pt", "step-{step:06d}.pt")
            assert f'"{last}"' in sources, token
        else:
            check_key(token)


def test_commands_of_the_text_are_understood():
    """Each parses, and each key=value of it is a key."""
    lines = re.findall(r"^    (?:\w+=\S+ )?(nasgait .*)$", TEXT, flags=re.M)
    assert len(lines) > 12
    for line in lines:
        words = shlex.split(line)[1:]
        args = parse(parser(words), words)
        for override in getattr(args, "overrides", None) or []:
            check_key(override.partition("=")[0])
    for words in re.findall(r"`nasgait ([a-z]+)[^`]*`", TEXT):
        assert words in COMMANDS


def test_the_translated_config_loads(tmp_path):
    (block,) = re.findall(r"```yaml\n(.*?)```", TEXT, flags=re.S)
    path = tmp_path / "mine.yaml"
    path.write_text(block)
    config = load_config(path)
    assert config.evaluate_every == 10000 and config.retrain.batch.order == "unordered"


def test_files_named_exist():
    cells = [TEXT.split("## The table")[0], *(f"{row.now} {row.note}" for row in ROWS)]
    pattern = r"`((?:docs|configs|nasgait|tests)/[\w./-]+\.(?:py|yaml|yml))`"
    for name in re.findall(pattern, " ".join(cells)):
        assert (ROOT / name).exists(), name


def test_conda_environment():
    environment = yaml.safe_load((ROOT / "docs" / "environment.yml").read_text())
    *plain, pip = environment["dependencies"]
    setup = (ROOT / "setup.cfg").read_text()
    (wanted,) = re.findall(r"python_requires = >=3\.(\d+)", setup)
    (python,) = re.findall(r"python=3\.(\d+)", " ".join(plain))
    assert int(python) >= int(wanted) and "pip" in plain
    for line in pip["pip"]:
        flag, path = line.split()
        assert flag in ("-c", "-e") and (ROOT / "docs" / path).exists(), line


RECORDED = {
    "steps": "trainer_cfg.total_iter",
    "sync_bn": "trainer_cfg.sync_BN",
    "fix_bn": "trainer_cfg.fix_BN",
    "mixed_precision": "trainer_cfg.enable_float16",
    "architecture": "retrain.search_network",
    "train_identities": "data_cfg.num_train",
    "dataset": "data_cfg.dataset_name",
    "eval_metric": "evaluator_cfg.metric",
    "eval_frames_limit": "evaluator_cfg.sampler.frames_all_limit",
    "eval_transform": "evaluator_cfg.transform",
    "train_transform": "trainer_cfg.transform",
    "losses": "loss_cfg",
    "model": "model_cfg",
    "optimizer": "optimizer_cfg",
    "schedule": "scheduler_cfg",
    "sampler": "trainer_cfg.sampler",
    "clip_grad": "trainer_cfg.clip_grad_cfg",
}
"""What the recorded recipes call a published section or key, where they give it another name."""
ABOUT = ("name", "repository")
"""Keys of the record itself."""


def published_keys(value: object, path: str = "") -> set[str]:
    """Paths of all values, ``[]`` for a list of sections."""
    if isinstance(value, dict):
        return {
            key
            for name, inner in value.items()
            for key in published_keys(inner, f"{path}.{name}" if path else RECORDED.get(name, name))
        }
    if isinstance(value, list) and any(isinstance(inner, dict) for inner in value):
        return {key for inner in value for key in published_keys(inner, f"{path}[]")}
    return {path}


def test_every_recorded_hyper_parameter_has_a_line(shared):
    recipes = json.loads((shared / "reference" / "recipes.json").read_text())["recipes"]
    keys = {key for recipe in recipes for key in published_keys(recipe)} - set(ABOUT)
    assert len(keys) > 50
    assert keys <= OLD, sorted(keys - OLD)
    transforms = {
        step["type"]
        for recipe in recipes
        for transform in recipe.get("train_transform") or []
        for step in (transform, *transform.get("trf_cfg", []))
    }
    losses = {
        loss["type"]
        for recipe in recipes
        for loss in (recipe["losses"] if isinstance(recipe["losses"], list) else [recipe["losses"]])
    }
    assert transforms | losses <= OLD
