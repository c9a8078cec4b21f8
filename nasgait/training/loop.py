"""The training loop that the supernet and every final network share."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from nasgait.config.schema import BatchConfig, OptimizerConfig
from nasgait.core import interrupts
from nasgait.core.distributed import agreed, average_gradients, largest
from nasgait.core.errors import CheckpointError, DataError, RunFailed
from nasgait.core.memory import peak_memory
from nasgait.core.metrics_log import MetricsLog
from nasgait.core.precision import autocast
from nasgait.data.loader import Batch, TrainLoader
from nasgait.data.sampler import frames_in_words
from nasgait.training.checkpoint import Checkpoints
from nasgait.training.not_finite import cure, refuse_broken_weights
from nasgait.training.state import Loss, Training

__all__ = ["Loss", "PathAt", "PeriodicEvaluation", "Training", "fit", "train_step"]

logger = logging.getLogger(__name__)

PathAt = Callable[[int], tuple[int, ...]]
"""The path through the supernet at a step; a network of one path has none."""


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
        advice = cure(training.config, training.section)
        raise RunFailed(f"the loss is not finite at step {training.step + 1}; {advice}")
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

    Raises RunFailed when loss or weights are not finite, CheckpointError when the checkpoint to
    resume from belongs to another run, DataError when the ranks would train on different sequences,
    Interrupted on every rank after a signal to stop reached one.
    """
    config, world = training.config, training.world
    require_same_data(training)
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
                if due or training.stop or training.save:
                    save(training, checkpoints, next(iter(evaluated.values()), None), not due)
    finally:
        if metrics:
            metrics.close()
    if not world.main:
        return out / "checkpoints"  # rank 0 may still be writing there
    return final_checkpoint(checkpoints, config.steps)


def require_same_data(training: Training) -> None:
    """Raise DataError on every rank unless all train on the same sequences."""
    if not agreed(training.metadata.get("data"), training.world):
        raise DataError(
            "data.store: the ranks have different stores, or found different sequences damaged "
            "(data.on_damage=skip); check it on every machine with nasgait data check"
        )


def save(training: Training, checkpoints: Checkpoints, score: float | None, interim: bool) -> None:
    """Write a checkpoint; after it a signal to stop ends the training with Interrupted.

    ``interim``: only a signal asked for it.  Raises RunFailed for weights that are not finite.
    """
    config, step = training.config, training.step
    refuse_broken_weights(training.model, step, config, training.section)
    if training.world.main:
        checkpoints.save(step, training.payload(), score, training.seconds, interim)
    if training.stop:
        done = f"after step {step} of {config.steps}, its checkpoint is written"
        raise interrupts.Interrupted(training.stop, done)
    if training.save and training.world.main:
        logger.info("checkpoint of step %d, as SIGUSR1 asked", step)


def final_checkpoint(checkpoints: Checkpoints, steps: int) -> Path:
    """The one after all steps; CheckpointError if it is not as it was written."""
    final = checkpoints.newest()
    if final is None or final.step < steps:
        raise CheckpointError(
            f"{checkpoints.directory}: the checkpoint of step {steps} is not as it was written; "
            "check the disk, then --resume goes on from the one before"
        )
    return checkpoints.directory / final.file


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
