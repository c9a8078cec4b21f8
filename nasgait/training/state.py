"""What a training changes, and all that its checkpoints hold to go on."""

import logging
from collections.abc import Callable
from dataclasses import InitVar, asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from nasgait.config.schema import LoopConfig, TrainConfig
from nasgait.core.distributed import World
from nasgait.core.errors import CheckpointError
from nasgait.core.precision import weight_dtype
from nasgait.nn.losses import GaitLoss
from nasgait.nn.memory_format import to_channels_first, to_channels_last
from nasgait.training.changes import changes_of
from nasgait.training.checkpoint import FORMAT, interned, load_checkpoint, load_weights, require
from nasgait.training.optim import build_optimizer, build_scheduler, change_rate

logger = logging.getLogger(__name__)

Loss = Callable[[Any, Tensor], tuple[Tensor, dict[str, Tensor]]]
"""From the model's output and the labels to the scalar to minimise and the metrics to log."""

Model = TypeVar("Model", bound=nn.Module)


@dataclass
class Training(Generic[Model]):
    """What optimisation changes, and all that a checkpoint must hold to go on."""

    model: Model
    config: LoopConfig
    world: World
    step: int = 0
    """Steps done."""
    seconds: float = 0.0
    """Wall time of those steps, over all resumptions."""
    metadata: dict[str, Any] = field(default_factory=dict)
    """What the model is (kind, space, architecture, classes): written to checkpoints."""
    section: str = field(default="recipe", kw_only=True)
    """The key at which the recipe stands in the configuration, to name its keys."""
    recipe_changes: list[dict[str, Any]] = field(default_factory=list, kw_only=True)
    """What changed in the recipe on the way (:func:`nasgait.training.changes.changes_of`)."""
    stop: int = field(default=0, kw_only=True)
    """The number of the signal that asked a rank to stop, as all ranks know since the last step."""
    save: bool = field(default=False, kw_only=True)
    """Whether a signal asked a rank for a checkpoint, likewise."""
    criterion: InitVar[Loss | None] = None
    """What is minimised; the recipe's losses over labels by default."""

    def __post_init__(self, criterion: Loss | None) -> None:
        self.dtype = weight_dtype(self.config.precision)
        self.model.to(self.world.device, self.dtype)
        (to_channels_last if self.config.channels_last else to_channels_first)(self.model)
        self.optimizer = build_optimizer(self.model.parameters(), self.config.optimizer)
        self.scheduler = build_scheduler(self.optimizer, self.config)
        self.scaler = torch.amp.GradScaler(
            self.world.device.type, enabled=self.config.precision == "float16"
        )
        if criterion is None:
            assert isinstance(self.config, TrainConfig), "another recipe brings its own criterion"
            criterion = GaitLoss(self.config.loss)
        self.loss = criterion

    def payload(self) -> dict[str, Any]:
        """The checkpoint: loads with ``weights_only=True``.

        The sampler's position is ``step``: (seed, step) alone decide batches, paths and changes.
        """
        return {
            "format": FORMAT,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "scaler": self.scaler.state_dict(),
            "rng": torch.get_rng_state(),
            "step": self.step,
            "recipe": asdict(self.config),
            "recipe_changes": self.recipe_changes,
            **self.metadata,
        }

    def restore(self, path: Path) -> None:
        """Resume from a checkpoint, and note what changes in the recipe.

        CheckpointError for another model, or a change that no training can go on with.
        """
        saved = load_checkpoint(path, FORMAT)
        require(path, saved, "optimizer", "scheduler", "scaler", "rng", "step")
        changes = changes_of(path, saved, self.metadata, asdict(self.config), self.section)
        load_weights(path, self.model, saved["model"])
        try:
            self.optimizer.load_state_dict(interned(saved["optimizer"]))
            self.scheduler.load_state_dict(interned(saved["scheduler"]))
            if saved["scaler"]:  # only float16 has one
                self.scaler.load_state_dict(saved["scaler"])
            torch.set_rng_state(saved["rng"])
        except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
            raise CheckpointError(
                f"{path}: its optimiser, schedule or generator cannot be read ({error}); delete "
                "the file to resume from the one before, or train again"
            ) from error
        for change in changes:
            logger.info("from step %(step)d on: %(key)s %(after)s, was %(before)s", change)
        self.recipe_changes = interned([*saved.get("recipe_changes", []), *changes])
        if "optimizer.lr" in [change["key"] for change in changes]:
            change_rate(self.optimizer, self.scheduler, self.config.optimizer.lr)
        self.step = saved["step"]
