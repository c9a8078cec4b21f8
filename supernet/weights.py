"""A trained supernet: its checkpoint, checked against its search space."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from nasgait.core.errors import CheckpointError
from nasgait.data.split import Split, fingerprint
from nasgait.data.store import GaitStore
from nasgait.training.checkpoint import FORMAT, load_checkpoint, sha256_of, warn_if_unfinished
from nasgait.training.init import Start, read_init, take_weights
from search_spaces import load_space
from search_spaces.space import SearchSpace

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Weights:
    """A trained supernet: its weights, its space and where they come from."""

    state: Mapping[str, Tensor]
    space: SearchSpace
    sha256: str
    data: str | None = None
    """Fingerprint of the sequences that it was trained on; None where that is not known."""


def warn_of_other_data(weights: Weights, store: GaitStore, split: Split) -> None:
    """Log a warning where search-val identities may be among those that trained the supernet."""
    if weights.data not in (None, fingerprint(store, split.train)):
        logger.warning(
            "the supernet was trained on other sequences than those that train by data.* now "
            "(another split or store, or damaged ones left out): search-val identities may be "
            "among them, and then all scores are too high"
        )


def load_supernet(path: str | Path, space_name: str) -> Weights:
    """The supernet checkpoint at ``path``, which must be one over ``space_name``.

    Raises CheckpointError for a missing or damaged file, no supernet, or one of another space.
    """
    saved = load_checkpoint(path, FORMAT)
    space = load_space(space_name)
    if saved.get("kind") != "supernet":
        raise CheckpointError(f"{path}: holds a {saved.get('kind')}, not a supernet")
    if saved.get("space_sha256") != space.sha256:
        raise CheckpointError(
            f"{path}: is of space {saved.get('space')} (sha256 "
            f"{str(saved.get('space_sha256'))[:12]}), not {space.name} ({space.sha256[:12]}); "
            "give the space that it was trained on, or train again"
        )
    warn_if_unfinished(path, saved)
    return Weights(saved["model"], space, sha256_of(path), saved.get("data"))


INITS = ("supernet", "slice", "network", "pretraining")
"""Kinds of checkpoints that a supernet can start from, all but the first in part."""


def start_from(
    model: nn.Module, bare: nn.Module, space: SearchSpace, start: Start, data: str | None = None
) -> list[str]:
    """Load the weights of ``--init`` into a supernet; returns the names left fresh.

    Args:
        model: the supernet to train over ``space``.
        bare: the same without classes; all its weights must be in the file.
        start: what to start from; in part, the paths of an architecture can be filled.
        data: fingerprint of what ``model`` is to be trained on.

    Raises CheckpointError when the file holds no supernet of this space, and as
    :func:`nasgait.training.init.take_weights`.
    """
    path = str(start.init)
    saved = read_init(path, INITS, "give the checkpoint of a supernet")
    theirs = str(saved.get("arch") or saved.get("model_name") or saved.get("space"))
    same = saved["kind"] == "supernet" and saved.get("space_sha256") == space.sha256
    if not (same or start.partial):
        raise CheckpointError(
            f"--init {path}: is the {saved['kind']} of {theirs}, not the supernet of {space.name}, "
            "or the space has changed; give this one's, or --init-partial to take what fits"
        )
    return take_weights(model, bare, path, saved, (theirs, space.name), data, start.partial)
