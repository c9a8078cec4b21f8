"""Exact BatchNorm statistics for a path of the supernet.

Shared weights see the outputs of many different layers below, so the running
statistics gathered in training fit none of the paths.  Here each BatchNorm of a
chosen path gets the mean and variance of its own input, pooled over every valid
position of all calibration batches (and ranks), layer by layer: the inputs of a
layer have passed through layers that are already calibrated.

A batch is one thread.  All of them advance in lock step, one running at a time:
at each BatchNorm they wait for one another, the moments are pooled, and each
goes on with the pooled statistics.  So the result does not depend on how the
calibration sequences are cut into batches, and any network built on
``nasgait.nn.norm.BatchNorm`` can be calibrated without knowing of it.
"""

import threading
from collections.abc import Callable, Sequence

import torch
import torch.distributed as dist
from torch import nn

from nasgait.nn.norm import BatchNorm, Moments, pool, pool_ranks


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
            norm.calibrate = steps.exchange
        steps.run(forwards)
    finally:
        for norm in norms:
            norm.calibrate = None
        model.train(training)


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
        moments = pool([slot for slot in self._slots if slot is not None])
        self._pooled = pool_ranks(moments, dist.get_world_size() if dist.is_initialized() else 1)
