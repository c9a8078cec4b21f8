"""Train the supernet: ``nasgait supernet`` or ``torchrun -m supernet.train``.

Single Path One-Shot (Guo et al., ECCV 2020): each step draws one path uniformly
and trains its weights alone.
"""

import argparse
import logging
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from nasgait.cli import stage
from nasgait.cli import supernet as command
from nasgait.cli.main import stage_main
from nasgait.config.schema import ExperimentConfig
from nasgait.core.distributed import World, broadcast, joined, pick_device
from nasgait.data.loader import TrainLoader
from nasgait.data.split import Split, fingerprint, split_as
from nasgait.data.store import GaitStore
from nasgait.training.loop import Training, fit
from nasgait.training.output_dir import claim, locked, record
from nasgait.training.recipe import check_recipe
from search_spaces import load_space
from search_spaces.space import SearchSpace
from supernet.network import path_at

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Inputs:
    """All that training reads, opened and checked."""

    config: ExperimentConfig
    out: Path
    space: SearchSpace
    store: GaitStore
    parts: Split

    def loader(self, world: World) -> TrainLoader:
        """The batches of this rank."""
        recipe, config = self.config.supernet, self.config
        return TrainLoader(
            self.store,
            self.parts.train,
            recipe.batch,
            recipe.augment,
            self.space.size,
            config.seed,
            rank=world.rank,
            world=world.size,
        )


def check(args: argparse.Namespace) -> Inputs:
    """Open every input and claim the output directory, before anything is started."""
    config = stage.read_config(args)
    check_recipe("supernet", config.supernet, pick_device(config.device, args.nproc - 1))
    space = load_space(stage.space_of(config, "nasgait supernet"))
    store = GaitStore.open(config.data.store)
    parts = split_as(store, config.data)
    inputs = Inputs(config, stage.default_out(args, config, "supernet"), space, store, parts)
    inputs.loader(World(0, args.nproc, torch.device("cpu")))
    claim(inputs.out, args.resume)
    return inputs


def build(inputs: Inputs, classes: int, world: World) -> Training:
    """The supernet and its optimisation, equal on every rank."""
    recipe, space = inputs.config.supernet, inputs.space
    torch.manual_seed(inputs.config.seed)
    num_classes = classes if recipe.loss.cross_entropy.weight else None
    model = space.supernet(num_classes)
    identity = {
        "kind": "supernet",
        "space": space.source,
        "space_sha256": space.sha256,
        "num_classes": num_classes,
        "seed": inputs.config.seed,
        "data": fingerprint(inputs.store, inputs.parts.train),
    }
    training = Training(model, recipe, world, metadata=identity)
    broadcast(model, world)
    return training


def run(args: argparse.Namespace) -> int:
    """Train to the last step of the recipe."""
    inputs = check(args)
    config = inputs.config
    with joined(config.device, config.threads) as world, locked(inputs.out, world.main):
        loader = inputs.loader(world)
        training = build(inputs, loader.classes, world)
        if world.main:
            record(inputs.out, config)
            logger.info("%s: %d training identities", inputs.space.name, loader.classes)
        final = fit(
            training,
            loader,
            inputs.out,
            path_at=lambda step: path_at(inputs.space, config.seed, step),
            resume=args.resume,
        )
        if world.main:
            logger.info("supernet: %s", final)
    return 0


if __name__ == "__main__":
    # Under torchrun, which sets the ranks' environment.
    sys.exit(stage_main("supernet.train", command, run))
