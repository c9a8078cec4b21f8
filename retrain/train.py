"""Train one final network from scratch: ``nasgait retrain``.

Final networks, searched or not, train on all training identities (search-val
included) and are evaluated on the test identities in the same way.
"""

import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from nasgait.config.schema import EvaluationConfig, ExperimentConfig, TrainConfig
from nasgait.core.distributed import World, broadcast, joined
from nasgait.core.errors import ConfigError, NasgaitError
from nasgait.core.faults import Faults, raise_all
from nasgait.core.files import write_atomically
from nasgait.core.precision import autocast
from nasgait.data.facts import DataFacts, Facts
from nasgait.data.loader import TrainLoader
from nasgait.data.sampler import check_batch
from nasgait.data.split import fingerprint, labelled, split_as
from nasgait.data.store import GaitStore
from nasgait.data.transforms import reduction
from nasgait.evaluation.options import check_options, check_sequences, evaluated_indices
from nasgait.nn.base import GaitNetwork
from nasgait.nn.freeze import freeze_backbone, freeze_norms
from nasgait.profiling.macs import profile
from nasgait.training.loop import PeriodicEvaluation, Training, fit
from nasgait.training.output_dir import claim, locked, record
from nasgait.training.recipe import check_neck, recipe_faults
from retrain.evaluate import evaluate_network, write_probes
from retrain.inputs import NetworkInputs
from retrain.network_spec import start_from
from retrain.networks import FinalNetwork

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Start:
    """The weights that a training starts from; drawn at random by default."""

    init: str | None = None
    """A slice of a supernet, or a checkpoint of pre-training or of a final network."""
    partial: bool = False
    """Take what fits by name and shape, of whatever network."""


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
        return labelled(self.store, self.everyone, self.config.label_rate, self.config.seed)

    def loader(self, world: World) -> TrainLoader:
        """The batches of this rank."""
        return TrainLoader(
            self.store,
            self.train,
            self.recipe.batch,
            self.recipe.augment,
            self.model.size,
            self.config.seed,
            rank=world.rank,
            world=world.size,
        )


def validate(
    config: ExperimentConfig, facts: Facts, networks: Sequence[FinalNetwork]
) -> list[NasgaitError]:
    """Why this configuration cannot train and evaluate these final networks."""
    faults = Faults()
    for network in networks:
        key, recipe = network.recipe(config)
        faults.found += recipe_faults(key, recipe, facts.device)
        evaluation = network.evaluation(config)
        with faults.noted():
            autocast(facts.device, evaluation.precision)
        with faults.noted():
            check_options(evaluation, submits=not config.evaluate_every)
            if facts.data:
                check_test(facts.data, evaluation)
        if facts.data:
            with faults.noted(f"{key}.batch"):
                check_batch(recipe.batch, labelled_identities(facts.data, config), facts.ranks)
        with faults.noted():
            model = network.spec(config).build()
            check_neck(key, recipe, model)
            if facts.data:
                reduction(facts.data.size, model.size)
    return faults.found


def labelled_identities(data: DataFacts, config: ExperimentConfig) -> int:
    """People that final networks train on."""
    everyone = sorted(data.split.train + data.split.search_val)
    return data.identities(labelled(data, everyone, config.label_rate, config.seed))


def check_test(data: DataFacts, evaluation: EvaluationConfig) -> None:
    """Refuse test sequences that the protocol cannot use; raises DataError."""
    chosen = evaluated_indices(data, data.split.test, evaluation)
    check_sequences(evaluation, [data.sequences[i] for i in chosen])


def open_inputs(
    config: ExperimentConfig,
    out: Path,
    network: FinalNetwork,
    start: Start = Start(),
    resume: bool = False,
    ranks: int | None = None,
) -> FinalInputs:
    """Open and check every input, and claim ``out``; NasgaitError names all faults.

    ``ranks`` are the processes to come; by default those that torchrun has started.
    """
    spec = network.spec(config)
    store = GaitStore.open(config.data.store)
    facts = Facts.of_store(store, config.data, config.device, ranks)
    raise_all(validate(config, facts, [network]))
    inputs = FinalInputs(config, out, spec, store, split_as(store, config.data), network, start)
    if start.init:
        start_from(spec.build(), inputs.model, spec, start.init, partial=start.partial)
    elif start.partial:
        raise ConfigError("--init-partial: says how --init is read; give --init too")
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
    identity = {
        **inputs.spec.identity(),
        "num_classes": num_classes,
        "seed": inputs.config.seed,
        "data": data,
        "init": inputs.start.init,
        "freeze": inputs.config.freeze,
    }
    training = Training(model, inputs.recipe, world, metadata=identity)
    broadcast(model, world)
    return training


def train(
    config: ExperimentConfig,
    out: Path,
    network: FinalNetwork,
    start: Start = Start(),
    resume: bool = False,
) -> dict[str, Any] | None:
    """Train to the last step and evaluate; every rank that torchrun started calls this.

    Checkpoints, metrics and results go to ``out``; ``resume`` continues from the newest good
    checkpoint there.  Returns what ``result.json`` holds; None on all ranks but the first.

    Raises:
        NasgaitError: input that cannot be used, all faults at once.
        RunFailed: the loss is not finite.
    """
    inputs = open_inputs(config, out, network, start, resume)
    with joined(config.device, config.threads) as world, locked(out, world.main):
        loader = inputs.loader(world)
        training = build(inputs, loader.classes, world)
        if world.main:
            record(out, config)
            logger.info("%s: %d training identities", network.name, loader.classes)
        periodic = evaluation_of(inputs, training, world) if config.evaluate_every else None
        fit(training, loader, out, resume=resume, evaluation=periodic)
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
        rates = {
            name: value for name, value in evaluated.metrics.items() if isinstance(value, float)
        }
        first = [name for name in SCORES if name in rates]
        found = {f"test/{name}": rates[name] for name in dict.fromkeys([*first, *rates])}
        if world.main:
            told = ", ".join(f"{name} {value:.2f} %" for name, value in found.items())
            logger.info("step %d: %s", training.step, told)
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
    cost = profile(inputs.model)
    write_probes(out / "probes.npz", evaluated.probes)
    result = {
        "name": inputs.network.name,
        "kind": inputs.network.kind,
        "arch": inputs.spec.arch,
        "model": inputs.spec.model,
        "seed": config.seed,
        "steps": inputs.recipe.steps,
        "label_rate": config.label_rate,
        "init": inputs.start.init,
        "freeze": config.freeze,
        "macs": cost.macs,
        "params": cost.params,
        "frames": cost.frames,
        "size": list(cost.size),
        "train_seconds": round(training.seconds, 2),
        "evaluation": asdict(inputs.evaluation),
        "rank1": None,
        "rank5": None,
        "map": None,
        **evaluated.metrics,
    }
    write_atomically(out / "result.json", json.dumps(result, indent=1) + "\n")
    rates = {name: value for name, value in evaluated.metrics.items() if isinstance(value, float)}
    logger.info(
        "%s: %s", inputs.network.name, ", ".join(f"{n} {v:.2f} %" for n, v in rates.items())
    )
    return result


if __name__ == "__main__":
    # Under torchrun, which sets the ranks' environment.
    from nasgait.cli.main import main

    sys.exit(main(["retrain", *sys.argv[1:]]))
