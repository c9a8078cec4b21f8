"""Exact cost of every architecture of a space, by formula.

MACs are multiply-accumulates of convolutions and of the embedding head, for one sequence; positions
of zero padding count as work, as they do in every counter.  BatchNorm, activations, pooling, neck
and classifier are not counted.  Params are those of the embedding network: convolutions, BatchNorm
weights and biases, the exponent of the generalised mean, the separate FCs.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import prod

from nasgait.nn.blocks import Kernel, parse_block
from nasgait.nn.temporal import LTA_STRIDE, repeats
from search_spaces.spec import SpaceSpec, StageSpec


@dataclass(frozen=True)
class Cost:
    """What a network or a part of one costs."""

    macs: int
    """Multiply-accumulates for one sequence."""
    params: int
    """Learnable parameters."""

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.macs + other.macs, self.params + other.params)


@dataclass(frozen=True)
class CostTable:
    """Additive costs: an architecture costs ``base`` plus its choice in each layer."""

    base: Cost
    """Shortcuts, temporal aggregation and head, which every architecture has."""
    layers: tuple[tuple[Cost, ...], ...]
    """For each layer the cost of each of its choices."""
    frames: int
    """Frames of the sequence that MACs are stated for."""

    def total(self, choices: Sequence[int]) -> Cost:
        """Cost of the architecture with these choices."""
        picked = (layer[choice] for layer, choice in zip(self.layers, choices, strict=True))
        return sum(picked, start=self.base)

    @property
    def smallest(self) -> Cost:
        """Least MACs and least params; one architecture need not have both."""
        return self._extreme(min)

    @property
    def largest(self) -> Cost:
        """Most MACs and most params; one architecture need not have both."""
        return self._extreme(max)

    def _extreme(self, pick: Callable[[Iterable[int]], int]) -> Cost:
        macs = sum(pick(c.macs for c in layer) for layer in self.layers)
        params = sum(pick(c.params for c in layer) for layer in self.layers)
        return self.base + Cost(macs, params)


def cost_table(spec: SpaceSpec, frames: int) -> CostTable:
    """The table of a space for sequences of ``frames``.

    Sequences shorter than the network's minimum are counted as it runs them: repeated.
    """
    time = frames * repeats(frames, spec.least_frames)
    height, width = spec.size
    channels, base, layers = 1, Cost(0, 0), []
    for stage in spec.stages:
        positions = time * height * width
        layers += _stage_layers(spec, stage, channels, positions)
        out = stage.layers[-1].channels
        if stage.shortcut:
            base += _conv_bn(channels, out, (1, 1, 1), positions)
        if stage.pool:
            height, width = height // 2, width // 2
        if stage.lta:
            time //= LTA_STRIDE
            weights = LTA_STRIDE * out * out
            base += Cost(weights * time * height * width, weights)
        channels = out
    head = sum(spec.head.bins) * channels * spec.head.channels
    return CostTable(base + Cost(head, head + 1), tuple(layers), frames)


def _stage_layers(
    spec: SpaceSpec, stage: StageSpec, channels: int, positions: int
) -> list[tuple[Cost, ...]]:
    layers = []
    for layer in stage.layers:
        blocks = [parse_block(text) for text in spec.candidates(layer)]
        layers.append(tuple(_block(channels, layer.channels, b, positions) for b in blocks))
        channels = layer.channels
    return layers


def _block(channels: int, out: int, kernels: Sequence[Kernel], positions: int) -> Cost:
    inputs = [channels, *[out] * (len(kernels) - 1)]
    parts = (_conv_bn(i, out, k, positions) for i, k in zip(inputs, kernels, strict=True))
    return sum(parts, start=Cost(0, 0))


def _conv_bn(channels: int, out: int, kernel: Kernel, positions: int) -> Cost:
    weights = channels * out * prod(kernel)
    return Cost(weights * positions, weights + 2 * out)
