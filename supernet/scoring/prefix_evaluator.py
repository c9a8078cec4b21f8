"""Evaluates many paths of a supernet together: each prefix they share is computed once.

The scored clips and those of the calibration set pass through the tree of architectures side by
side.  Shared weights see the outputs of many different layers below, so the running statistics
gathered in training fit none of the paths.  Here each BatchNorm of a path gets the mean and
variance of its own input, pooled over every valid position of all calibration batches (and
ranks), layer by layer: the inputs of a layer have passed through calibrated layers.  So the
statistics of a layer depend on the choices up to it and on nothing else, and paths with a common
prefix share them exactly.
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
from supernet.scoring.activation_cache import ActivationBudget, ActivationCache
from supernet.scoring.batch_executor import BatchExecutor
from supernet.scoring.prefix_tree import Prefix, PrefixTree, prefix_tree

ReadBatch = Callable[[], tuple[Tensor, Tensor]]
"""Reads a batch: silhouettes [n, s, h, w] and lengths [n]."""

Statistics = tuple[Tensor, Tensor]
"""Mean and biased variance of each channel, [c]."""


class PrefixActivations(NamedTuple):
    """The clips behind a prefix."""

    calibration: ActivationCache
    scored: ActivationCache

    def release(self) -> None:
        """Keep none of them any more."""
        for clips in self:
            clips.release()


class PrefixEvaluator:
    """Embeds scored sequences by many architectures, each with statistics of its own.

    Statistics are remembered, and so are, as far as memory allows, the clips behind the fixed
    prefix: the leading layers that have a single choice.  The result is the same whatever else is
    embedded, in whatever order and memory.

    Args:
        network: the supernet, in eval mode; it is not changed.
        calibration: the calibration set; if it is empty, the statistics of training are used.
        scored: what to embed.
        budget: for activations along a path; what does not fit is recomputed.
        dtype: of the convolutions.  All else that the scored clips pass through is float32, their
            shortcuts included, and on a CPU fewer of their products are saved, because rounding
            changes ranks.  The calibration's clips are wholly of this type: it hardly changes the
            statistics.
        threads: threads that may compute batches side by side.
    """

    def __init__(
        self,
        network: ChoiceNetwork,
        calibration: Sequence[ReadBatch],
        scored: Sequence[ReadBatch],
        budget: ActivationBudget,
        dtype: torch.dtype,
        threads: int = 1,
    ) -> None:
        self._network, self._calibration, self._scored = network, calibration, scored
        self._budget, self._dtype = budget, dtype
        self._fine = dtype != torch.float32
        self._executor = BatchExecutor(threads)
        self._known: dict[tuple[ConvBN, Prefix], Statistics] = {}
        self._fixed_activations: PrefixActivations | None = None

    def embeddings(self, architectures: Iterable[Prefix]) -> Iterator[tuple[Prefix, Tensor]]:
        """Each architecture with its embeddings, float32 [n, c, p], batch after batch.

        They come in the order of their choices, each as soon as it is known.  One call at a time:
        the next may begin when this one is exhausted or closed.
        """
        tree = prefix_tree(architectures)
        if not tree:
            return
        kept = self._budget.caches
        try:
            with self._executor:
                if self._fixed_activations is None:
                    self._fixed_activations = self._single_path(self._fixed_prefix)
                    kept = self._budget.caches
                prefix = self._fixed_prefix
                for choice in prefix:
                    tree = tree[choice]
                yield from self._subtree(tree, prefix, self._fixed_activations)
        finally:
            self._budget.clear(keep=kept)

    @property
    def _fixed_prefix(self) -> Prefix:
        """The leading choices of layers that have only one."""
        only = takewhile(lambda options: len(options) == 1, self._network.options)
        return tuple(choice for (choice,) in only)

    def _single_path(self, path: Prefix) -> PrefixActivations:
        """The clips behind a prefix from which no other path branches off."""
        clips = PrefixActivations(
            self._input(self._calibration, self._dtype),
            self._input(self._scored, torch.float32),
        )
        for layer in range(len(path)):
            inputs = self._layer_input(path[:layer], clips, shared=False)
            last = layer + 1 == len(self._network.units)
            outputs = self._layer_output(path[: layer + 1], inputs, last)
            inputs.release()
            clips.release()
            clips = outputs
        return clips

    def _subtree(
        self, tree: PrefixTree, prefix: Prefix, clips: PrefixActivations
    ) -> Iterator[tuple[Prefix, Tensor]]:
        """The embeddings of all architectures of a tree, from the clips behind their prefix."""
        if not tree:
            yield prefix, self._embeddings(clips.scored)
            return
        inputs = self._layer_input(prefix, clips, shared=len(tree) > 1)
        for choice, below in tree.items():
            outputs = self._layer_output((*prefix, choice), inputs, last=not below)
            yield from self._subtree(below, (*prefix, choice), outputs)
            outputs.release()
        inputs.release()

    def _layer_input(
        self, prefix: Prefix, clips: PrefixActivations, shared: bool
    ) -> PrefixActivations:
        """The clips that every choice of the next layer starts from, shortcut included.

        They are kept for several choices if they are ``shared``.
        """
        unit = self._unit(prefix)
        calibration, scored = (part.then(unit.remember, keep=False) for part in clips)
        conv = unit.shortcut
        if conv is None:
            return PrefixActivations(calibration, scored)

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
        return PrefixActivations(calibration, scored.then(short_cut(folded), keep=shared))

    def _layer_output(
        self, path: Prefix, inputs: PrefixActivations, last: bool
    ) -> PrefixActivations:
        """The clips behind the last layer of a path.

        If it is the ``last`` layer of the network, its calibration clips are not needed.
        """
        unit = self._unit(path[:-1])
        block, calibration, folded = unit.block(path[-1]), inputs.calibration, []
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
        return PrefixActivations(calibration, inputs.scored.then(run, keep=not last))

    def _convolved(
        self, clips: ActivationCache, conv: ConvBN, keep: bool, consume: bool
    ) -> ActivationCache:
        by = self._prepared(conv, self._dtype)
        return clips.then(
            lambda clip: clip._replace(x=conv.convolve(clip.x, clip.valid, by)), keep, consume
        )

    @staticmethod
    def _normalised(
        clips: ActivationCache, block: ChoiceBlock, number: int, found: Statistics
    ) -> ActivationCache:
        norm = block.steps()[number].norm

        def step(clip: Clip) -> Clip:
            return clip._replace(x=block.activate(number, norm.normalise(clip.x, *found)))

        return clips.then(step, consume=True)

    @staticmethod
    def _prepared(conv: ConvBN, dtype: torch.dtype) -> Convolution:
        """A convolution without BatchNorm, prepared when it first runs, if it ever does."""
        prepared = cache(lambda: conv.prepared(dtype))
        return lambda x: prepared()(x)

    def _statistics(
        self, conv: ConvBN, inputs: Prefix, y: ActivationCache, of: Callable[[Clip], Tensor]
    ) -> Statistics:
        """The statistics of a BatchNorm, from the outputs ``y`` of its convolution.

        They are computed once for each prefix ``inputs`` that leads to it.
        """
        if not len(y):
            return trained(conv.norm)
        if (conv, inputs) not in self._known:
            batches = self._executor.map(lambda clip: moments(of(clip), clip.valid), y)
            ranks = dist.get_world_size() if dist.is_initialized() else 1
            found = pool_ranks(pool(batches), ranks)
            like = trained(conv.norm)[0]
            self._known[conv, inputs] = found.mean.to(like), (found.m2 / found.count).to(like)
        return self._known[conv, inputs]

    def _input(self, batches: Sequence[ReadBatch], dtype: torch.dtype) -> ActivationCache:
        """The clips that the first layer takes."""

        def enter(batch: int) -> Clip:
            clip = self._network.enter(*batches[batch]())
            return clip._replace(x=clip.x.to(dtype))

        return ActivationCache(enter, len(batches), self._budget)

    def _embeddings(self, clips: ActivationCache) -> Tensor:
        leave = self._network.leave
        return torch.cat(self._executor.map(lambda clip: leave(clip).embeddings.float(), clips))

    def _before_stage(self, prefix: Prefix) -> Prefix:
        """The choices before the stage of the layer that follows a prefix."""
        layer = len(prefix)
        while not self._unit(prefix[:layer]).opens:
            layer -= 1
        return prefix[:layer]

    def _unit(self, prefix: Prefix) -> ChoiceUnit:
        """The layer that follows a prefix."""
        return cast(ChoiceUnit, self._network.units[len(prefix)])


def trained(norm: BatchNorm) -> Statistics:
    """The running statistics of a norm."""
    assert norm.running_mean is not None and norm.running_var is not None
    return norm.running_mean, norm.running_var


def shortcut_of(clip: Clip) -> Tensor:
    """The output of the shortcut, where there is one."""
    return cast(Tensor, clip.shortcut)
