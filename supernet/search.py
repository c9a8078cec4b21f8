"""``nasgait search``: evolution over a trained supernet, within budgets."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from nasgait.config.schema import ExperimentConfig
from nasgait.core import interrupts
from nasgait.core.distributed import joined, share_of_threads
from nasgait.core.errors import ConfigError, NasgaitError
from nasgait.core.faults import Faults, raise_all
from nasgait.core.jsonl import complete_lines
from nasgait.core.memory import peak_memory
from nasgait.core.pool import cores
from nasgait.core.precision import autocast
from nasgait.data.facts import Facts
from nasgait.data.split import Split, split_as
from nasgait.data.store import GaitStore, open_store
from nasgait.profiling.latency import device_name, latency
from nasgait.search.breeding import MeasuredCost
from nasgait.search.budget import Choices
from nasgait.search.evolution import Evolution
from nasgait.search.latency import Latencies
from nasgait.search.ledger import Ledger
from nasgait.search.pareto import write_pareto
from nasgait.search.state import SearchResult, SearchState
from nasgait.search.state import search as evolve
from nasgait.training.output_dir import claim, locked, record
from search_spaces.architecture import save_architecture
from search_spaces.configured import budget_of, space_of
from search_spaces.space import SearchSpace, space_names
from supernet.progress import Progress
from supernet.provenance import Provenance
from supernet.scoring.scorer import Scorer, scored_sequences
from supernet.weights import Weights, load_supernet, warn_of_other_data

logger = logging.getLogger(__name__)

WORKERS_A_CORE = 4
"""Workers for each core at most, where this machine alone scores: each first imports torch."""


@dataclass(frozen=True)
class SearchInputs:
    """All that the search reads, opened and checked."""

    config: ExperimentConfig
    out: Path
    supernet: Path
    weights: Weights
    store: GaitStore
    split: Split
    evolution: Evolution
    provenance: Provenance

    @property
    def space(self) -> SearchSpace:
        """The search space."""
        return self.weights.space


def validate(config: ExperimentConfig, facts: Facts) -> list[NasgaitError]:
    """Why this configuration allows no search: its space, budget, backend or sequences."""
    faults = Faults()
    with faults.noted():
        evolution_of(config, space_of(config, "nasgait search"))
    with faults.noted():
        check_backend(config, facts.device)
    if data := facts.data:
        with faults.noted():
            data.require_identities("search_val", data.split.search_val)
            scored_sequences(data, data.split, config.search.max_sequences)
    return faults.found


def open_inputs(
    config: ExperimentConfig, supernet: Path, out: Path, resume: bool = False
) -> SearchInputs:
    """Open and check every input, and claim ``out``; NasgaitError names all faults."""
    space = space_of(config, "nasgait search")
    store = open_store(config.data)
    raise_all(validate(config, Facts.of_store(store, config.data, config.device)))
    split = split_as(store, config.data)
    weights = load_supernet(supernet, str(config.space))
    warn_of_other_data(weights, store, split)
    provenance = Provenance.of(config, weights, store, split)
    claim(out, resume)
    if complete_lines(out / "ledger.jsonl"):
        provenance.compare(out)
    evolution = evolution_of(config, space)
    return SearchInputs(config, out, supernet, weights, store, split, evolution, provenance)


def check_backend(config: ExperimentConfig, device: torch.device) -> None:
    """Refuse a backend that cannot score here, on ``device``, as asked: ConfigError."""
    search = config.search
    if search.backend == "local":
        autocast(device, search.precision)
        return
    gpus = search.ray.gpus
    if config.device != "auto" and (config.device == "cuda") != (gpus > 0):
        raise ConfigError(
            f"device: {config.device}, but search.ray.gpus is {gpus:g}; give both, or device=auto"
        )
    autocast(torch.device("cuda" if gpus else "cpu"), search.precision)
    workers, most = search.ray.workers, WORKERS_A_CORE * cores()
    if search.ray.address is None and workers > most:
        raise ConfigError(
            f"search.ray.workers: {workers} processes on {cores()} cores would take minutes to "
            f"start and compute no faster; give {most} or fewer, or search.ray.address of a cluster"
        )
    try:
        import supernet.ray.backend  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"search.backend: ray is not usable here ({error}); install ray[tune], or give local"
        ) from error


def evolution_of(
    config: ExperimentConfig, space: SearchSpace, measure: MeasuredCost | None = None
) -> Evolution:
    """The search that is configured; raises BudgetError when nothing meets its budget."""
    return Evolution(budget_of(space, config.search), config.search, config.seed, measure)


def with_latency(inputs: SearchInputs, device: torch.device, ledger: Ledger) -> Evolution:
    """The search, with latencies measured on ``device`` where they are asked for.

    Raises DataError when those already in ``latency.jsonl`` were measured in another way.
    """
    config, space = inputs.config, inputs.space
    search = config.search
    if search.max_latency is None and "latency" not in search.objectives:
        return inputs.evolution
    frames = search.frames or space.frames

    def measured(choices: Choices) -> float:
        network = space.build(space.architecture(choices))
        return latency(network, frames, device=device).median

    conditions: dict[str, int | str] = {
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "frames": frames,
    }
    path = inputs.out / "latency.jsonl"
    measure = Latencies(path, measured, conditions, search.max_latency, ledger.entries)
    return evolution_of(config, space, measure)


def search(
    config: ExperimentConfig, supernet: Path, out: Path, resume: bool = False
) -> SearchResult:
    """Search the trained ``supernet``, rank every generation, write the winner and the front.

    ``ledger.jsonl``, ``pareto.json`` and ``best.yaml`` go to ``out``; ``resume`` continues the
    search there, scoring nothing twice.  Raises NasgaitError naming all faults of the input,
    RunFailed when a worker died too often.
    """
    inputs = open_inputs(config, supernet, out, resume)
    with joined(config.device, config.threads) as world, locked(out):
        result = score_until_done(inputs, world.device)
    write_results(inputs, result)
    if result.ended_early:
        logger.info("ended early: %s", result.ended_early)
    score = result.best.values[config.search.metric]
    arch = inputs.space.architecture(result.best.choices)
    text = "best: %s, %s %.2f %% on search-val identities with the supernet's weights"
    logger.info(text, arch, config.search.metric, score)
    return result


Score = Callable[[SearchState, Progress], None]
"""Scores what a search breeds until it is done, and reports the progress."""


def score_until_done(inputs: SearchInputs, device: torch.device) -> SearchResult:
    """Run the search behind a progress bar; each score is in the ledger at once.

    ``device`` is where latencies and scores of this process are measured.  The folder's logs and
    results stay as they are until the ledger is found to be this search's and a scorer is ready.
    """
    settings = inputs.config.search
    ledger = Ledger.open(inputs.out / "ledger.jsonl")
    most = settings.population * (1 + settings.max_epochs)
    logger.info(
        f"plan: at most {most} architectures, {len(ledger.entries)} scored before; "
        "time and memory follow after the first"
    )
    state = SearchState(with_latency(inputs, device, ledger), ledger)
    backend = on_ray if settings.backend == "ray" else in_this_process
    scorers = settings.ray.workers if settings.backend == "ray" else 1
    # For a search that is done no supernet is loaded and no cluster started.
    scoring = nullcontext() if state.done else backend(inputs, device)
    with scoring as score, Progress(inputs.out, state.evolution, scorers) as progress:
        claim_search_dir(inputs, state)
        state.follow(progress.generation)
        progress.begin(state.scored)
        if score:
            score(state, progress)
        return state.result()


def claim_search_dir(inputs: SearchInputs, state: SearchState) -> None:
    """Record in the folder which search it holds; remove the results that it will replace."""
    out = inputs.out
    if not state.scored:  # what an attempt before the first score left does not bind
        (out / "config.yaml").unlink(missing_ok=True)
        inputs.provenance.write(out)
    record(out, inputs.config)
    if not state.done:
        for result in ("best.yaml", "pareto.json"):
            (out / result).unlink(missing_ok=True)


@contextmanager
def in_this_process(inputs: SearchInputs, device: torch.device) -> Iterator[Score]:
    """Score here, on ``device``."""
    settings = inputs.config.search
    scorer = Scorer(inputs.config, inputs.weights, inputs.store, inputs.split, device)
    text = "scoring: each architecture is recalibrated on %d sequences and scored on %d (%s)"
    logger.info(text, scorer.calibrated_on, len(scorer.indices), settings.precision)

    def score(state: SearchState, progress: Progress) -> None:
        def score_all(
            architectures: Sequence[Choices],
        ) -> Iterator[tuple[Choices, dict[str, float], float]]:
            for choices, metrics, seconds in scorer.score_all(architectures):
                interrupts.check()
                progress.scored(seconds, peak_memory(device))
                yield choices, metrics, seconds

        evolve(state, score_all, settings.chunk)

    yield score


@contextmanager
def on_ray(inputs: SearchInputs, device: torch.device) -> Iterator[Score]:
    """Score by workers on Ray, whose threads are together those of the configuration."""
    # A search in this process goes without Ray, which takes seconds to import.
    from supernet.ray import backend, cluster

    config, settings = inputs.config, inputs.config.search.ray
    threads = share_of_threads(config.threads, settings.workers)
    supernet = inputs.supernet.absolute()
    job = backend.Job(
        config_of_workers(config), supernet, inputs.weights.sha256, inputs.split, threads
    )
    logger.info("scoring: %d workers on Ray, CPU threads of each: %d", settings.workers, threads)
    with cluster.cluster(settings, threads):
        yield partial(backend.score_on_ray, job, inputs.out / "ray")


def config_of_workers(config: ExperimentConfig) -> ExperimentConfig:
    """The same with absolute paths, and without GPUs if the workers get none."""
    space = str(config.space)
    if space not in space_names():
        space = str(Path(space).expanduser().absolute())
    data = replace(config.data, store=str(Path(config.data.store).absolute()))
    device = config.device if config.search.ray.gpus else "cpu"
    return replace(config, space=space, data=data, device=device)


def write_results(inputs: SearchInputs, result: SearchResult) -> None:
    """Write ``pareto.json``, then ``best.yaml``, whose presence says that the search is over."""
    objectives, space = inputs.evolution.objectives, inputs.space
    # A search by one metric has a front as well: what it costs to come close.
    costs = objectives.costs if len(objectives.names) > 1 else ("macs", "params")
    write_pareto(inputs.out / "pareto.json", result.ranking, objectives.metrics, costs)
    winner = result.best
    save_architecture(
        inputs.out / "best.yaml",
        space,
        space.architecture(winner.choices),
        frames=inputs.config.search.frames,
        score={"objective": objectives.metric, "value": winner.values[objectives.metric]},
        origin={
            "supernet_sha256": inputs.weights.sha256,
            "search_seed": inputs.config.seed,
            "generation": winner.generation,
        },
    )
