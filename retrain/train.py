"""Train one final network from scratch: ``nasgait retrain``.

Final networks, searched or not, train on all training identities (search-val included) and are
evaluated on the test identities in the same way.
"""

import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from nasgait.config.schema import EvaluationConfig, ExperimentConfig, TrainConfig
from nasgait.core.checksum import write_checked
from nasgait.core.distributed import World, broadcast, joined
from nasgait.core.errors import ConfigError, NasgaitError
from nasgait.core.faults import Faults, raise_all
from nasgait.core.precision import autocast
from nasgait.data.facts import Facts
from nasgait.data.loader import TrainLoader
from nasgait.data.sampler import check_batch
from nasgait.data.split import fingerprint, labelled, split_as
from nasgait.data.store import open_store
from nasgait.data.transforms import reduction
from nasgait.evaluation.options import check_options, check_sequences, evaluated_indices
from nasgait.evaluation.protocols import log_notes
from nasgait.nn.base import GaitNetwork
from nasgait.nn.freeze import freeze_backbone, freeze_norms
from nasgait.profiling.latency import device_name
from nasgait.profiling.macs import profile
from nasgait.training.init import FRESH, Start
from nasgait.training.loop import PeriodicEvaluation, Training, fit
from nasgait.training.output_dir import claim, locked, record_training
from nasgait.training.recipe import check_neck, in_words, recipe_faults
from retrain.evaluate import EvaluationResult, evaluate_network, write_probes
from retrain.inputs import NetworkInputs
from retrain.network_spec import start_from
from retrain.networks import FinalNetwork
from search_spaces.configured import budget_frames

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FinalInputs(NetworkInputs):
    """All that training reads, opened and checked."""

    network: FinalNetwork
    start: Start

    @property
    def recipe(self) -> TrainConfig:
        """How to train."""
        return self.network.recipe(self.config)[1]

    @property
    def evaluation(self) -> EvaluationConfig:
        """How to evaluate."""
        return self.network.evaluation(self.config)

    @property
    def train(self) -> list[int]:
        """All sequences to train on: those of training identities that keep their labels."""
        return labelled(self.store, self.split.everyone, self.config.label_rate, self.config.seed)

    def loader(self, world: World) -> TrainLoader:
        """The batches of this rank."""
        recipe, size, seed = self.recipe, self.model.size, self.config.seed
        return TrainLoader(
            self.store, self.train, recipe.batch, recipe.augment, size, seed, world.rank, world.size
        )


def validate(
    config: ExperimentConfig, facts: Facts, networks: Sequence[FinalNetwork], submits: bool = False
) -> list[NasgaitError]:
    """Why this configuration cannot train and evaluate these final networks.

    ``submits``: a table to submit is a result as well, so that HID does without true labels.
    """
    faults = Faults()
    for network in networks:
        with faults.noted():
            key, recipe = network.recipe(config)
            faults.found += network_faults(config, facts, network, submits, key, recipe)
    return faults.found


def network_faults(
    config: ExperimentConfig,
    facts: Facts,
    network: FinalNetwork,
    submits: bool,
    key: str,
    recipe: TrainConfig,
) -> list[NasgaitError]:
    """Those of one network, whose ``recipe`` stands at ``key``."""
    faults, data = Faults(recipe_faults(key, recipe, facts.device)), facts.data
    evaluation = network.evaluation(config)
    with faults.noted():
        autocast(facts.device, evaluation.precision)
    with faults.noted():
        check_options(evaluation, submits)
        if data:
            chosen = evaluated_indices(data, data.split.test, evaluation)
            check_sequences(evaluation, [data.sequences[i] for i in chosen])
    if data:
        with faults.noted():
            trained = labelled(data, data.split.everyone, config.label_rate, config.seed)
            with faults.noted(f"{key}.batch"):
                check_batch(recipe.batch, data.identities(trained), facts.ranks)
    with faults.noted():
        model = network.spec(config).build()
        check_neck(key, recipe, model)
        if data:
            reduction(data.size, model.size)
    return faults.found


def open_inputs(
    config: ExperimentConfig,
    out: Path,
    network: FinalNetwork,
    start: Start = FRESH,
    resume: bool = False,
    ranks: int | None = None,
) -> FinalInputs:
    """Open and check every input, and claim ``out``, as ``supernet.train.open_inputs`` does."""
    spec = network.spec(config)
    store = open_store(config.data)
    facts = Facts.of_store(store, config.data, config.device, ranks)
    raise_all(validate(config, facts, [network], submits=not config.evaluate_every))
    inputs = FinalInputs(config, out, spec, store, split_as(store, config.data), network, start)
    if start.init:
        start_from(spec.build(), inputs.model, spec, start.init, partial=start.partial)
    elif config.freeze != "nothing":
        raise ConfigError("freeze: needs --init; weights drawn at random are not worth keeping")
    claim(out, resume)
    return inputs


