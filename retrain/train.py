"""Train one final network from scratch: ``nasgait retrain``.

Final networks, searched or not, train on all training identities (search-val
included) and are judged on the test identities by the same evaluator.
"""

import argparse
import json
import logging
import sys
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from nasgait.cli import retrain as command
from nasgait.cli import stage
from nasgait.cli.main import stage_main
from nasgait.config.schema import (
    BaselineConfig,
    EvaluationConfig,
    ExperimentConfig,
    TrainConfig,
)
from nasgait.core.distributed import World, broadcast, joined, pick_device
from nasgait.core.errors import ConfigError
from nasgait.core.files import write_atomically
from nasgait.core.precision import autocast
from nasgait.data.loader import TrainLoader
from nasgait.data.split import fingerprint, labelled, split_as
from nasgait.data.store import GaitStore
from nasgait.evaluation.options import check_options, check_sequences, judged
from nasgait.nn.base import GaitNetwork
from nasgait.nn.freeze import freeze_backbone, freeze_norms
from nasgait.profiling.macs import profile
from nasgait.training.loop import Exam, Training, fit
from nasgait.training.output_dir import claim, locked, record
from nasgait.training.recipe import check_neck, check_recipe
from retrain.evaluate import judge_network, write_probes
from retrain.inputs import Inputs, folder_of
from retrain.network_spec import Subject, start_from

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainInputs(Inputs):
    """All that training reads, opened and checked."""

    recipe: TrainConfig
    evaluation: EvaluationConfig
    name: str
    kind: str
    init: str | None
    init_partial: bool

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


def baseline_of(config: ExperimentConfig, model: str, name: str | None) -> BaselineConfig:
    """What the configuration says of a hand-designed network: by name, or else by model."""
    listed = [baseline for baseline in config.baselines if baseline.model == model]
    named = [baseline for baseline in listed if baseline.title == name]
    return next(iter([*named, *listed]), BaselineConfig(model))


def check(args: argparse.Namespace) -> TrainInputs:
    """Open every input and claim the output directory, before anything is started."""
    config = stage.read_config(args)
    baseline = baseline_of(config, args.model, args.name) if args.model else None
    subject = Subject.of(args.arch, args.model, baseline.settings if baseline else {})
    recipe, key = config.retrain, "retrain"
    if baseline and baseline.recipe:
        recipe, key = baseline.recipe, f"baselines.{config.baselines.index(baseline)}.recipe"
    device = pick_device(config.device, args.nproc - 1)
    check_recipe(key, recipe, device)
    evaluation = (baseline and baseline.evaluation) or config.evaluation
    autocast(device, evaluation.precision)
    check_options(evaluation, submits=not config.evaluate_every)
    store = GaitStore.open(config.data.store)
    name = args.name or subject.title
    folder = folder_of(name)
    inputs = TrainInputs(
        config=config,
        out=stage.default_out(args, config, "retrain", folder, f"seed-{config.seed}"),
        subject=subject,
        recipe=recipe,
        evaluation=evaluation,
        name=name,
        kind=args.kind or ("searched" if args.arch else "baseline"),
        init=args.init,
        init_partial=args.init_partial,
        store=store,
        parts=split_as(store, config.data),
    )
    check_neck(key, recipe, inputs.model)
    check_sequences(
        evaluation, [store.sequences[i] for i in judged(store, inputs.parts.test, evaluation)]
    )
    inputs.loader(World(0, args.nproc, torch.device("cpu")))
    if args.init:
        start_from(subject.build(), inputs.model, subject, args.init, partial=args.init_partial)
    elif args.init_partial:
        raise ConfigError("--init-partial: says how --init is read; give --init too")
    elif config.freeze != "nothing":
        raise ConfigError("freeze: needs --init; weights drawn at random are not worth keeping")
    claim(inputs.out, args.resume)
    return inputs


