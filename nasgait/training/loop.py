"""The training loop that the supernet and every final network share."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import InitVar, asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from tqdm import tqdm

from nasgait.config.schema import BatchConfig, LoopConfig, OptimizerConfig, TrainConfig
from nasgait.core import interrupts
from nasgait.core.distributed import World, average_gradients, largest
from nasgait.core.errors import CheckpointError, RunFailed
from nasgait.core.interrupts import Interrupted
from nasgait.core.memory import peak_memory
from nasgait.core.metrics_log import MetricsLog
from nasgait.core.precision import autocast, weight_dtype
from nasgait.data.loader import Batch, TrainLoader
from nasgait.data.sampler import frames_in_words
from nasgait.nn.losses import GaitLoss
from nasgait.nn.memory_format import to_channels_first, to_channels_last
from nasgait.training.checkpoint import (
    FORMAT,
    Checkpoints,
    interned,
    load_checkpoint,
    load_weights,
    require,
)
from nasgait.training.optim import build_optimizer, build_scheduler

logger = logging.getLogger(__name__)

PathAt = Callable[[int], tuple[int, ...]]
"""The path through the supernet at a step; a network of one path has none."""

Loss = Callable[[Any, Tensor], tuple[Tensor, dict[str, Tensor]]]
"""From the model's output and the labels to the scalar to minimise and the metrics to log."""

Model = TypeVar("Model", bound=nn.Module)


@dataclass(frozen=True)
class PeriodicEvaluation:
    """Evaluating the model while it trains."""

    every: int
    """Steps between evaluations."""
    evaluate: Callable[[], dict[str, float]]
    """Metrics to log; every rank calls it.  The first is the score of the checkpoint."""

    def __call__(self, step: int) -> dict[str, float]:
        """The metrics after ``step``; none unless it is one of those to evaluate."""
        return self.evaluate() if step % self.every == 0 else {}


WARMUP_STEPS = 3
TIMED_STEPS = 5


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
    stop: int = 0
    """The number of the signal that asked a rank to stop, as all ranks know since the last step."""
    save: bool = False
    """Whether a signal asked a rank for a checkpoint, likewise."""
    metadata: dict[str, Any] = field(default_factory=dict)
    """What the model is (kind, space, architecture, classes): written to checkpoints."""
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
            **self.metadata,
        }

    def restore(self, path: Path) -> None:
        """Resume from a checkpoint; CheckpointError for one of another recipe or model."""
        saved = load_checkpoint(path, FORMAT)
        for key, value in {**self.metadata, "recipe": asdict(self.config)}.items():
            if saved.get(key) != value:
                raise CheckpointError(
                    f"{path}: was made with another {key}; resume with the same "
                    "configuration, or give another --out"
                )
        require(path, saved, "optimizer", "scheduler", "scaler", "rng", "step")
        load_weights(path, self.model, saved["model"])
        try:
            self.optimizer.load_state_dict(interned(saved["optimizer"]))
            self.scheduler.load_state_dict(interned(saved["scheduler"]))
            self.scaler.load_state_dict(saved["scaler"])
            torch.set_rng_state(saved["rng"])
        except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
            raise CheckpointError(
                f"{path}: its optimiser, schedule or generator cannot be read ({error}); delete "
                "the file to resume from the one before, or train again"
            ) from error
        self.step = saved["step"]


def train_step(training: Training, batch: Batch, path: tuple[int, ...] | None) -> dict[str, Tensor]:
    """One optimisation step; returns the values to log.

    Notes in ``training`` what signals have asked any rank for.  Raises RunFailed on every rank,
    before the weights change, when any rank's loss is not finite.
    """
    model, world = training.model, training.world
    silhouettes = batch.silhouettes.to(world.device, training.dtype, non_blocking=True)
    labels = batch.labels.to(world.device, non_blocking=True)
    options: dict[str, Any] = {} if path is None else {"arch": path}
    if batch.lengths is not None:
        options["lengths"] = batch.lengths.to(world.device, non_blocking=True)
    with autocast(world.device, training.config.precision):
        output = model(silhouettes, **options)
    loss, values = training.loss(output, labels)
    faulty = ~torch.isfinite(loss.detach())
    asked = (interrupts.stop_signal(), int(interrupts.take_save()))
    fault, training.stop, save = largest([faulty, *asked], world)
    training.save = bool(save)
    if fault:
        raise RunFailed(
            f"the loss is not finite at step {training.step + 1}; the last checkpoint is intact: "
            "lower optimizer.lr, set optimizer.clip_norm or use precision=float32, then --resume"
        )
    training.optimizer.zero_grad(set_to_none=True)
    training.scaler.scale(loss).backward()
    average_gradients(model.parameters(), world)
    training.scaler.unscale_(training.optimizer)
    clip(model, training.config.optimizer)
    training.scaler.step(training.optimizer)
    training.scaler.update()
    training.scheduler.step()
    training.step += 1
    return {"loss": loss.detach(), **values}


