"""The network that is trained: a path of a space, or a hand-designed one."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nasgait.baselines import registry
from nasgait.core.errors import CheckpointError, ConfigError
from nasgait.nn.base import GaitNetwork
from nasgait.training.checkpoint import (
    FORMAT,
    load_checkpoint,
    load_weights,
    require,
    warn_if_unfinished,
)
from nasgait.training.init import read_init, take_weights, weights_of
from search_spaces import load_architecture, load_space

INITS = ("slice", "pretraining", "network")
"""Kinds of checkpoints that a training can start from."""


@dataclass(frozen=True)
class NetworkSpec:
    """Names a network so that it can be built again, here or from a checkpoint."""

    arch: str | None = None
    """Choices in print, ``nano:0-1-2-3``."""
    space: str | None = None
    """Name or file of the search space of ``arch``."""
    space_sha256: str | None = None
    """The space's fingerprint."""
    model: str | None = None
    """Name of a hand-designed network; then there is no ``arch``."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Arguments that replace those of the named network: a converted one may be wider."""

    @classmethod
    def of(
        cls, arch: str | None, model: str | None, settings: Mapping[str, Any] | None = None
    ) -> "NetworkSpec":
        """From ``--arch`` (printed form or file) or ``--model``; ConfigError if unknown."""
        if (arch is None) == (model is None):
            raise ConfigError("give either --arch or --model")
        if model is not None:
            registry.build(model, **(settings or {}))
            return cls(model=model, settings=settings or {})
        space, architecture = load_architecture(str(arch))
        return cls(str(architecture), space.source, space.sha256)

    @classmethod
    def recorded(cls, saved: Mapping[str, Any]) -> "NetworkSpec":
        """That of a checkpoint; a slice of a supernet names no model."""
        model, settings = saved.get("model_name"), saved.get("settings", {})
        return cls(saved["arch"], saved["space"], saved["space_sha256"], model, settings)

    @property
    def title(self) -> str:
        """What the results call it unless it is given a name."""
        return str(self.model or self.arch)

    def build(self, num_classes: int | None = None) -> GaitNetwork:
        """The network; without classes no neck and no classifier.

        Raises CheckpointError when the space is not the one it was named from.
        """
        if self.model is not None:
            return registry.build(self.model, num_classes, **self.settings)
        space = load_space(str(self.space))
        if space.sha256 != self.space_sha256:
            raise CheckpointError(
                f"space {self.space} has changed (sha256 {space.sha256[:12]}, was "
                f"{str(self.space_sha256)[:12]}); give back the space that it was made with"
            )
        return space.build(space.parse(str(self.arch)), num_classes)

    def metadata(self) -> dict[str, Any]:
        """What a checkpoint says of the network."""
        return {
            "kind": "network",
            "arch": self.arch,
            "space": self.space,
            "space_sha256": self.space_sha256,
            "model_name": self.model,
            "settings": dict(self.settings),
        }


def load_network(path: str | Path) -> tuple[GaitNetwork, Mapping[str, Any]]:
    """The trained embedding network of a checkpoint (without neck) and the checkpoint's payload.

    Raises CheckpointError for anything but the checkpoint of a final or a pre-trained network.
    """
    saved = load_checkpoint(path, FORMAT)
    if saved.get("kind") not in ("network", "pretraining"):
        raise CheckpointError(
            f"{path}: holds a {saved.get('kind')}, not a trained network; make one with "
            "nasgait retrain"
        )
    require(path, saved, "arch", "space", "space_sha256", "model_name")
    warn_if_unfinished(path, saved)
    model = NetworkSpec.recorded(saved).build(saved.get("num_classes"))
    load_weights(path, model, weights_of(saved))
    return model.eval(), saved


def start_from(
    model: GaitNetwork,
    bare: GaitNetwork,
    spec: NetworkSpec,
    path: str | Path,
    data: str | None = None,
    partial: bool = False,
) -> list[str]:
    """Load the weights of ``--init`` into ``model``; returns the names left fresh.

    Args:
        model: the network to train, described by ``spec``.
        bare: the same without classes; all its weights must be in the file.
        path: a slice of a supernet, or a checkpoint of pre-training or of a final network.
        data: fingerprint of what ``model`` is to be trained on.
        partial: take what fits by name and shape, of whatever network.

    Raises CheckpointError when the file holds another architecture, and as
    :func:`nasgait.training.init.take_weights`.
    """
    cure = "give a nasgait export, or a checkpoint of nasgait pretrain or nasgait retrain"
    saved = read_init(path, INITS, cure)
    require(path, saved, "arch", "space", "space_sha256")
    theirs = NetworkSpec.recorded(saved)
    # A space may lie elsewhere now; other settings show in the shapes of the weights.
    same = replace(theirs, space=spec.space, settings=spec.settings) == spec
    if not (same or partial):
        raise CheckpointError(
            f"--init {path}: is the {saved['kind']} of {theirs.title}, not of {spec.title}, or "
            "its space has changed; give this network's, or --init-partial to take what fits"
        )
    return take_weights(model, bare, path, saved, (theirs.title, spec.title), data, partial)
