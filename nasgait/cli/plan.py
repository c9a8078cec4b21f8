"""What a run is about to do, with every input of every stage checked."""

import importlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch

from nasgait.baselines import registry
from nasgait.config.schema import EvaluationConfig, ExperimentConfig, TrainConfig
from nasgait.core.distributed import pick_device
from nasgait.core.errors import ConfigError, DataError
from nasgait.core.precision import autocast
from nasgait.data.prepare import check_source, is_complete
from nasgait.data.sampler import check_batch, frames_in_words
from nasgait.data.split import split_as
from nasgait.data.store import GaitStore
from nasgait.data.transforms import reduction
from nasgait.evaluation.options import check_options, check_sequences, evaluated_indices
from nasgait.training.recipe import check_neck, check_recipe

STATE_BYTES = 12
"""Bytes in a checkpoint for each parameter: the weight and two moments of the optimizer."""

PAIRED = ("protocol", "probes", "truth")
"""Settings of an evaluation that decide which sequences are probes."""


def plan(config: ExperimentConfig, out: Path, nproc: int = 1) -> Iterator[str]:
    """The plan, a line for each stage.

    Raises a NasgaitError for the first input that cannot be used; nothing is
    written and nothing started.
    """
    device = pick_device(config.device, nproc - 1)
    check_recipes(config, device, nproc)
    if not os.access(existing(out), os.W_OK | os.X_OK):
        raise ConfigError(f"--out {out}: {existing(out)} cannot be written to")
    searching = list(search_lines(config)) if config.space is not None else []
    entries = importlib.import_module("retrain.networks").lineup(config)
    check_evaluation(config)
    yield f"run {config.name} in {out}, on {device}"
    yield f"data: {check_source(config.data)}"
    if is_complete(config.data.store):
        counts = check_store(config, GaitStore.open(config.data.store), nproc)
        yield "identities: " + ", ".join(f"{count} {name}" for name, count in counts.items())
    yield from searching
    # The searched network is not known yet; it is one more beside the others.
    networks = [*(["searched"] if searching else []), *(entry.name for entry in entries)]
    recipe = recipes(config).get("retrain")
    yield (
        f"retrain: {len(networks)} networks x {config.seeds} seeds, {config.jobs} at a time: "
        f"{', '.join(networks)}; {recipe_line(recipe) if recipe else 'each by its own recipe'}"
    )
    yield f"evaluate: {config.evaluation.protocol}; report: {out / 'report' / 'index.html'}"
    yield f"disk: {shutil.disk_usage(existing(out)).free / 1e9:.1f} GB free"


def search_lines(config: ExperimentConfig) -> Iterator[str]:
    """The plan of supernet and search."""
    space = importlib.import_module("search_spaces").load_space(config.space)
    budget = importlib.import_module("supernet.search").evolution_of(config, space).budget
    parameters = sum(parameter.numel() for parameter in space.supernet().parameters())
    yield (
        f"supernet: {space.name}, {parameters / 1e6:.2f} M parameters, "
        f"{recipe_line(config.supernet)}, {disk(parameters, config.supernet)}"
    )
    search = config.search
    asked = [f"{name} <= {limit:g}" for name, limit in budget.limits.items()]
    if search.max_latency is not None:
        asked.append(f"latency <= {1000 * search.max_latency:g} ms")
    limits = ", ".join(asked) or "none"
    workers = f"; {search.ray.workers} workers on Ray score" if search.backend == "ray" else ""
    yield (
        f"search: at most {search.population * (1 + search.max_epochs)} architectures, "
        f"budget {limits}, for {' and '.join(search.objectives)}; rates are leave-one-out on "
        f"search-val identities{workers}"
    )


def recipes(config: ExperimentConfig) -> dict[str, TrainConfig]:
    """Every recipe that the run follows, by its key."""
    shared: dict[str, TrainConfig] = {}
    if config.space is not None:
        shared["supernet"] = config.supernet
    if config.space is not None or any(b.recipe is None for b in config.baselines):
        shared["retrain"] = config.retrain
    own = {
        f"baselines.{i}.recipe": baseline.recipe
        for i, baseline in enumerate(config.baselines)
        if baseline.recipe
    }
    return shared | own


