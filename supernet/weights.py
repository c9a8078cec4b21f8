"""A trained supernet: its checkpoint, checked against its search space."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from nasgait.core.errors import CheckpointError
from nasgait.training.checkpoint import FORMAT, load_checkpoint, sha256_of, warn_if_unfinished
from search_spaces import load_space
from search_spaces.space import SearchSpace


@dataclass(frozen=True)
class Weights:
    """A trained supernet: its weights, its space and where they come from."""

    state: Mapping[str, Tensor]
    space: SearchSpace
    sha256: str


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
    return Weights(saved["model"], space, sha256_of(path))
