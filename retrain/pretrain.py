"""Teach a network without labels: ``nasgait pretrain``.

Two views of each sequence, two draws of its frames with random changes of their own; the
network learns to predict what a moving average of itself says of the other view (BYOL, as
SelfGait has it).  ``nasgait retrain --init`` starts from the checkpoint.
"""

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from nasgait.config.schema import BatchConfig, ExperimentConfig, PretrainConfig
from nasgait.core.distributed import World, broadcast, joined
from nasgait.core.errors import ConfigError, NasgaitError
from nasgait.core.faults import Faults, raise_all
from nasgait.core.metrics_log import read_metrics
from nasgait.data.facts import Facts
from nasgait.data.index import Sequence as SequenceOfStore
from nasgait.data.loader import TrainLoader
from nasgait.data.split import Split, fingerprint, split_as
from nasgait.data.store import open_store
from nasgait.data.transforms import reduction
from nasgait.nn.byol import BYOL, RegressionLoss, embedding_shape
from nasgait.training.loop import Training, fit
from nasgait.training.output_dir import claim, locked, record_training
from nasgait.training.recipe import loop_faults
from retrain.inputs import NetworkInputs
from retrain.networks import FinalNetwork

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PretrainInputs(NetworkInputs):
    """All that pre-training reads, opened and checked."""

    @property
    def recipe(self) -> PretrainConfig:
        """What to do."""
        return self.config.pretrain

    @property
    def sequences(self) -> list[int]:
        """What to learn from: the train and search-val sequences, and distractors if wanted."""
        return sequences_of(self.config, self.split, self.store.sequences)

    def loader(self, world: World) -> TrainLoader:
        """The views of this rank: every sequence is an identity of its own, drawn twice."""
        views, sequences = self.recipe.views, self.sequences
        check_views(views.sequences, len(sequences), world.size)
        batch = BatchConfig(views.sequences, 2, views.frames, order=views.order, skip=views.skip)
        augment, size, seed = self.recipe.augment, self.model.size, self.config.seed
        labels = [f"{index:09d}" for index in sequences]
        return TrainLoader(
            self.store, sequences, batch, augment, size, seed, world.rank, world.size, labels
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


def sequences_of(
    config: ExperimentConfig, split: Split, rows: Sequence[SequenceOfStore]
) -> list[int]:
    """The train and search-val sequences, and distractors if wanted."""
    if not config.pretrain.distractors:
        return split.everyone
    others = [i for i, row in enumerate(rows) if row.subset == "distractor" and row.usable]
    return sorted(split.everyone + others)


def validate(config: ExperimentConfig, facts: Facts, network: FinalNetwork) -> list[NasgaitError]:
    """Why this configuration cannot pre-train this network."""
    faults, data = Faults(loop_faults("pretrain", config.pretrain, facts.device)), facts.data
    with faults.noted():
        model = network.spec(config).build()
        _, parts = embedding_shape(model)
        if config.pretrain.cosine == "parts" and parts < 2:
            raise ConfigError(
                f"pretrain.cosine: {network.name} has a single part, over which every cosine is 1 "
                "or -1; give pretrain.cosine=channels"
            )
        if data:
            reduction(data.size, model.size)
    if data:
        with faults.noted():
            count = len(sequences_of(config, data.split, data.sequences))
            check_views(config.pretrain.views.sequences, count, facts.ranks)
    return faults.found


def open_inputs(
    config: ExperimentConfig,
    out: Path,
    network: FinalNetwork,
    resume: bool = False,
    ranks: int | None = None,
) -> PretrainInputs:
    """Open and check every input, and claim ``out``, as ``supernet.train.open_inputs`` does."""
    spec = network.spec(config)
    store = open_store(config.data)
    facts = Facts.of_store(store, config.data, config.device, ranks)
    raise_all(validate(config, facts, network))
    claim(out, resume)
    return PretrainInputs(config, out, spec, store, split_as(store, config.data))


def build(inputs: PretrainInputs, world: World) -> Training[BYOL]:
    """The learner and its optimisation, equal on every rank."""
    recipe = inputs.recipe
    torch.manual_seed(inputs.config.seed)
    learner = BYOL(
        inputs.spec.build(), recipe.hidden, recipe.projection, recipe.momentum, recipe.norm
    )
    metadata = {
        **inputs.spec.metadata(),
        "kind": "pretraining",
        "seed": inputs.config.seed,
        "data": fingerprint(inputs.store, inputs.sequences),
    }
    criterion = RegressionLoss(recipe.cosine)
    training = Training(
        learner, recipe, world, metadata=metadata, section="pretrain", criterion=criterion
    )
    # Only where the step was taken: a float16 step that overflows is left out.
    training.optimizer.register_step_post_hook(lambda *_: learner.update_target())
    broadcast(learner, world)
    return training


def pretrain(
    config: ExperimentConfig, out: Path, network: FinalNetwork, resume: bool = False
) -> dict[str, Any] | None:
    """Train to the last step; every rank that torchrun started calls this.

    Returns a summary, None on all ranks but the first; raises as :func:`retrain.train.train`.
    """
    inputs = open_inputs(config, out, network, resume)
    with joined(config.device, config.threads) as world, locked(out, world.main):
        loader = inputs.loader(world)
        training = build(inputs, world)
        if world.main:
            record_training(out, config)
            logger.info("%s: %d sequences without labels", inputs.spec.title, loader.classes)
        final = fit(training, loader, out, resume=resume)
        if not world.main:
            return None
        record_training(out, config, changed=bool(training.recipe_changes))
        logger.info("pre-trained: %s", final)
        return summary(inputs, training, final)


def summary(inputs: PretrainInputs, training: Training[BYOL], final: Path) -> dict[str, Any]:
    """The result: where the weights are, and how the last step went."""
    lines = read_metrics(inputs.out / "metrics.jsonl")
    last = next((line for line in lines if line["step"] == training.step), None)
    if last is None:
        logger.warning("%s: lost its last line, and with it the loss", inputs.out / "metrics.jsonl")
        last = {}
    return {
        "network": inputs.spec.title,
        "seed": inputs.config.seed,
        "sequences": len(inputs.sequences),
        "left_out": inputs.store.left_out,
        "steps": training.step,
        "recipe_changes": training.recipe_changes,
        "loss": last.get("loss"),
        "spread": last.get("spread"),
        "train_seconds": round(training.seconds, 2),
        "checkpoint": str(final),
    }


if __name__ == "__main__":
    # Under torchrun, which sets the ranks' environment.
    from nasgait.cli.main import main

    sys.exit(main(["pretrain", *sys.argv[1:]], program=True))
