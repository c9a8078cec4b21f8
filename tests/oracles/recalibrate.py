"""Exact BatchNorm statistics for a path of the supernet, by running the built subnet itself.

Each BatchNorm of the path gets the mean and variance of its own input, pooled over every valid
position of all calibration batches (and ranks), layer by layer: the inputs of a layer have passed
through layers that are already calibrated.

Each batch runs in a thread of its own.  The threads take turns, one at a time: at each BatchNorm
they wait for one another, the moments are pooled, and each continues with the pooled statistics.
So the result does not depend on how the calibration sequences are cut into batches.
"""

import threading
from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.distributed as dist
from torch import Tensor, nn

from nasgait.nn.norm import BatchNorm, Moments, moments, pool, pool_ranks


def recalibrate(model: nn.Module, forwards: Sequence[Callable[[], object]]) -> None:
    """Set the running statistics of every BatchNorm that ``forwards`` reach.

    Args:
        model: the built subnet; its weights are left alone.
        forwards: one call for each calibration batch, which runs ``model`` on it.
            Every rank gives at least one.
    """
    norms = [module for module in model.modules() if isinstance(module, BatchNorm)]
    steps = LockStep(len(forwards))
    training = model.training
    model.eval()
    try:
        for norm in norms:
            norm.forward = partial(calibrating, norm, steps.exchange)
        steps.run(forwards)
    finally:
        for norm in norms:
            del norm.forward
        model.train(training)


def calibrating(
    norm: BatchNorm,
    exchange: Callable[[Moments], Moments],
    x: Tensor,
    valid: Tensor | None = None,
) -> Tensor:
    """Normalise x by what ``exchange`` gives for its moments; keep that as running statistics."""
    found = exchange(moments(x.detach(), valid))
    norm.running_mean.copy_(found.mean)
    norm.running_var.copy_(found.m2 / found.count)
    return norm.normalise(x, norm.running_mean, norm.running_var)


class LockStep:
    """Runs callables in threads that advance together, one at a time."""

    def __init__(self, parties: int) -> None:
        self._turn = threading.Lock()
        self._barrier = threading.Barrier(parties, action=self._pool)
        self._slots: list[Moments | None] = [None] * parties
        self._party = threading.local()
        self._pooled: Moments | None = None
        self._errors: list[BaseException] = []

    def run(self, forwards: Sequence[Callable[[], object]]) -> None:
        """Run all to the end; the first exception of any is raised here."""
        threads = [
            threading.Thread(target=self._advance, args=(index, forward), daemon=True)
            for index, forward in enumerate(forwards)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._errors:
            raise self._errors[0]

    def exchange(self, moments: Moments) -> Moments:
        """Give this batch's moments, wait for the others', get those of all together."""
        self._slots[self._party.index] = moments
        self._turn.release()
        try:
            self._barrier.wait()
        finally:
            self._turn.acquire()
        assert self._pooled is not None
        return self._pooled

    def _advance(self, index: int, forward: Callable[[], object]) -> None:
        self._party.index = index
        with self._turn:
            try:
                # Gradient mode belongs to a thread, so it is set in each of them.
                with torch.inference_mode():
                    forward()
            except threading.BrokenBarrierError:
                pass  # another batch failed; its error is the one to report
            except BaseException as error:
                self._errors.append(error)
                self._barrier.abort()

    def _pool(self) -> None:
        found = pool([slot for slot in self._slots if slot is not None])
        self._pooled = pool_ranks(found, dist.get_world_size() if dist.is_initialized() else 1)
