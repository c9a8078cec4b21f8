"""Teach a network without labels: ``nasgait pretrain``.

Two views of each sequence, two draws of its frames with random changes of their own; the
network learns to predict what a moving average of itself says of the other view (BYOL, as
SelfGait has it).  ``nasgait retrain --init`` goes on from the checkpoint.
"""

import argparse
import json
import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from nasgait.cli import pretrain as command
from nasgait.cli import stage
from nasgait.cli.main import stage_main
from nasgait.config.schema import BatchConfig, PretrainConfig
from nasgait.core.distributed import World, broadcast, joined, pick_device
from nasgait.core.errors import ConfigError
from nasgait.core.metrics_log import read_metrics
from nasgait.data.loader import TrainLoader
from nasgait.data.split import fingerprint, split_as
from nasgait.data.store import GaitStore
from nasgait.nn.byol import BYOL, RegressionLoss, embedding_shape
from nasgait.training.loop import Training, fit
from nasgait.training.output_dir import claim, locked, record
from nasgait.training.recipe import check_loop
from retrain.inputs import Inputs, folder_of
from retrain.network_spec import Subject
from retrain.train import baseline_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PretrainInputs(Inputs):
    """All that pre-training reads, opened and checked."""

    @property
    def recipe(self) -> PretrainConfig:
        """What to do."""
        return self.config.pretrain

    @property
    def sequences(self) -> list[int]:
        """What to learn from: the train and search-val sequences, and distractors if wanted."""
        chosen = self.everyone
        if self.recipe.distractors:
            rows = enumerate(self.store.sequences)
            chosen += [i for i, row in rows if row.subset == "distractor" and row.length]
        return sorted(chosen)

    def loader(self, world: World) -> TrainLoader:
        """The views of this rank: every sequence is an identity of its own, drawn twice."""
        views, sequences = self.recipe.views, self.sequences
        check_views(views.sequences, len(sequences), world.size)
        return TrainLoader(
            self.store,
            sequences,
            BatchConfig(views.sequences, 2, views.frames, order=views.order, skip=views.skip),
            self.recipe.augment,
            self.model.size,
            self.config.seed,
            rank=world.rank,
            world=world.size,
            labels=[f"{index:09d}" for index in sequences],
        )


def check_views(wanted: int, sequences: int, world: int) -> None:
    """Refuse a batch that the sequences or processes cannot fill, with ConfigError."""
    if wanted > sequences:
        raise ConfigError(
            f"pretrain.views.sequences is {wanted}, but there are only {sequences} to learn from: "
            f"set it to {sequences} or less"
        )
    if wanted % world or wanted // world < 2:
        raise ConfigError(
            f"pretrain.views.sequences is {wanted}, which {world} processes cannot share evenly, "
            f"two or more for each: set it to a multiple of {world} from {2 * world}"
        )


def check(args: argparse.Namespace) -> PretrainInputs:
    """Open every input and claim the output directory, before anything is started."""
    config = stage.read_config(args)
    settings = baseline_of(config, args.model, None).settings if args.model else {}
    subject = Subject.of(args.arch, args.model, settings)
    check_loop("pretrain", config.pretrain, pick_device(config.device, args.nproc - 1))
    store = GaitStore.open(config.data.store)
    folder = folder_of(subject.title)
    out = stage.default_out(args, config, "pretrain", folder, f"seed-{config.seed}")
    inputs = PretrainInputs(config, out, subject, store, split_as(store, config.data))
    inputs.loader(World(0, args.nproc, torch.device("cpu")))
    _, parts = embedding_shape(inputs.model)
    if config.pretrain.cosine == "parts" and parts < 2:
        raise ConfigError(
            f"pretrain.cosine: {subject.title} has a single part, over which every cosine is 1 or "
            "-1; give pretrain.cosine=channels"
        )
    claim(out, args.resume)
    return inputs


def build(inputs: PretrainInputs, world: World) -> Training[BYOL]:
    """The learner and its optimisation, equal on every rank."""
    recipe = inputs.recipe
    torch.manual_seed(inputs.config.seed)
    learner = BYOL(
        inputs.subject.build(), recipe.hidden, recipe.projection, recipe.momentum, recipe.norm
    )
    identity = {
        **inputs.subject.identity(),
        "kind": "pretraining",
        "seed": inputs.config.seed,
        "data": fingerprint(inputs.store, inputs.sequences),
    }
    criterion = RegressionLoss(recipe.cosine)
    training = Training(learner, recipe, world, identity=identity, criterion=criterion)
    # Only where the step was taken: a float16 step that overflows is left out.
    training.optimizer.register_step_post_hook(lambda *_: learner.update_target())
    broadcast(learner, world)
    return training


def run(args: argparse.Namespace) -> int:
    """Train to the last step; what is worth knowing goes to stdout with ``--json``."""
    inputs = check(args)
    config, out = inputs.config, inputs.out
    with joined(config.device, config.threads) as world, locked(out, world.main):
        loader = inputs.loader(world)
        training = build(inputs, world)
        if world.main:
            record(out, config)
            logger.info("%s: %d sequences without labels", inputs.subject.title, loader.classes)
        final = fit(training, loader, out, resume=args.resume)
        if world.main:
            logger.info("pre-trained: %s", final)
            if args.json:
                json.dump(summary(inputs, training, final), sys.stdout)
                print()
    return 0


def summary(inputs: PretrainInputs, training: Training[BYOL], final: Path) -> dict[str, Any]:
    """The result: where the weights are, and how the last step went."""
    last = read_metrics(inputs.out / "metrics.jsonl")[-1]
    return {
        "network": inputs.subject.title,
        "seed": inputs.config.seed,
        "sequences": len(inputs.sequences),
        "steps": training.step,
        "loss": last["loss"],
        "spread": last["spread"],
        "train_seconds": round(training.seconds, 2),
        "checkpoint": str(final),
    }


if __name__ == "__main__":
    # Under torchrun, which sets the ranks' environment.
    sys.exit(stage_main("retrain.pretrain", command, run))
