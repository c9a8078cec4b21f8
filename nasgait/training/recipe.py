"""Whether a recipe can be trained at all, checked before anything is started."""

import torch

from nasgait.config.schema import LoopConfig, TrainConfig
from nasgait.core.errors import ConfigError, NasgaitError
from nasgait.core.faults import Faults
from nasgait.core.precision import autocast
from nasgait.data.sampler import frames_in_words
from nasgait.data.transforms import check_augment
from nasgait.nn.base import GaitNetwork
from nasgait.nn.losses import GaitLoss


def recipe_faults(key: str, recipe: TrainConfig, device: torch.device) -> list[NasgaitError]:
    """Why the recipe that stands at ``key`` would fail, or learn nothing, on ``device``."""
    faults = Faults(loop_faults(key, recipe, device))
    with faults.noted(key):
        GaitLoss(recipe.loss)
    batch = recipe.batch
    for term in ("triplet", "contrastive"):
        if getattr(recipe.loss, term).weight and min(batch.ids, batch.seqs) < 2:
            fault = (
                f"{key}.batch: {batch.ids} x {batch.seqs} holds no triplet; give ids and seqs of 2 "
                f"or more, or loss.{term}.weight=0"
            )
            faults.found.append(ConfigError(fault))
    return faults.found


def recipe_line(recipe: TrainConfig) -> str:
    """A recipe in short: steps, batch, frames, precision."""
    batch = recipe.batch
    return (
        f"{recipe.steps} steps of {batch.ids} x {batch.seqs} sequences x {frames_in_words(batch)} "
        f"in {recipe.precision}"
    )


def in_words(recipe: TrainConfig) -> str:
    """A recipe in a line: steps, batch, losses, optimiser, schedule, augmentation."""
    loss, optimizer, schedule = recipe.loss, recipe.optimizer, recipe.schedule
    terms = {
        "triplet": (loss.triplet.weight, f"margin {loss.triplet.margin:g}"),
        "cross-entropy": (loss.cross_entropy.weight, f"scale {loss.cross_entropy.scale:g}"),
        "contrastive": (loss.contrastive.weight, f"temperature {loss.contrastive.temperature:g}"),
    }
    losses = [f"{weight:g} {name} ({how})" for name, (weight, how) in terms.items() if weight]
    update = [f"{optimizer.kind} with lr {optimizer.lr:g}"]
    update += [f"weight decay {optimizer.weight_decay:g}"] if optimizer.weight_decay else []
    limits = {"norm": optimizer.clip_norm, "value": optimizer.clip_value}
    update += [f"clip {name} {limit:g}" for name, limit in limits.items() if limit is not None]
    update.append(schedule.kind)
    update += [f"warm-up {schedule.warmup}"] if schedule.warmup else []
    if schedule.kind == "multi-step" and schedule.milestones:
        update.append(f"x {schedule.gamma:g} at {' '.join(map(str, schedule.milestones))}")
    names = ("flip", "rotate", "perspective", "erase")
    augment = [f"{name} {p:g}" for name in names if (p := getattr(recipe.augment, name))]
    changes = f"; {', '.join(augment)}" if augment else ""
    return f"{recipe_line(recipe)}; loss {' + '.join(losses)}; {', '.join(update)}{changes}"


def check_neck(key: str, recipe: TrainConfig, network: GaitNetwork) -> None:
    """Refuse the recipe at ``key`` without cross-entropy for a network evaluated behind its neck.

    Raises ConfigError.
    """
    if network.needs_neck and not recipe.loss.cross_entropy.weight:
        raise ConfigError(
            f"{key}.loss.cross_entropy.weight 0: trains no neck, but after_neck takes the "
            "embedding behind it; give a weight, or after_neck: false"
        )


def loop_faults(key: str, recipe: LoopConfig, device: torch.device) -> list[NasgaitError]:
    """The part of :func:`recipe_faults` that does not depend on what is minimised."""
    faults = Faults()
    with faults.noted(key):
        autocast(device, recipe.precision)
    with faults.noted(key):
        check_augment(recipe.augment)
    warmup = recipe.schedule.warmup
    if warmup >= recipe.steps:
        fault = (
            f"{key}.schedule.warmup {warmup}: the training ends after {recipe.steps} steps, before "
            "its peak rate; give fewer"
        )
        faults.found.append(ConfigError(fault))
    return faults.found
