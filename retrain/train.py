"""Train one final network from scratch: ``nasgait retrain``.

Final networks, searched or not, train on all training identities (search-val
included) and are judged on the test identities by the same evaluator.
"""

import argparse
import json
import logging
import sys
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from nasgait.cli import retrain as command
from nasgait.cli import stage
from nasgait.cli.main import stage_main
from nasgait.config.schema import ExperimentConfig, TrainConfig
from nasgait.data.loader import TrainLoader
from nasgait.data.split import Split, fingerprint, split
from nasgait.data.store import GaitStore
from nasgait.engine.distributed import World, broadcast, joined, pick_device
from nasgait.engine.files import write_atomically
from nasgait.engine.loop import Training, fit
from nasgait.engine.outdir import claim, locked, record
from nasgait.engine.recipe import check_recipe
from nasgait.nn.output import GaitNetwork
from nasgait.profiling.macs import profile
from retrain.evaluate import judge_network, write_probes
from retrain.subject import Subject, start_from

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Inputs:
    """All that training reads, opened and checked."""

    config: ExperimentConfig
    out: Path
    subject: Subject
    recipe: TrainConfig
    name: str
    kind: str
    init: str | None
    store: GaitStore
    parts: Split

    @cached_property
    def model(self) -> GaitNetwork:
        """The embedding network, untrained; its size and its cost, never trained itself."""
        return self.subject.build()

    @property
    def train(self) -> list[int]:
        """All sequences to train on: train and search-val identities."""
        return sorted(self.parts.train + self.parts.search_val)

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


def recipe_of(config: ExperimentConfig, model: str | None) -> TrainConfig:
    """A baseline's own recipe, or the one shared by all."""
    own = [baseline.recipe for baseline in config.baselines if baseline.model == model]
    return next((recipe for recipe in own if recipe is not None), config.retrain)


def check(args: argparse.Namespace) -> Inputs:
    """Open every input and claim the output directory, before anything is started."""
    config = stage.read_config(args)
    subject = Subject.of(args.arch, args.model)
    recipe = recipe_of(config, args.model)
    check_recipe("recipe", recipe, pick_device(config.device, args.nproc - 1))
    store = GaitStore.open(config.data.store)
    name = args.name or subject.title
    folder = name.replace(":", "-").replace("/", "-")
    inputs = Inputs(
        config=config,
        out=stage.default_out(args, config, "retrain", folder, f"seed-{config.seed}"),
        subject=subject,
        recipe=recipe,
        name=name,
        kind=args.kind or ("searched" if args.arch else "baseline"),
        init=args.init,
        store=store,
        parts=split(store, config.data.search_val, config.data.split_seed),
    )
    inputs.loader(World(0, args.nproc, torch.device("cpu")))
    if args.init:
        start_from(subject.build(), inputs.model, subject, args.init)
    claim(inputs.out, args.resume)
    return inputs


def build(inputs: Inputs, classes: int, world: World) -> Training:
    """The network and its optimisation, equal on every rank."""
    torch.manual_seed(inputs.config.seed)
    num_classes = classes if inputs.recipe.loss.cross_entropy.weight else None
    model = inputs.subject.build(num_classes)
    if inputs.init:
        fresh = start_from(model, inputs.model, inputs.subject, inputs.init)
        logger.info("started from %s; fresh: %s", inputs.init, ", ".join(fresh) or "nothing")
    identity = {
        **inputs.subject.identity(),
        "num_classes": num_classes,
        "seed": inputs.config.seed,
        "data": fingerprint(inputs.store, inputs.train),
        "init": inputs.init,
    }
    training = Training(model, inputs.recipe, world, identity=identity)
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
        fit(training, loader, out, resume=args.resume)
    # The other ranks are gone: judging may take longer than they would wait.
    if world.main:
        result = finish(inputs, training, world)
        if args.json:
            json.dump(result, sys.stdout)
            print()
    return 0


def finish(inputs: Inputs, training: Training, world: World) -> dict[str, Any]:
    """Judge the trained network and write what the report and the comparison read."""
    config, out = inputs.config, inputs.out
    verdict = judge_network(
        training.model,
        inputs.store,
        inputs.parts.test,
        config.evaluation,
        device=str(world.device),
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
        "macs": cost.macs,
        "params": cost.params,
        "frames": cost.frames,
        "size": list(cost.size),
        "train_seconds": round(training.seconds, 2),
        "evaluation": asdict(config.evaluation),
        "rank1": None,
        "rank5": None,
        "map": None,
        **verdict.table,
    }
    write_atomically(out / "result.json", json.dumps(result, indent=1) + "\n")
    rates = {name: value for name, value in verdict.table.items() if name != "cmc"}
    logger.info("%s: %s", inputs.name, ", ".join(f"{n} {v:.2f} %" for n, v in rates.items()))
    return result


if __name__ == "__main__":
    # Under torchrun, which sets the ranks' environment.
    sys.exit(stage_main("retrain.train", command, run))
