"""Weights of another training that one starts from: ``--init`` and ``--init-partial``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from nasgait.core.errors import CheckpointError, ConfigError
from nasgait.training.checkpoint import FORMAT, load_checkpoint, warn_if_unfinished


@dataclass(frozen=True)
class Start:
    """The weights that a training starts from; drawn at random by default."""

    init: str | None = None
    """A checkpoint, or a slice of a supernet."""
    partial: bool = False
    """Take what fits by name and shape, of whatever network."""

    def __post_init__(self) -> None:
        if self.partial and self.init is None:
            raise ConfigError("--init-partial: says how --init is read; give --init too")


FRESH = Start()
"""Weights drawn at random."""


def read_init(path: str | Path, kinds: Sequence[str], cure: str) -> dict[str, Any]:
    """The checkpoint to start from; CheckpointError, which ends with the ``cure``, for others."""
    saved = load_checkpoint(path, FORMAT)
    if saved.get("kind") not in kinds:
        raise CheckpointError(f"--init {path}: holds a {saved.get('kind')}; {cure}")
    warn_if_unfinished(path, saved)
    return saved


def take_weights(
    model: nn.Module,
    bare: nn.Module,
    path: str | Path,
    saved: Mapping[str, Any],
    titles: tuple[str, str],
    data: str | None = None,
    partial: bool = False,
) -> list[str]:
    """Load the weights of a checkpoint into ``model``; returns the names left fresh.

    The neck with its classifier is taken only from a network that was trained on the same
    sequences: the classes of others are other people.

    Args:
        model: the network to train.
        bare: the same without classes; all its weights must be in the file.
        path, saved: the checkpoint, to name it, and its payload.
        titles: what the saved network and this one are called.
        data: fingerprint of what ``model`` is to be trained on.
        partial: take what fits by name and shape.

    Raises CheckpointError when weights are missing; with ``partial`` when nothing fits.
    """
    theirs, mine = titles
    found, wanted, needed = weights_of(saved), model.state_dict(), bare.state_dict()
    fit = [n for n in wanted if n in found and found[n].shape == wanted[n].shape]
    strange = [name for name in needed if name not in fit]
    if strange and not partial:
        raise CheckpointError(
            f"--init {path}: {len(strange)} weights are missing or of another shape, e.g. "
            f"{strange[0]}; it was made with other settings of {mine}; give its own, or "
            "--init-partial to take what fits"
        )
    known_classes = data is not None and saved.get("data") == data
    weights = {name: found[name] for name in fit if name in needed or known_classes}
    if not any(weight.dim() for weight in weights.values()):
        raise CheckpointError(
            f"--init {path}: not one weight of {theirs} fits {mine}; give another"
        )
    model.load_state_dict(weights, strict=False)
    return [name for name in wanted if name not in weights]


def weights_of(saved: Mapping[str, Any]) -> dict[str, Tensor]:
    """The network's weights in a checkpoint: for pre-training those of the online network."""
    weights: dict[str, Tensor] = saved["model"]
    if saved["kind"] != "pretraining":
        return weights
    online = "online."
    return {n.removeprefix(online): w for n, w in weights.items() if n.startswith(online)}
