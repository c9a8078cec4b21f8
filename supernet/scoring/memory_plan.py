"""How a memory budget is divided among batches, activations and embeddings."""

from dataclasses import dataclass
from fractions import Fraction
from math import prod

import torch

from nasgait.core.errors import ConfigError
from nasgait.evaluation.embed import PIXELS
from nasgait.nn.blocks import parse_block
from nasgait.nn.temporal import LTA_STRIDE
from search_spaces.spec import SpaceSpec

WORKING_SET = 6
"""Tensors of the size of the largest activation that exist at once while a batch is computed."""

WEIGHTS = 10
"""Memory that a path's convolutions take beside the supernet, in multiples of their size: folded,
and as :mod:`nasgait.kernels.winograd` splits them along two axes (four times as large), folded and
not."""

EMBEDDINGS = 2
"""Copies of an architecture's embeddings: in the order of batches and in that of sequences."""

SIDE_BY_SIDE = 1 << 18
"""Bytes of a frame's largest activation from which a batch for each thread pays off on a CPU: with
less to compute the threads wait for each other's Python (nano, 45 KB: a fifth slower;
sposgait-small, 721 KB: an eighth faster)."""


@dataclass(frozen=True)
class MemoryPlan:
    """What may be held in memory at once."""

    batch_frames: int
    """Frames of a batch, padding included."""
    threads: int
    """Batches that may be computed at once."""
    activations: float
    """Bytes of activations that are kept for their next use."""


@dataclass(frozen=True)
class NetworkMemory:
    """The memory that the networks of a space need."""

    pixels: int
    """Pixels of a frame."""
    frame: int
    """Bytes of the largest activation, for each frame of input."""
    embedding: int
    """Bytes of the embedding of one sequence."""
    weights: int
    """Bytes of the convolutions of the largest path."""

    @classmethod
    def of(cls, spec: SpaceSpec) -> "NetworkMemory":
        """The most that any architecture of a space needs, activations in float32."""
        height, width = spec.size
        time, largest, weights, inputs = Fraction(1), Fraction(0), 0, 1
        for stage in spec.stages:
            for layer in stage.layers:
                weights += max(
                    _weights(text, inputs, layer.channels) for text in spec.candidates(layer)
                )
                inputs = layer.channels
            channels = max(layer.channels for layer in stage.layers)
            largest = max(largest, channels * height * width * time)
            if stage.pool:
                height, width = height // 2, width // 2
            if stage.lta:
                time /= LTA_STRIDE
        embedding = spec.head.channels * sum(spec.head.bins)
        number = torch.float32.itemsize
        return cls(
            spec.size[0] * spec.size[1],
            int(largest * number),
            embedding * number,
            weights * number,
        )

    def plan(
        self, memory: float, longest: int, device: torch.device, calibration: int, scored: int
    ) -> MemoryPlan:
        """Divide ``memory`` bytes.

        Batches are as large as suits the device; on a CPU, if networks are large, as many at once
        as torch has threads.  Where memory is short they are smaller and fewer.

        Args:
            memory: bytes in all.
            longest: frames of the longest sequence.
            device: where to compute.
            calibration: bytes of the calibration set, which stays in memory.
            scored: sequences to embed; all embeddings of one architecture are held.

        Raises:
            ConfigError: there is not enough for the longest sequence.
        """
        held = calibration + EMBEDDINGS * scored * self.embedding + WEIGHTS * self.weights
        least = held + WORKING_SET * self.frame * longest
        if least > memory:
            raise ConfigError(
                f"search.memory {memory:.3g} is too little: a sequence of {longest} frames, the "
                f"calibration set, embeddings of {scored} sequences and weights need {least:.3g}; "
                "raise it, or lower search.max_frames, search.max_sequences or search.calibration"
            )
        affordable = int((memory - held) / 2 // (WORKING_SET * self.frame))
        side_by_side = device.type == "cpu" and self.frame >= SIDE_BY_SIDE
        threads = min(torch.get_num_threads(), affordable // longest) if side_by_side else 1
        threads = max(1, threads)
        batch_frames = max(longest, min(PIXELS[device.type] // self.pixels, affordable // threads))
        working_sets = threads * WORKING_SET * self.frame * batch_frames
        return MemoryPlan(batch_frames, threads, memory - held - working_sets)


def _weights(block: str, inputs: int, outputs: int) -> int:
    """The number of weights of a block's convolutions."""
    count = 0
    for kernel in parse_block(block):
        count += prod(kernel) * inputs * outputs
        inputs = outputs
    return count
