"""The network that is trained: a path of a space, or a hand-designed one."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nasgait.baselines import registry
from nasgait.engine.checkpoint import FORMAT, load_checkpoint
from nasgait.errors import CheckpointError, ConfigError
from nasgait.nn.output import GaitNetwork
from search_spaces import load_architecture, load_space


@dataclass(frozen=True)
class Subject:
    """Names a network so that it can be built again, here or from a checkpoint."""

    arch: str | None = None
    """Choices in print, ``nano:0-1-2-3``."""
    space: str | None = None
    """Name or file of the search space of ``arch``."""
    space_sha256: str | None = None
    """The space's fingerprint."""
    model: str | None = None
    """Name of a hand-designed network; then there is no ``arch``."""

    @classmethod
    def of(cls, arch: str | None, model: str | None) -> "Subject":
        """From ``--arch`` (printed form or file) or ``--model``; ConfigError if unknown."""
        if (arch is None) == (model is None):
            raise ConfigError("give either --arch or --model")
        if model is not None:
            registry.build(model)
            return cls(model=model)
        space, architecture = load_architecture(str(arch))
        return cls(str(architecture), space.source, space.sha256)

    @property
    def title(self) -> str:
        """What the results call it unless they are told a name."""
        return str(self.model or self.arch)

    def build(self, num_classes: int | None = None) -> GaitNetwork:
        """The network; without classes no neck and no classifier.

        Raises CheckpointError when the space is not the one it was named from.
        """
        if self.model is not None:
            return registry.build(self.model, num_classes)
        space = load_space(str(self.space))
        if space.sha256 != self.space_sha256:
            raise CheckpointError(
                f"space {self.space} has changed (sha256 {space.sha256[:12]}, was "
                f"{str(self.space_sha256)[:12]}); give back the space that it was made with"
            )
        return space.build(space.parse(str(self.arch)), num_classes)

    def identity(self) -> dict[str, Any]:
        """What a checkpoint says of the network."""
        return {
            "kind": "network",
            "arch": self.arch,
            "space": self.space,
            "space_sha256": self.space_sha256,
            "model_name": self.model,
        }


def load_network(path: str | Path) -> tuple[GaitNetwork, Mapping[str, Any]]:
    """The trained embedding network of a checkpoint (without neck) and the checkpoint's payload.

    Raises CheckpointError for anything but the checkpoint of a final network.
    """
    saved = load_checkpoint(path, FORMAT)
    if saved.get("kind") != "network":
        raise CheckpointError(
            f"{path}: holds a {saved.get('kind')}, not a trained network; make one with "
            "nasgait retrain"
        )
    subject = Subject(saved["arch"], saved["space"], saved["space_sha256"], saved["model_name"])
    model = subject.build(saved["num_classes"])
    model.load_state_dict(saved["model"])
    return model.eval(), saved


def start_from(
    model: GaitNetwork, bare: GaitNetwork, subject: Subject, path: str | Path
) -> list[str]:
    """Load a slice written by ``nasgait export`` into ``model``; returns the names left fresh.

    Args:
        model: the network to train.
        bare: the same without classes; all its weights must be in the slice.
        subject: what ``model`` is.
        path: the slice.

    Raises CheckpointError when the slice is another architecture's.
    """
    saved = load_checkpoint(path, FORMAT)
    if saved.get("kind") != "slice":
        raise CheckpointError(f"--init {path}: holds a {saved.get('kind')}; give a nasgait export")
    mine = (subject.arch, subject.space_sha256)
    if (saved["arch"], saved["space_sha256"]) != mine:
        raise CheckpointError(
            f"--init {path}: is the slice of {saved['arch']}, not of {subject.title}, or its space "
            "has changed; export this architecture"
        )
    weights = {name: saved["model"][name] for name in bare.state_dict()}
    model.load_state_dict(weights, strict=False)
    return [name for name in model.state_dict() if name not in weights]
