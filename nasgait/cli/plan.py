"""What a run is about to do, with every input of every stage checked."""

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import torch

import retrain.train
import supernet.search
import supernet.train
from nasgait.config.schema import ExperimentConfig, TrainConfig
from nasgait.core.distributed import pick_device
from nasgait.core.errors import ConfigError, NasgaitError
from nasgait.core.faults import Faults, raise_all
from nasgait.data.facts import DataFacts, Facts
from nasgait.data.prepare import check_source, is_complete
from nasgait.data.store import open_store
from nasgait.report.differences import differences, sentences
from nasgait.training.recipe import in_words, recipe_line
from retrain.networks import FinalNetwork, baseline_networks, final_networks
from search_spaces import load_space

STATE_BYTES = 12
"""Bytes in a checkpoint for each parameter: the weight and two moments of the optimizer."""

PAIRED = ("protocol", "probes", "truth")
"""Settings of an evaluation that decide which sequences are probes."""

RESERVED = re.compile(r"searched|(random|uniform)-\d+")
"""Names of the networks that come from the search space."""


def plan(config: ExperimentConfig, out: Path, nproc: int = 1) -> Iterator[str]:
    """The plan, a line for each stage; nothing is written and nothing started.

    Raises a NasgaitError that names all inputs that cannot be used.
    """
    faults, source, data = Faults(), "", None
    with faults.noted():
        if not os.access(existing(out), os.W_OK | os.X_OK):
            raise ConfigError(f"--out {out}: {existing(out)} cannot be written to")
    with faults.noted():
        source = check_source(config.data)
        data = data_facts(config)
    faults.found += faults_of(config, nproc, data)
    raise_all(faults.found)
    yield f"run {config.name} in {out}, on {pick_device(config.device, nproc - 1)}"
    yield f"data: {source}"
    if data:
        people = {name: data.identities(chosen) for name, chosen in vars(data.split).items()}
        yield "identities: " + ", ".join(f"{count} {name}" for name, count in people.items())
    if config.space is not None:
        yield from search_lines(config)
    yield from network_lines(config)
    yield f"evaluate: {config.evaluation.protocol}; report: {out / 'report' / 'index.html'}"
    yield f"disk: {shutil.disk_usage(existing(out)).free / 1e9:.1f} GB free"


def data_facts(config: ExperimentConfig) -> DataFacts:
    """The facts of the store, or of what it is to be made from."""
    if is_complete(config.data.store):
        return DataFacts.of_store(open_store(config.data), config.data)
    return DataFacts.expected(config.data)


def faults_of(config: ExperimentConfig, nproc: int, data: DataFacts | None) -> list[NasgaitError]:
    """Why the stages of a run would fail, as each of them says it, all at once.

    ``nproc`` are the processes of the supernet, and of each final network when ``jobs`` is 1;
    ``data`` the silhouettes, None where they are not known.
    """
    if nproc < 1:
        return [ConfigError(f"--nproc {nproc}: must be 1 or more")]
    faults, device = Faults(), torch.device("cpu")
    with faults.noted():
        device = pick_device(config.device, nproc - 1)
    shared = Facts(device, nproc, data)
    if config.space is not None:
        faults.found += supernet.train.validate(config, shared)
        faults.found += supernet.search.validate(config, shared)
    networks = baseline_networks(config)
    with faults.noted():
        networks = [*searched_network(config), *networks]
        networks = networks_of(config)
    final = shared if config.jobs == 1 else Facts(device, 1, data)
    faults.found += retrain.train.validate(config, final, networks)
    if data:
        with faults.noted():
            data.require_identities("test", data.split.test)
    with faults.noted():
        check_comparable(config)
    return faults.found


def networks_of(config: ExperimentConfig) -> list[FinalNetwork]:
    """All final networks."""
    return [*searched_network(config), *final_networks(config)]


def searched_network(config: ExperimentConfig) -> list[FinalNetwork]:
    """The first path of the space, in place of the one that is still to be found."""
    if config.space is None:
        return []
    space = load_space(config.space)
    first = str(space.architecture([0] * len(space.choices)))
    return [FinalNetwork("searched", "searched", first)]


def search_lines(config: ExperimentConfig) -> Iterator[str]:
    """The plan of supernet and search."""
    space = load_space(str(config.space))
    budget = supernet.search.evolution_of(config, space).budget
    parameters = sum(parameter.numel() for parameter in space.supernet().parameters())
    size = parameters * STATE_BYTES * (config.supernet.keep + 1)
    yield (
        f"supernet: {space.name}, {parameters / 1e6:.2f} M parameters, "
        f"{recipe_line(config.supernet)}, {size / 1e6:.0f} MB of checkpoints"
    )
    search = config.search
    asked = [f"{name} <= {limit:g}" for name, limit in budget.limits.items()]
    if search.max_latency is not None:
        asked.append(f"latency <= {1000 * search.max_latency:g} ms")
    limits = ", ".join(asked) or "none"
    workers = f"; {search.ray.workers} workers on Ray score" if search.backend == "ray" else ""
    yield (
        f"search: at most {search.population * (1 + search.max_epochs)} architectures, "
        f"budget {limits}, for {' and '.join(search.objectives)}; metrics are leave-one-out on "
        f"search-val identities{workers}"
    )


def network_lines(config: ExperimentConfig) -> Iterator[str]:
    """The plan of the final networks: which, by what recipe each, and what is not alike."""
    networks = networks_of(config)
    recipes = {network.name: network.recipe(config)[1] for network in networks}
    groups: dict[TrainConfig, list[str]] = {}
    for name, recipe in recipes.items():
        groups.setdefault(recipe, []).append(name)
    shared = recipe_line(next(iter(groups))) if len(groups) == 1 else f"{len(groups)} recipes"
    yield (
        f"retrain: {len(networks)} networks x {config.seeds} seeds, {config.jobs} at a time: "
        f"{', '.join(recipes)}; {shared}"
    )
    for recipe, names in groups.items():
        yield f"recipe of {', '.join(names)}: {in_words(recipe)}"
    expected = {
        network.name: [
            {
                "seed": config.seed,
                "steps": recipes[network.name].steps,
                "recipe": asdict(recipes[network.name]),
                "evaluation": asdict(network.evaluation(config)),
            }
        ]
        for network in networks
    }
    yield from sentences(differences(expected))


def check_comparable(config: ExperimentConfig) -> None:
    """Refuse networks that could not be compared, or that a run cannot make: ConfigError."""
    if config.freeze != "nothing":
        raise ConfigError(
            "freeze: final networks of a run start afresh; use nasgait retrain --init"
        )
    titles = [baseline.title for baseline in config.baselines]
    if len(set(titles)) < len(titles):
        raise ConfigError("baselines: a model is listed twice; give each a name of its own")
    for i, title in enumerate(titles):
        if RESERVED.fullmatch(title):
            raise ConfigError(
                f"baselines.{i}.name: {title} is what a run calls a network of its search space; "
                "give another"
            )
    for i, baseline in enumerate(config.baselines):
        for key in PAIRED if baseline.evaluation else ():
            wanted, found = (getattr(e, key) for e in (config.evaluation, baseline.evaluation))
            if found != wanted:
                raise ConfigError(
                    f"baselines.{i}.evaluation.{key}: is {found}, evaluation.{key} is {wanted}; "
                    "the networks of a run are compared probe by probe, so give the same"
                )


def existing(path: Path) -> Path:
    """The nearest folder above ``path`` that exists."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path
