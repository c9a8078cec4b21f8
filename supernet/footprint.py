"""How a memory budget is shared out: batches, activations, embeddings."""

from dataclasses import dataclass
from fractions import Fraction

import torch

from nasgait.errors import ConfigError
from nasgait.evaluation.embed import PIXELS
from nasgait.nn.temporal import LTA_STRIDE
from search_spaces.spec import SpaceSpec

WORKING_SET = 4
"""Tensors as large as the largest activation that exist at once while a batch is computed."""

EMBEDDINGS_SHARE = 4
"""A budget's share for embeddings is one part in so many."""


@dataclass(frozen=True)
class Plan:
    """What may be held."""

    batch_frames: int
    """Frames of a batch, padding included."""
    group_frames: int
    """Frames of the batches that go through the layers together when embedded."""
    activations: float
    """Bytes for activations that wait for their next use."""
    embeddings: float
    """Bytes for the embeddings of architectures that are scored together."""
    embedding: int
    """Bytes of the embedding of one sequence."""

    def architectures(self, sequences: int) -> int:
        """How many are scored together on so many sequences."""
        return max(1, int(self.embeddings // (sequences * self.embedding)))


@dataclass(frozen=True)
class Footprint:
    """The memory that a space's networks take."""

    pixels: int
    """Of a frame."""
    frame: int
    """Bytes of the largest activation, for each frame of input."""
    path: int
    """Bytes of what all layers pass on, for each frame of input."""
    embedding: int
    """Bytes of the embedding of one sequence."""

    @classmethod
    def of(cls, spec: SpaceSpec, dtype: torch.dtype) -> "Footprint":
        """The footprint of any architecture of a space, activations in ``dtype``."""
        height, width = spec.size
        time, largest, path = Fraction(1), Fraction(0), Fraction(height * width)
        for stage in spec.stages:
            for layer in stage.layers:
                out = layer.channels * height * width * time
                largest, path = max(largest, out), path + out
            if stage.pool:
                height, width = height // 2, width // 2
            if stage.lta:
                time /= LTA_STRIDE
            # What the last layer passes on is pooled.
            path += stage.layers[-1].channels * height * width * time - out
        embedding = spec.head.channels * sum(spec.head.bins) * torch.float32.itemsize
        return cls(
            spec.size[0] * spec.size[1],
            int(largest * dtype.itemsize),
            int(path * dtype.itemsize),
            embedding,
        )

    def plan(self, memory: float, longest: int, device: torch.device) -> Plan:
        """Share out ``memory`` bytes for sequences of up to ``longest`` frames.

        Batches are as large as suits the device, or smaller where memory is short.

        Raises:
            ConfigError: it is not enough for the longest sequence.
        """
        embeddings = memory / EMBEDDINGS_SHARE
        rest = memory - embeddings
        need = WORKING_SET * self.frame * longest
        if need > rest:
            least = need * EMBEDDINGS_SHARE / (EMBEDDINGS_SHARE - 1)
            raise ConfigError(
                f"search.memory {memory:.3g} is too little for a sequence of {longest} frames, "
                f"which needs {least:.3g}; raise it, or lower search.max_frames and "
                "search.calibration.max_frames"
            )
        affordable = int(rest / 2 // (WORKING_SET * self.frame))
        batch_frames = max(longest, min(PIXELS[device.type] // self.pixels, affordable))
        held = WORKING_SET * self.frame * batch_frames
        group_frames = int((rest - held) // self.path)
        return Plan(batch_frames, group_frames, rest - held, embeddings, self.embedding)