def check_recipes(config: ExperimentConfig, device: torch.device, nproc: int) -> None:
    """Refuse arithmetic that the device lacks, losses and changes that cannot be."""
    if nproc < 1:
        raise ConfigError(f"--nproc {nproc}: must be 1 or more")
    for evaluation in evaluations(config):
        autocast(device, evaluation.precision)
    if config.space is not None:
        importlib.import_module("supernet.search").check_backend(config)
    for key, recipe in recipes(config).items():
        check_recipe(key, recipe, device)
    for i, baseline in enumerate(config.baselines):
        key = f"baselines.{i}.recipe" if baseline.recipe else "retrain"
        network = registry.build(baseline.model, **baseline.settings)
        check_neck(key, baseline.recipe or config.retrain, network)
    if config.freeze != "nothing":
        raise ConfigError(
            "freeze: final networks of a run start afresh; use nasgait retrain --init"
        )
    titles = [baseline.title for baseline in config.baselines]
    if len(set(titles)) < len(titles):
        raise ConfigError("baselines: a model is listed twice; give each a name of its own")


def check_evaluation(config: ExperimentConfig) -> None:
    """Refuse settings that a protocol has no use for, and files that cannot be read."""
    for evaluation in evaluations(config):
        check_options(evaluation)
    for i, baseline in enumerate(config.baselines):
        for key in PAIRED if baseline.evaluation else ():
            wanted, found = (getattr(e, key) for e in (config.evaluation, baseline.evaluation))
            if found != wanted:
                raise ConfigError(
                    f"baselines.{i}.evaluation.{key}: is {found}, evaluation.{key} is {wanted}; "
                    "the networks of a run are compared probe by probe, so give the same"
                )


def evaluations(config: ExperimentConfig) -> list[EvaluationConfig]:
    """How the networks of the run are judged, and those that are judged in another way."""
    return [config.evaluation, *(b.evaluation for b in config.baselines if b.evaluation)]


def check_store(config: ExperimentConfig, store: GaitStore, nproc: int) -> dict[str, int]:
    """Hold the store against every stage; returns the identities for each purpose.

    Raises DataError when there are none to search on or to test on, ConfigError
    when a batch asks for more than there are or frames do not fit a network.
    """
    parts = split_as(store, config.data)
    counts = {
        name: len({s.label for s in map(store.sequences.__getitem__, indices) if s.labelled})
        for name, indices in (
            ("train", parts.train),
            ("search_val", parts.search_val),
            ("test", parts.test),
        )
    }
    for name, count in counts.items():
        if count < 2 and (name != "search_val" or config.space is not None):
            raise DataError(f"{store.path}: {count} identities for {name}; needs 2 or more")
    if config.space is not None:
        importlib.import_module("supernet.scoring.scorer").scored_sequences(
            store, parts, config.search.max_sequences
        )
    for key, recipe in recipes(config).items():
        final = round(config.label_rate * (counts["train"] + counts["search_val"]))
        ranks = nproc if key == "supernet" or config.jobs == 1 else 1
        try:
            check_batch(recipe.batch, counts["train"] if key == "supernet" else final, ranks)
        except ConfigError as error:
            raise ConfigError(f"{key}.batch: {error}") from None
    sizes = [registry.build(b.model, **b.settings).size for b in config.baselines]
    if config.space is not None:
        sizes.append(importlib.import_module("search_spaces").load_space(config.space).size)
    for size in sizes:
        reduction(store.size, size)
    for evaluation in evaluations(config):
        chosen = evaluated_indices(store, parts.test, evaluation)
        check_sequences(evaluation, [store.sequences[i] for i in chosen])
    return counts


def recipe_line(recipe: TrainConfig) -> str:
    """A recipe in short."""
    batch = recipe.batch
    return (
        f"{recipe.steps} steps of {batch.ids} x {batch.seqs} sequences x {frames_in_words(batch)} "
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
