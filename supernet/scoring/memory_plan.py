"""How a memory budget is shared out: batches, activations, embeddings."""

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
"""Tensors as large as the largest activation that exist at once while a batch is computed."""

WEIGHTS = 10
"""How often the convolutions of a path are there beside the supernet: folded, and folded and not
as :mod:`nasgait.kernels.winograd` splits them along two axes, which takes as much as four."""

EMBEDDINGS = 2
"""How often the embeddings of an architecture are there: in the order of batches and in theirs."""

SIDE_BY_SIDE = 1 << 18
"""Bytes of a frame's largest activation from which on a CPU gains by a batch for each thread: with
less to compute the threads wait for each other's Python (nano, 45 KB: a fifth slower;
sposgait-small, 721 KB: an eighth faster)."""


@dataclass(frozen=True)
class Plan:
    """What may be held."""

    batch_frames: int
    """Frames of a batch, padding included."""
    threads: int
    """Batches that may be computed at once."""
    activations: float
    """Bytes for activations that wait for their next use."""


@dataclass(frozen=True)
class Footprint:
    """The memory that a space's networks take."""

    pixels: int
    """Of a frame."""
    frame: int
    """Bytes of the largest activation, for each frame of input."""
    embedding: int
    """Bytes of the embedding of one sequence."""
    weights: int
    """Bytes of the largest path's convolutions."""

    @classmethod
    def of(cls, spec: SpaceSpec) -> "Footprint":
        """The footprint of any architecture of a space, activations in float32."""
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
    ) -> Plan:
        """Share out ``memory`` bytes.

        Batches are as large as suits the device, and on a CPU as many at once as torch has threads
        if networks are large; smaller and fewer where memory is short.

        Args:
            memory: bytes.
            longest: frames of the longest sequence.
            device: where to compute.
            calibration: bytes of the calibration set, which stays in memory.
            scored: sequences that are embedded; all embeddings of one architecture are held.

        Raises:
            ConfigError: it is not enough for the longest sequence.
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
        return Plan(batch_frames, threads, memory - held - working_sets)


def _weights(block: str, inputs: int, outputs: int) -> int:
    """Weights of a block's convolutions."""
    count = 0
    for kernel in parse_block(block):
        count += prod(kernel) * inputs * outputs
        inputs = outputs
    return count
