"""Exact BatchNorm statistics of many paths of a supernet, each shared prefix measured once.

Shared weights see the outputs of many different layers below, so the running statistics
gathered in training fit none of the paths.  Here each BatchNorm of a path gets the mean and
variance of its own input, pooled over every valid position of all calibration batches (and
ranks), layer by layer: the inputs of a layer have passed through calibrated layers.  So the
statistics of a layer depend on the choices up to it and on nothing else, and paths that begin
alike share them exactly.  ``supernet.recalibrate`` does the same for one network of any kind.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor

from nasgait.nn.blocks import ChoiceBlock, ConvBN
from nasgait.nn.norm import BatchNorm, moments, pool, pool_ranks
from search_spaces.network import ChoiceNetwork, ChoiceUnit, Clip
from supernet.column import Column, Memory
from supernet.tree import Prefix, Tree, grow

T = TypeVar("T")

Batch = tuple[Tensor, Tensor]
"""Silhouettes [n, s, h, w] and lengths [n]."""

Statistics = tuple[Tensor, Tensor]
"""Mean and biased variance of each channel, float32 [c]."""

Arithmetic = Callable[[], AbstractContextManager[None]]
"""Gives the context of a forward pass, e.g. autocast."""


class Calibration:
    """Measures the statistics of paths, and remembers them.

    The same numbers come out whatever else is measured, in whatever order and memory.

    Args:
        network: the supernet, in eval mode; the statistics in its norms are overwritten.
        batches: the calibration set; without one the statistics of training hold.
        memory: for the activations of the calibration set along a path; what does not fit
            is computed again.
        arithmetic: of the forward passes.
    """

    def __init__(
        self,
        network: ChoiceNetwork,
        batches: Sequence[Batch],
        memory: Memory,
        arithmetic: Arithmetic,
    ) -> None:
        self._network, self._batches = network, batches
        self._memory, self._arithmetic = memory, arithmetic
        self._known: dict[tuple[ConvBN, Prefix], Statistics] = {}

    def measure(self, architectures: Iterable[Prefix]) -> None:
        """Measure what is not known yet of the paths to these architectures."""
        if not self._batches:
            return
        for module in self._network.modules():
            if isinstance(module, ConvBN):
                module.folded = None
        new = [path for path in architectures if not self._is_known(path)]
        with torch.inference_mode(), self._arithmetic():
            self._descend(
                grow(new), (), self._column(lambda i: self._network.enter(*self._batches[i]))
            )

    def fold(self, path: Prefix, dtype: torch.dtype) -> None:
        """Fold BatchNorm into convolution in the last layer of a measured path.

        Args:
            path: the first choices of an architecture.
            dtype: of the folded weights.
        """
        for conv, inputs in self._last_layer(path):
            conv.folded = conv.fold(*self._known.get((conv, inputs), trained(conv.norm)), dtype)

    def _descend(self, tree: Tree, prefix: Prefix, clips: Column[Clip]) -> None:
        for choice, below in tree.items():
            path = (*prefix, choice)
            if self._is_known(path):
                behind = self._pass(path, clips)
            else:
                behind = self._measure_layer(path, clips, last=not below)
            self._descend(below, path, behind)
            behind.release()

    def _pass(self, path: Prefix, clips: Column[Clip]) -> Column[Clip]:
        """The clips behind the last layer of a path, all of which is known."""
        for conv, inputs in self._last_layer(path):
            self._adopt(conv, inputs)
        unit = self._unit(path)
        return self._column(lambda i: unit(clips[i], path[-1]), held_by_clip)

    def _measure_layer(self, path: Prefix, clips: Column[Clip], last: bool) -> Column[Clip]:
        """The same for a path whose last layer is new.

        It is the ``last`` layer of all when nobody wants the clips behind it.
        """
        unit = self._unit(path)
        block = unit.block(path[-1])
        opened = self._column(lambda i: unit.open(clips[i]))
        if unit.shortcut is not None:
            stage_input = self._column(lambda i: cast(Tensor, opened[i].stage_input))
            y = self._convolved(unit.shortcut, stage_input, opened, keep=False)
            self._measure(unit.shortcut, self._before_stage(path), y, opened)
        x = self._column(lambda i: opened[i].x)
        for number, conv in enumerate(block.steps()):
            wanted = not last or number < len(block.convs) - 1
            y = self._convolved(conv, x, opened, keep=wanted)
            self._measure(conv, path, y, opened)
            x = self._normalised(block, number, y)
        return self._column(lambda i: unit.close(x[i], opened[i]), held_by_clip, consumes=x)

    def _convolved(
        self, conv: ConvBN, x: Column[Tensor], opened: Column[Clip], keep: bool
    ) -> Column[Tensor]:
        return self._column(
            lambda i: conv.convolve(x[i], opened[i].valid),
            held_itself if keep else None,
            consumes=x,
        )

    def _normalised(self, block: ChoiceBlock, number: int, y: Column[Tensor]) -> Column[Tensor]:
        norm = block.steps()[number].norm
        return self._column(lambda i: block.activate(number, norm(y[i])), held_itself, consumes=y)

    def _measure(
        self, conv: ConvBN, inputs: Prefix, y: Column[Tensor], opened: Column[Clip]
    ) -> None:
        """See that the norm behind ``conv`` has the statistics of its inputs ``y``."""
        if (conv, inputs) in self._known:
            self._adopt(conv, inputs)
            return
        found = pool([moments(x, clip.valid) for x, clip in zip(y, opened, strict=True)])
        ranks = dist.get_world_size() if dist.is_initialized() else 1
        conv.norm.adopt(pool_ranks(found, ranks))
        mean, var = trained(conv.norm)
        self._known[conv, inputs] = mean.clone(), var.clone()

    def _adopt(self, conv: ConvBN, inputs: Prefix) -> None:
        for mine, value in zip(trained(conv.norm), self._known[conv, inputs], strict=True):
            mine.copy_(value)

    def _is_known(self, path: Prefix) -> bool:
        return all(norm in self._known for norm in self._last_layer(path))

    def _last_layer(self, path: Prefix) -> list[tuple[ConvBN, Prefix]]:
        """The convolutions of a path's last layer, each with the choices its norm depends on."""
        unit = self._unit(path)
        convs = [(conv, path) for conv in unit.block(path[-1]).steps()]
        if unit.shortcut is not None:
            convs.append((unit.shortcut, self._before_stage(path)))
        return convs

    def _before_stage(self, path: Prefix) -> Prefix:
        """The choices before the stage that a path's last layer belongs to."""
        layer = len(path) - 1
        while not self._network.units[layer].opens:
            layer -= 1
        return path[:layer]

    def _unit(self, path: Prefix) -> ChoiceUnit:
        return cast(ChoiceUnit, self._network.units[len(path) - 1])

    def _column(
        self,
        make: Callable[[int], T],
        held: Callable[[T], list[Tensor]] | None = None,
        consumes: Column[Any] | None = None,
    ) -> Column[T]:
        return Column(make, len(self._batches), self._memory, held, consumes)


def trained(norm: BatchNorm) -> Statistics:
    """The running statistics of a norm."""
    assert norm.running_mean is not None and norm.running_var is not None
    return norm.running_mean, norm.running_var


def held_itself(x: Tensor) -> list[Tensor]:
    """What a tensor holds on to."""
    return [x]


def held_by_clip(clip: Clip) -> list[Tensor]:
    """What a clip holds on to."""
    return [x for x in (clip.x, clip.stage_input) if x is not None]
