"""Whether a recipe can be trained at all, told before anything is started."""

import torch

from nasgait.config.schema import LoopConfig, TrainConfig
from nasgait.core.errors import ConfigError
from nasgait.core.precision import autocast
from nasgait.data.transforms import check_augment
from nasgait.nn.base import GaitNetwork
from nasgait.nn.losses import GaitLoss


def check_recipe(key: str, recipe: TrainConfig, device: torch.device) -> None:
    """Refuse a recipe that would fail, or learn nothing, on ``device``.

    Args:
        key: where the recipe stands in the configuration.
        recipe: the recipe.
        device: where it is to be trained.

    Raises:
        ConfigError: naming key and cure.
    """
    check_loop(key, recipe, device)
    try:
        GaitLoss(recipe.loss)
    except ConfigError as error:
        raise ConfigError(f"{key}: {error}") from None
    batch = recipe.batch
    for term in ("triplet", "contrastive"):
        if getattr(recipe.loss, term).weight and min(batch.ids, batch.seqs) < 2:
            raise ConfigError(
                f"{key}.batch: {batch.ids} x {batch.seqs} holds no triplet; give ids and seqs of 2 "
                f"or more, or loss.{term}.weight=0"
            )


def check_neck(key: str, recipe: TrainConfig, network: GaitNetwork) -> None:
    """Refuse a recipe without cross-entropy for a network that is judged behind its neck.

    Raises ConfigError naming key and cure; ``key`` is where the recipe stands.
    """
    if network.needs_neck and not recipe.loss.cross_entropy.weight:
        raise ConfigError(
            f"{key}.loss.cross_entropy.weight 0: trains no neck, but after_neck takes the "
            "embedding behind it; give a weight, or after_neck: false"
        )


def check_loop(key: str, recipe: LoopConfig, device: torch.device) -> None:
    """The part of :func:`check_recipe` that holds whatever is minimised."""
    try:
        autocast(device, recipe.precision)
        check_augment(recipe.augment)
    except ConfigError as error:
        raise ConfigError(f"{key}: {error}") from None
    warmup = recipe.schedule.warmup
    if warmup >= recipe.steps:
        raise ConfigError(
            f"{key}.schedule.warmup {warmup}: the training ends after {recipe.steps} steps, before "
            "its peak rate; give fewer"
        )
