"""What of a recipe may change when a training is resumed, and the record of it."""

from collections.abc import Mapping
from os import PathLike
from typing import Any

from nasgait.config.differences import differences, listed
from nasgait.core.errors import CheckpointError

HARMLESS = ("checkpoint_every", "keep", "log_every")
"""Keys of a recipe that change nothing of what is learned."""

SAFE = ("optimizer.lr", "optimizer.clip_norm", "optimizer.clip_value", "precision")
"""Keys that a training can go on with, however far it is; a change is recorded."""

ANY_LENGTH = ("constant", "multi-step")
"""Schedules whose rate at a step does not depend on how many steps there are."""


def may_change(key: str, recipe: Mapping[str, Any]) -> bool:
    """Whether a training by ``recipe`` can be resumed with another value of ``key``."""
    if key == "steps":
        return recipe["schedule"]["kind"] in ANY_LENGTH
    return key in HARMLESS or key in SAFE


def changes_of(
    path: str | PathLike[str],
    saved: Mapping[str, Any],
    metadata: Mapping[str, Any],
    recipe: Mapping[str, Any],
    section: str,
) -> list[dict[str, Any]]:
    """What changes in the recipe where a training goes on from a checkpoint.

    Args:
        path, saved: the checkpoint, to name it, and its payload.
        metadata: what the model is, which must be the same.
        recipe: how the training is to go on.
        section: the key at which the recipe stands in the configuration.

    Returns ``{"step", "key", "before", "after"}`` for each change that matters to what is learned:
    ``key`` is one of the recipe, such as ``optimizer.lr``.

    Raises CheckpointError that names every key that differs and may not, with both values.
    """
    refused = {
        key: (saved.get(key), value) for key, value in metadata.items() if saved.get(key) != value
    }
    before = saved.get("recipe")
    if not isinstance(before, dict):
        refused["recipe"], before = (before, recipe), recipe
    changed = differences(before, recipe)
    step, finished = saved["step"], saved["step"] >= recipe["steps"]
    for key, values in changed.items():
        late = finished and key not in HARMLESS and (key, step) != ("steps", recipe["steps"])
        if late or not may_change(key, recipe):
            refused[f"{section}.{key}"] = values
    if refused:
        others = " (other sequences: the store has grown, or damaged ones are left out)"
        raise CheckpointError(
            f"{path}: was made with another {listed(refused)}"
            f"{others if 'data' in refused else ''}; resume with the same "
            f"configuration, or give another --out ({what_may_change(recipe, step)})"
        )
    return [
        {"step": step, "key": key, "before": old, "after": new}
        for key, (old, new) in changed.items()
        if key not in HARMLESS
    ]


def what_may_change(recipe: Mapping[str, Any], step: int) -> str:
    """In words, for a training that has done ``step`` steps."""
    if step >= recipe["steps"]:
        return f"{step} steps are done, so none is left to train otherwise"
    length = ["steps"] if may_change("steps", recipe) else []
    return f"{', '.join([*SAFE, *HARMLESS, *length])} may change"