def build(inputs: TrainInputs, classes: int, world: World) -> Training[GaitNetwork]:
    """The network and its optimisation, equal on every rank."""
    torch.manual_seed(inputs.config.seed)
    num_classes = classes if inputs.recipe.loss.cross_entropy.weight else None
    model = inputs.subject.build(num_classes)
    data = fingerprint(inputs.store, inputs.train)
    if inputs.init:
        fresh = start_from(
            model, inputs.model, inputs.subject, inputs.init, data, inputs.init_partial
        )
        logger.info("started from %s; fresh: %s", inputs.init, ", ".join(fresh) or "nothing")
        if inputs.config.freeze == "norms":
            freeze_norms(model, fresh)
    if inputs.config.freeze == "backbone":
        freeze_backbone(model)
    identity = {
        **inputs.subject.identity(),
        "num_classes": num_classes,
        "seed": inputs.config.seed,
        "data": data,
        "init": inputs.init,
        "freeze": inputs.config.freeze,
    }
    training = Training(model, inputs.recipe, world, metadata=identity)
    broadcast(model, world)
    return training


def run(args: argparse.Namespace) -> int:
    """Train to the last step, evaluate, write ``result.json``."""
    inputs = check(args)
    config, out = inputs.config, inputs.out
    with joined(config.device, config.threads) as world, locked(out, world.main):
        loader = inputs.loader(world)
        training = build(inputs, loader.classes, world)
        if world.main:
            record(out, config)
            logger.info("%s: %d training identities", inputs.name, loader.classes)
        exam = exam_of(inputs, training, world) if config.evaluate_every else None
        fit(training, loader, out, resume=args.resume, exam=exam)
    # The other ranks are gone: judging may take longer than they would wait.
    if world.main:
        result = finish(inputs, training, world)
        if args.json:
            json.dump(result, sys.stdout)
            print()
    return 0


SCORES = ("map", "map_local", "rank1", "rank1_local")
"""Figures to choose the best checkpoint by, the first that the protocol knows."""


def exam_of(inputs: TrainInputs, training: Training[GaitNetwork], world: World) -> Exam:
    """Judges the network on the test identities while it trains, by its own protocol."""

    def judge() -> dict[str, float]:
        verdict = judge_network(
            training.model, inputs.store, inputs.parts.test, inputs.evaluation, world
        )
        rates = {name: value for name, value in verdict.table.items() if isinstance(value, float)}
        first = [name for name in SCORES if name in rates]
        found = {f"test/{name}": rates[name] for name in dict.fromkeys([*first, *rates])}
        if world.main:
            told = ", ".join(f"{name} {value:.2f} %" for name, value in found.items())
            logger.info("step %d: %s", training.step, told)
        return found

    return Exam(inputs.config.evaluate_every, judge)


def finish(inputs: TrainInputs, training: Training[GaitNetwork], world: World) -> dict[str, Any]:
    """Judge the trained network and write what the report and the comparison read."""
    config, out = inputs.config, inputs.out
    verdict = judge_network(
        training.model,
        inputs.store,
        inputs.parts.test,
        inputs.evaluation,
        replace(world, size=1),
        submission=out / "submission.csv",
    )
    cost = profile(inputs.model)
    write_probes(out / "probes.npz", verdict.probes)
    result = {
        "name": inputs.name,
        "kind": inputs.kind,
        "arch": inputs.subject.arch,
        "model": inputs.subject.model,
        "seed": config.seed,
        "steps": inputs.recipe.steps,
        "label_rate": config.label_rate,
        "init": inputs.init,
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
        **verdict.table,
    }
    write_atomically(out / "result.json", json.dumps(result, indent=1) + "\n")
    rates = {name: value for name, value in verdict.table.items() if isinstance(value, float)}
    logger.info("%s: %s", inputs.name, ", ".join(f"{n} {v:.2f} %" for n, v in rates.items()))
    return result


if __name__ == "__main__":
    # Under torchrun, which sets the ranks' environment.
    sys.exit(stage_main("retrain.train", command, run))