def build(inputs: FinalInputs, classes: int, world: World) -> Training[GaitNetwork]:
    """The network and its optimisation, equal on every rank."""
    torch.manual_seed(inputs.config.seed)
    num_classes = classes if inputs.recipe.loss.cross_entropy.weight else None
    model = inputs.spec.build(num_classes)
    data = fingerprint(inputs.store, inputs.train)
    init, partial = inputs.start.init, inputs.start.partial
    if init:
        fresh = start_from(model, inputs.model, inputs.spec, init, data, partial)
        logger.info("started from %s; fresh: %s", init, ", ".join(fresh) or "nothing")
        if inputs.config.freeze == "norms":
            freeze_norms(model, fresh)
    if inputs.config.freeze == "backbone":
        freeze_backbone(model)
    metadata = {
        **inputs.spec.metadata(),
        "num_classes": num_classes,
        "seed": inputs.config.seed,
        "data": data,
        "init": init,
        "freeze": inputs.config.freeze,
    }
    section, recipe = inputs.network.recipe(inputs.config)
    training = Training(model, recipe, world, metadata=metadata, section=section)
    broadcast(model, world)
    return training


def train(
    config: ExperimentConfig,
    out: Path,
    network: FinalNetwork,
    start: Start = FRESH,
    resume: bool = False,
) -> dict[str, Any] | None:
    """Train to the last step and evaluate; every rank that torchrun started calls this.

    Checkpoints, metrics and results go to ``out``; ``resume`` continues from the newest good
    checkpoint there.  Returns what ``result.json`` holds; None on all ranks but the first.
    Raises NasgaitError naming all faults of the input, RunFailed when the loss is not finite.
    """
    inputs = open_inputs(config, out, network, start, resume)
    with joined(config.device, config.threads) as world, locked(out, world.main):
        loader = inputs.loader(world)
        training = build(inputs, loader.classes, world)
        if world.main:
            record_training(out, config)
            logger.info("%s: %d training identities", network.name, loader.classes)
            logger.info("%s: %s", network.recipe(config)[0], in_words(inputs.recipe))
        periodic = evaluation_of(inputs, training, world) if config.evaluate_every else None
        fit(training, loader, out, resume=resume, evaluation=periodic)
        if world.main:
            record_training(out, config, changed=bool(training.recipe_changes))
    # The other ranks are gone: the evaluation may take longer than they would wait.
    return finish(inputs, training, world) if world.main else None


SCORES = ("map", "map_local", "rank1", "rank1_local")
"""Metrics to choose the best checkpoint by, the first that the protocol knows."""


def evaluation_of(
    inputs: FinalInputs, training: Training[GaitNetwork], world: World
) -> PeriodicEvaluation:
    """Evaluates the network on the test identities while it trains, by its own protocol."""

    def evaluate() -> dict[str, float]:
        evaluated = evaluate_network(
            training.model, inputs.store, inputs.split.test, inputs.evaluation, world
        )
        metrics = single_numbers(evaluated)
        first = [name for name in SCORES if name in metrics]
        found = {f"test/{name}": metrics[name] for name in dict.fromkeys([*first, *metrics])}
        if world.main:
            logger.info("step %d: %s", training.step, in_percent(found))
        return found

    return PeriodicEvaluation(inputs.config.evaluate_every, evaluate)


def finish(inputs: FinalInputs, training: Training[GaitNetwork], world: World) -> dict[str, Any]:
    """Evaluate the trained network and write what the report and the comparison read."""
    config, out = inputs.config, inputs.out
    evaluated = evaluate_network(
        training.model,
        inputs.store,
        inputs.split.test,
        inputs.evaluation,
        replace(world, size=1),
        submission=out / "submission.csv",
    )
    log_notes(inputs.evaluation.protocol, evaluated.notes)
    cost, frames = profile(inputs.model), budget_frames(config)
    write_probes(out / "probes.npz", evaluated.probes)
    result = {
        "name": inputs.network.name,
        "kind": inputs.network.kind,
        "arch": inputs.spec.arch,
        "model": inputs.spec.model,
        "seed": config.seed,
        "steps": training.step,
        "recipe": asdict(inputs.recipe),
        "recipe_changes": training.recipe_changes,
        "data": training.metadata["data"],
        "device": device_name(world.device),
        "threads": torch.get_num_threads(),
        "ranks": world.size,
        "label_rate": config.label_rate,
        "init": inputs.start.init,
        "freeze": config.freeze,
        "macs": cost.macs,
        "params": cost.params,
        "frames": cost.frames,
        "size": list(cost.size),
        "budget_frames": frames,
        "budget_macs": profile(inputs.model, frames).macs if frames else None,
        "train_seconds": round(training.seconds, 2),
        "left_out": inputs.store.left_out,
        "evaluation": asdict(inputs.evaluation),
        **dict.fromkeys(("rank1", "rank5", "map")),  # None where the protocol has none
        **evaluated.metrics,
    }
    written = write_checked(out / "result.json", result)
    logger.info("%s: %s", inputs.network.name, in_percent(single_numbers(evaluated)))
    return written


def single_numbers(evaluated: EvaluationResult) -> dict[str, float]:
    """The metrics that are no tables."""
    return {name: value for name, value in evaluated.metrics.items() if isinstance(value, float)}


def in_percent(metrics: Mapping[str, float]) -> str:
    """Metrics in print."""
    return ", ".join(f"{name} {value:.2f} %" for name, value in metrics.items())


if __name__ == "__main__":
    # Under torchrun, which sets the ranks' environment.
    from nasgait.cli.main import main

    sys.exit(main(["retrain", *sys.argv[1:]], program=True))
