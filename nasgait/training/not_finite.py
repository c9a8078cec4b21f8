"""Trainings whose numbers overflow: noticed before they reach a checkpoint, and what to do."""

import torch
from torch import nn

from nasgait.config.schema import LoopConfig
from nasgait.core.errors import RunFailed


def cure(config: LoopConfig, section: str) -> str:
    """What to change in the recipe that stands at ``section``, with the keys as they are typed."""
    rate, norm = config.optimizer.lr, config.optimizer.clip_norm
    limit = f"lower {section}.optimizer.clip_norm (now {norm:g})" if norm else ""
    ways = [
        f"lower {section}.optimizer.lr (now {rate:g})",
        limit or f"set {section}.optimizer.clip_norm",
    ]
    if config.precision in ("bfloat16", "float16"):
        ways.append(f"give {section}.precision=float32")
    return (
        f"{' or '.join(ways)}, and resume (--resume; nasgait run: the same command with the "
        "change); it goes on from the last checkpoint, or begins again if there is none; where "
        "that fails at once, the weights in the checkpoint have diverged: delete the folder "
        "checkpoints to begin again"
    )


def refuse_broken_weights(model: nn.Module, step: int, config: LoopConfig, section: str) -> None:
    """Refuse a checkpoint after ``step`` with weights that are not finite; it could not go on.

    A gradient can overflow where the loss does not.  Raises RunFailed, on every rank alike.
    """
    weights = model.state_dict().items()
    broken = [name for name, value in weights if not torch.isfinite(value).all()]
    if broken:
        raise RunFailed(
            f"{len(broken)} weights, {broken[0]} first, are not finite after step {step}; "
            f"{cure(config, section)}"
        )
