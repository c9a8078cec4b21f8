"""Many paths of a supernet walked together: each prefix they share is computed once.

The scored clips and the clips of the calibration set go down the tree of architectures side by
side.  Shared weights see the outputs of many different layers below, so the running statistics
gathered in training fit none of the paths.  Here each BatchNorm of a path gets the mean and
variance of its own input, pooled over every valid position of all calibration batches (and
ranks), layer by layer: the inputs of a layer have passed through calibrated layers.  So the
statistics of a layer depend on the choices up to it and on nothing else, and paths that begin
alike share them exactly.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from itertools import takewhile
from typing import NamedTuple, cast

import torch
import torch.distributed as dist
from torch import Tensor

from nasgait.kernels.convolution import Convolution
from nasgait.nn.blocks import ChoiceBlock, ConvBN
from nasgait.nn.norm import BatchNorm, moments, pool, pool_ranks
from search_spaces.network import ChoiceNetwork, ChoiceUnit, Clip
from supernet.scoring.activation_cache import Column, Memory
from supernet.scoring.batch_executor import Crew
from supernet.scoring.prefix_tree import Prefix, Tree, grow

Batch = Callable[[], tuple[Tensor, Tensor]]
"""Gives silhouettes [n, s, h, w] and lengths [n]."""

Statistics = tuple[Tensor, Tensor]
"""Mean and biased variance of each channel, [c]."""


class Streams(NamedTuple):
    """The clips that have come to a place in the tree."""

    calibration: Column
    scored: Column


class Descent:
    """Embeds scored sequences by many architectures, each with statistics of its own.

    Statistics are remembered, and so are, as far as memory allows, the clips behind the layers that
    leave no choice.  The same numbers come out whatever else is embedded, in whatever order and
    memory.

    Args:
        network: the supernet, in eval mode; it is left as it is.
        calibration: the calibration set; without one the statistics of training hold.
        scored: what to embed.
        memory: for activations along a path; what does not fit is computed again.
        dtype: of the convolutions.  What else the scored clips pass through is float32, as are
            their shortcuts, and a CPU saves fewer of their products: rounding costs ranks.  The
            calibration's clips are wholly of this type: statistics forgive it.
        threads: that may look at batches side by side.
    """

    def __init__(
        self,
        network: ChoiceNetwork,
        calibration: Sequence[Batch],
        scored: Sequence[Batch],
        memory: Memory,
        dtype: torch.dtype,
        threads: int = 1,
    ) -> None:
        self._network, self._calibration, self._scored = network, calibration, scored
        self._memory, self._dtype = memory, dtype
        self._fine = dtype != torch.float32
        self._crew = Crew(threads)
        self._known: dict[tuple[ConvBN, Prefix], Statistics] = {}
        self._trunk: Streams | None = None

    def embeddings(self, architectures: Iterable[Prefix]) -> Iterator[tuple[Prefix, Tensor]]:
        """Each architecture with its embeddings, float32 [n, c, p], batch after batch.

        They come in the order of their choices, each as soon as it is known.  One call at a time:
        the next may begin when this one is exhausted or closed.
        """
        tree = grow(architectures)
        if not tree:
            return
        kept = self._memory.columns
        try:
            with self._crew:
                if self._trunk is None:
                    self._trunk = self._walked(self._forced)
                    kept = self._memory.columns
                prefix = self._forced
                for choice in prefix:
                    tree = tree[choice]
                yield from self._descend(tree, prefix, self._trunk)
        finally:
            self._memory.clear(behind=kept)

    @property
    def _forced(self) -> Prefix:
        """The first choices of every architecture: those of layers that have but one."""
        only = takewhile(lambda options: len(options) == 1, self._network.options)
        return tuple(choice for (choice,) in only)

    def _walked(self, path: Prefix) -> Streams:
        """The clips behind a path that no other branches off."""
        clips = Streams(
            self._entering(self._calibration, self._dtype),
            self._entering(self._scored, torch.float32),
        )
        for layer in range(len(path)):
            opened = self._opened(path[:layer], clips, shared=False)
            last = layer + 1 == len(self._network.units)
            behind = self._behind(path[: layer + 1], opened, last)
            release(opened)
            release(clips)
            clips = behind
        return clips

    def _descend(
        self, tree: Tree, prefix: Prefix, clips: Streams
    ) -> Iterator[tuple[Prefix, Tensor]]:
        if not tree:
            yield prefix, self._leaving(clips.scored)
            return
        opened = self._opened(prefix, clips, shared=len(tree) > 1)
        for choice, below in tree.items():
            behind = self._behind((*prefix, choice), opened, last=not below)
            yield from self._descend(below, (*prefix, choice), behind)
            release(behind)
        release(opened)

    def _opened(self, prefix: Prefix, clips: Streams, shared: bool) -> Streams:
        """The clips behind a prefix as every choice of the next layer finds them.

        They are kept for several choices if they are ``shared``.
        """
        unit = self._unit(prefix)
        calibration, scored = (column.then(unit.remember, keep=False) for column in clips)
        conv = unit.shortcut
        if conv is None:
            return Streams(calibration, scored)

        def short_cut(by: Convolution) -> Callable[[Clip], Clip]:
            return lambda clip: unit.with_shortcut(
                clip, conv.convolve(cast(Tensor, clip.stage_input), clip.valid, by)
            )

        y = calibration.then(short_cut(self._prepared(conv, self._dtype)))
        found = self._statistics(conv, self._before_stage(prefix), y, shortcut_of)
        calibration = y.then(
            lambda clip: clip._replace(shortcut=conv.norm.normalise(shortcut_of(clip), *found)),
            consume=True,
        )
        folded = conv.fold(*found, torch.float32)
        return Streams(calibration, scored.then(short_cut(folded), keep=shared))

    def _behind(self, path: Prefix, opened: Streams, last: bool) -> Streams:
        """The clips behind the last layer of a path.

        It is the ``last`` layer of all when nobody wants its calibration clips.
        """
        unit = self._unit(path[:-1])
        block, calibration, folded = unit.block(path[-1]), opened.calibration, []
        for number, conv in enumerate(block.steps()):
            wanted = not last or number < len(block.convs) - 1
            y = self._convolved(calibration, conv, keep=wanted, consume=number > 0)
            found = self._statistics(conv, path, y, lambda clip: clip.x)
            calibration = self._normalised(y, block, number, found)
            folded.append(conv.fold(*found, self._dtype, self._fine))

        def run(clip: Clip) -> Clip:
            x = block.run(clip.x, clip.valid, folded)
            return unit.close(clip._replace(x=x), in_place=True)

        calibration = calibration.then(unit.close, consume=True)
        return Streams(calibration, opened.scored.then(run, keep=not last))

    def _convolved(self, clips: Column, conv: ConvBN, keep: bool, consume: bool) -> Column:
        by = self._prepared(conv, self._dtype)
        return clips.then(
            lambda clip: clip._replace(x=conv.convolve(clip.x, clip.valid, by)), keep, consume
        )

    @staticmethod
    def _normalised(clips: Column, block: ChoiceBlock, number: int, found: Statistics) -> Column:
        norm = block.steps()[number].norm

        def step(clip: Clip) -> Clip:
            return clip._replace(x=block.activate(number, norm.normalise(clip.x, *found)))

        return clips.then(step, consume=True)

    @staticmethod
    def _prepared(conv: ConvBN, dtype: torch.dtype) -> Convolution:
        """A convolution without BatchNorm, prepared when it first runs: it may be known."""
        prepared = cache(lambda: conv.prepared(dtype))
        return lambda x: prepared()(x)

    def _statistics(
        self, conv: ConvBN, inputs: Prefix, y: Column, of: Callable[[Clip], Tensor]
    ) -> Statistics:
        """The statistics of a BatchNorm behind a prefix, from the outputs ``y`` of its conv."""
        if not len(y):
            return trained(conv.norm)
        if (conv, inputs) not in self._known:
            parts = self._crew.look(y, lambda clip: moments(of(clip), clip.valid))
            ranks = dist.get_world_size() if dist.is_initialized() else 1
            found = pool_ranks(pool(parts), ranks)
            like = trained(conv.norm)[0]
            self._known[conv, inputs] = found.mean.to(like), (found.m2 / found.count).to(like)
        return self._known[conv, inputs]

    def _entering(self, batches: Sequence[Batch], dtype: torch.dtype) -> Column:
        def enter(batch: int) -> Clip:
            clip = self._network.enter(*batches[batch]())
            return clip._replace(x=clip.x.to(dtype))

        return Column(enter, len(batches), self._memory)

    def _leaving(self, clips: Column) -> Tensor:
        leave = self._network.leave
        return torch.cat(self._crew.look(clips, lambda clip: leave(clip).embeddings.float()))

    def _before_stage(self, prefix: Prefix) -> Prefix:
        """The choices before the stage that the layer behind a prefix belongs to."""
        layer = len(prefix)
        while not self._unit(prefix[:layer]).opens:
            layer -= 1
        return prefix[:layer]

    def _unit(self, prefix: Prefix) -> ChoiceUnit:
        """The layer behind a prefix."""
        return cast(ChoiceUnit, self._network.units[len(prefix)])


def trained(norm: BatchNorm) -> Statistics:
    """The running statistics of a norm."""
    assert norm.running_mean is not None and norm.running_var is not None
    return norm.running_mean, norm.running_var


def shortcut_of(clip: Clip) -> Tensor:
    """What the shortcut has made, where there is one."""
    return cast(Tensor, clip.shortcut)


def release(clips: Streams) -> None:
    """Keep nothing of them any more."""
    for column in clips:
        column.release()