def clip(model: nn.Module, config: OptimizerConfig) -> None:
    """Limit the gradient as the recipe asks for: each entry, then the norm of the whole."""
    if config.clip_value is not None:
        nn.utils.clip_grad_value_(model.parameters(), config.clip_value)
    if config.clip_norm is not None:
        nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)


def fit(
    training: Training,
    loader: TrainLoader,
    out: Path,
    path_at: PathAt | None = None,
    resume: bool = False,
    evaluation: PeriodicEvaluation | None = None,
) -> Path:
    """Train to the recipe's last step and return the final checkpoint.

    Args:
        training, loader: the model with its optimisation, and the batch of each step.
        out: directory of ``checkpoints/``, ``metrics.jsonl`` and TensorBoard events.
        path_at: the path at each step, for a supernet.
        resume: continue from the newest good checkpoint in ``out``, if there is one.
        evaluation: evaluates the model every so many steps; a checkpoint is written then, and
            the one of the best score is kept.  Its time is no training time.

    A signal to stop ends it after the step, with a checkpoint, SIGUSR1 writes one; both are gone
    after the next, so that the training ends with the files of an undisturbed one.

    Raises RunFailed when the loss is not finite, CheckpointError when the checkpoint to resume from
    belongs to another run, Interrupted on every rank after a signal to stop reached one.
    """
    config, world = training.config, training.world
    checkpoints = Checkpoints(out / "checkpoints", keep=config.keep)
    if resume and (newest := checkpoints.newest()):
        training.restore(checkpoints.directory / newest.file)
        training.seconds = newest.seconds
        logger.info("resuming %s at step %d of %d", out, training.step, config.steps)
    if world.main and training.step < config.steps:
        announce(training, loader.config)
    training.model.train()
    metrics = MetricsLog(out, training.step) if world.main else None
    began = time.perf_counter() - training.seconds
    try:
        with interrupts.deferred():
            for batch in progress(training, loader):
                path = path_at(training.step) if path_at else None
                rate = training.optimizer.param_groups[0]["lr"]  # train_step goes on to the next
                values = train_step(training, batch, path)
                training.seconds = time.perf_counter() - began
                step, evaluated = training.step, evaluation(training.step) if evaluation else {}
                began = time.perf_counter() - training.seconds
                last = step == config.steps
                if metrics and (evaluated or step % config.log_every == 0 or last):
                    numbers = {name: float(value) for name, value in values.items()}
                    numbers |= {"lr": float(rate), "seconds": round(training.seconds, 3)}
                    metrics.log(step, numbers | evaluated)
                due = bool(evaluated) or step % config.checkpoint_every == 0 or last
                if world.main and (due or training.stop or training.save):
                    score = next(iter(evaluated.values()), None)
                    seconds, interim = training.seconds, not due
                    checkpoints.save(step, training.payload(), score, seconds, interim)
                if training.stop:
                    done = f"after step {step} of {config.steps}, its checkpoint is written"
                    raise Interrupted(training.stop, done)
                if training.save and world.main:
                    logger.info("checkpoint of step %d, as SIGUSR1 asked", step)
    finally:
        if metrics:
            metrics.close()
    if not world.main:
        return out / "checkpoints"  # rank 0 may still be writing there
    final = checkpoints.latest()
    assert final is not None
    return final


def announce(training: Training, batch: BatchConfig) -> None:
    """Say what the training is about to cost, as far as it is known before the first step."""
    config, model = training.config, training.model
    parameters = sum(p.numel() for p in model.parameters()) / 1e6
    moments, checkpoints = 1 if config.optimizer.kind == "sgd" else 2, config.keep + 1
    megabytes = parameters * training.dtype.itemsize * (1 + moments) * checkpoints
    logger.info(
        f"plan: steps {training.step} to {config.steps} of {batch.ids} x {batch.seqs} sequences x "
        f"{frames_in_words(batch)}; {parameters:.2f} M parameters; up to {megabytes:.0f} MB of "
        f"disk for {checkpoints} checkpoints; time and memory follow after "
        f"{WARMUP_STEPS + TIMED_STEPS} steps"
    )


def progress(training: Training, loader: TrainLoader) -> Iterator[Batch]:
    """The batches still to do, behind a bar; after a few of them, the time the rest will take."""
    start, steps = training.step, training.config.steps
    stream = loader.stream(start, steps)
    bar = tqdm(stream, initial=start, total=steps, unit="step", disable=not training.world.main)
    began = 0.0
    for done, batch in enumerate(bar):
        if done == WARMUP_STEPS:
            began = time.perf_counter()
        if done == WARMUP_STEPS + TIMED_STEPS and training.world.main:
            pace = (time.perf_counter() - began) / TIMED_STEPS
            minutes, memory = pace * (steps - start - done) / 60, peak_memory(training.world.device)
            logger.info(
                f"cost: {pace:.3f} s a step, about {minutes:.1f} minutes to go; "
                f"peak memory {memory / 2**30:.2f} GiB"
            )
        yield batch
