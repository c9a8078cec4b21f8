"""What a run is about to do, with every input of every stage checked."""

import importlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from nasgait.config.schema import ExperimentConfig, TrainConfig
from nasgait.data.prepare import check_source, is_complete
from nasgait.data.split import split
from nasgait.data.store import GaitStore
from nasgait.engine.distributed import pick_device
from nasgait.engine.precision import autocast
from nasgait.errors import ConfigError, DataError
from nasgait.evaluation.submission import read_truth

STATE_BYTES = 12
"""Bytes in a checkpoint for each parameter: the weight and two moments of the optimizer."""


def plan(config: ExperimentConfig, out: Path) -> Iterator[str]:
    """The plan, a line for each stage.

    Raises a NasgaitError for the first input that cannot be used; nothing is
    written and nothing started.
    """
    device = pick_device(config.device)
    for recipe in recipes(config):
        autocast(device, recipe.precision)
    space = importlib.import_module("search_spaces").load_space(config.space)
    budget = importlib.import_module("search_spaces.budget").budget_of(space, config.search)
    entries = importlib.import_module("retrain.lineup").lineup(config)
    check_evaluation(config)
    parameters = sum(parameter.numel() for parameter in space.supernet().parameters())
    yield f"run {config.name} in {out}, on {device}"
    yield f"data: {check_source(config.data)}"
    if is_complete(config.data.store):
        yield identities(config)
    search = config.search
    yield (
        f"supernet: {space.name}, {parameters / 1e6:.2f} M parameters, "
        f"{recipe_line(config.supernet)}, {disk(parameters, config.supernet)}"
    )
    limits = ", ".join(f"{name} <= {limit:g}" for name, limit in budget.limits.items()) or "none"
    yield (
        f"search: at most {search.population * (1 + search.max_epochs)} architectures, "
        f"budget {limits}, scored by leave-one-out {search.objective} on search-val identities"
    )
    # The searched network is not known yet; it is one more beside the others.
    networks = ["searched", *(entry.name for entry in entries)]
    yield (
        f"retrain: {len(networks)} networks x {config.seeds} seeds, {config.jobs} at a time: "
        f"{', '.join(networks)}; {recipe_line(config.retrain)}"
    )
    yield f"evaluate: {config.evaluation.protocol}; report: {out / 'report' / 'index.html'}"
    yield f"disk: {shutil.disk_usage(existing(out)).free / 1e9:.1f} GB free"


def recipes(config: ExperimentConfig) -> list[TrainConfig]:
    """Every recipe that the run follows."""
    own = [baseline.recipe for baseline in config.baselines if baseline.recipe]
    return [config.supernet, config.retrain, *own]


def check_evaluation(config: ExperimentConfig) -> None:
    """Refuse a truth file that cannot be read, or one that the protocol has no use for."""
    if config.evaluation.truth is None:
        return
    if config.evaluation.protocol != "grew":
        raise ConfigError("evaluation.truth: only the protocol grew has unlabelled probes")
    read_truth(config.evaluation.truth)


def identities(config: ExperimentConfig) -> str:
    """How many identities serve for what.

    Raises DataError when there are none to search on or to test on, ConfigError
    when a batch asks for more than there are.
    """
    store = GaitStore.open(config.data.store)
    parts = split(store, config.data.search_val, config.data.split_seed)
    counts = {
        name: len(
            {store.sequences[i].label for i in getattr(parts, name) if store.sequences[i].labelled}
        )
        for name in ("train", "search_val", "test")
    }
    for name, count in counts.items():
        if count < 2:
            raise DataError(f"{config.data.store}: {count} identities for {name}; needs 2 or more")
    if config.supernet.batch.ids > counts["train"]:
        raise ConfigError(
            f"supernet.batch.ids {config.supernet.batch.ids}: there are {counts['train']} training "
            "identities; lower it or data.search_val"
        )
    for recipe in recipes(config)[1:]:
        if recipe.batch.ids > counts["train"] + counts["search_val"]:
            raise ConfigError(
                f"batch.ids {recipe.batch.ids} of a final network: there are "
                f"{counts['train'] + counts['search_val']} identities to train on"
            )
    return "identities: " + ", ".join(f"{count} {name}" for name, count in counts.items())


def recipe_line(recipe: TrainConfig) -> str:
    """A recipe in short."""
    batch = recipe.batch
    return (
        f"{recipe.steps} steps of {batch.ids} x {batch.seqs} sequences x {batch.frames} frames "
        f"in {recipe.precision}"
    )


def disk(parameters: int, recipe: TrainConfig) -> str:
    """The disk that a training's checkpoints take."""
    return f"{parameters * STATE_BYTES * (recipe.keep + 1) / 1e6:.0f} MB of checkpoints"


def existing(path: Path) -> Path:
    """The nearest folder above ``path`` that exists."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path
