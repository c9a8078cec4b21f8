"""Train the supernet: ``nasgait supernet`` or ``torchrun -m supernet.train``.

Single Path One-Shot (Guo et al., ECCV 2020): each step draws one path uniformly and trains its
weights alone.
"""

import logging
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from nasgait.config.schema import ExperimentConfig
from nasgait.core.distributed import World, broadcast, joined
from nasgait.core.errors import NasgaitError
from nasgait.core.faults import Faults, raise_all
from nasgait.data.facts import Facts
from nasgait.data.loader import TrainLoader
from nasgait.data.sampler import check_batch
from nasgait.data.split import Split, fingerprint, split_as
from nasgait.data.store import GaitStore, open_store
from nasgait.data.transforms import reduction
from nasgait.training.init import FRESH, Start
from nasgait.training.loop import Training, fit
from nasgait.training.output_dir import claim, locked, record_training
from nasgait.training.recipe import recipe_faults
from search_spaces.configured import space_of
from search_spaces.space import SearchSpace
from supernet.network import path_at
from supernet.weights import start_from

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SupernetInputs:
    """All that training reads, opened and checked."""

    config: ExperimentConfig
    space: SearchSpace
    store: GaitStore
    split: Split
    start: Start = FRESH

    def loader(self, world: World) -> TrainLoader:
        """The batches of this rank."""
        recipe, size, seed = self.config.supernet, self.space.size, self.config.seed
        indices, rank, ranks = self.split.train, world.rank, world.size
        return TrainLoader(
            self.store, indices, recipe.batch, recipe.augment, size, seed, rank, ranks
        )


def validate(config: ExperimentConfig, facts: Facts) -> list[NasgaitError]:
    """Why this configuration cannot train a supernet on these silhouettes."""
    faults = Faults(recipe_faults("supernet", config.supernet, facts.device))
    space = None
    with faults.noted():
        space = space_of(config, "nasgait supernet")
    if data := facts.data:
        train = data.split.train
        with faults.noted():
            data.require_identities("train", train)
        with faults.noted("supernet.batch"):
            check_batch(config.supernet.batch, data.identities(train), facts.ranks)
        if space:
            with faults.noted():
                reduction(data.size, space.size)
    return faults.found


def open_inputs(
    config: ExperimentConfig,
    out: Path,
    resume: bool = False,
    ranks: int | None = None,
    start: Start = FRESH,
) -> SupernetInputs:
    """Open and check every input, and claim ``out``; NasgaitError names all faults.

    ``ranks`` are the processes to come; by default those that torchrun has started.  ``start``
    says which weights to start from.
    """
    space = space_of(config, "nasgait supernet")
    store = open_store(config.data)
    raise_all(validate(config, Facts.of_store(store, config.data, config.device, ranks)))
    if start.init:
        start_from(space.supernet(), space.supernet(), space, start)
    claim(out, resume)
    return SupernetInputs(config, space, store, split_as(store, config.data), start)


def build(inputs: SupernetInputs, classes: int, world: World) -> Training:
    """The supernet and its optimisation, equal on every rank."""
    recipe, space = inputs.config.supernet, inputs.space
    torch.manual_seed(inputs.config.seed)
    num_classes = classes if recipe.loss.cross_entropy.weight else None
    model = space.supernet(num_classes)
    data = fingerprint(inputs.store, inputs.split.train)
    if inputs.start.init:
        fresh = start_from(model, space.supernet(), space, inputs.start, data)
        logger.info("started from %s; fresh: %s", inputs.start.init, ", ".join(fresh) or "nothing")
    metadata = {
        "kind": "supernet",
        "space": space.source,
        "space_sha256": space.sha256,
        "num_classes": num_classes,
        "seed": inputs.config.seed,
        "data": data,
        "init": inputs.start.init,
    }
    training = Training(model, recipe, world, metadata=metadata, section="supernet")
    broadcast(model, world)
    return training


def train(config: ExperimentConfig, out: Path, resume: bool = False, start: Start = FRESH) -> Path:
    """Train to the last step of the recipe; every rank that torchrun started calls this.

    Checkpoints, metrics and TensorBoard events go to ``out``; ``resume`` continues from the newest
    good checkpoint there; ``start`` says which weights to start from.  Returns the final
    checkpoint.  Raises NasgaitError naming all faults of the input, RunFailed when loss or weights
    are not finite.
    """
    inputs = open_inputs(config, out, resume, start=start)
    with joined(config.device, config.threads) as world, locked(out, world.main):
        loader = inputs.loader(world)
        training = build(inputs, loader.classes, world)
        if world.main:
            record_training(out, config)
            logger.info("%s: %d training identities", inputs.space.name, loader.classes)
        path = partial(path_at, inputs.space, config.seed)
        final = fit(training, loader, out, path_at=path, resume=resume)
        if world.main:
            record_training(out, config, changed=bool(training.recipe_changes))
            logger.info("supernet: %s", final)
    return final


if __name__ == "__main__":
    # Under torchrun, which sets the ranks' environment.
    from nasgait.cli.main import main

    sys.exit(main(["supernet", *sys.argv[1:]], program=True))
