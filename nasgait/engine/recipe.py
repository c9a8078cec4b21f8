"""Whether a recipe can be trained at all, told before anything is started."""

import torch

from nasgait.config.schema import TrainConfig
from nasgait.data.transforms import check_augment
from nasgait.engine.precision import autocast
from nasgait.errors import ConfigError
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
    try:
        autocast(device, recipe.precision)
        GaitLoss(recipe.loss)
        check_augment(recipe.augment)
    except ConfigError as error:
        raise ConfigError(f"{key}: {error}") from None
    batch, warmup = recipe.batch, recipe.schedule.warmup
    if recipe.loss.triplet.weight and min(batch.ids, batch.seqs) < 2:
        raise ConfigError(
            f"{key}.batch: {batch.ids} x {batch.seqs} holds no triplet; give ids and seqs of 2 or "
            "more, or loss.triplet.weight=0"
        )
    if warmup >= recipe.steps:
        raise ConfigError(
            f"{key}.schedule.warmup {warmup}: the training ends after {recipe.steps} steps, before "
            "its peak rate; give fewer"
        )
