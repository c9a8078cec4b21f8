"""How frames are packed.

With 8 bits per pixel a frame is ``height * width`` bytes.  With 1 bit it is
``ceil(height * width / 8)`` bytes, most significant bit first, 1 for a pixel of 128 or more.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from nasgait.core.errors import DataError

THRESHOLD = 128
"""Pixels at or above it are 1 in a store of 1 bit per pixel."""
MAX_SIDE = 4096
"""Height and width of frames are at most this."""


@dataclass(frozen=True)
class Geometry:
    """Size of the frames and how many bytes one takes."""

    height: int
    width: int
    bits: Literal[1, 8] = 8

    def __post_init__(self) -> None:
        if self.bits not in (1, 8):
            raise DataError(f"a store keeps 1 or 8 bits per pixel, not {self.bits}")
        if not 1 <= self.height <= MAX_SIDE or not 1 <= self.width <= MAX_SIDE:
            raise DataError(
                f"frames of {self.height} x {self.width} pixels cannot be stored; each side is "
                f"from 1 to {MAX_SIDE}"
            )

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame in a shard."""
        return -(-self.height * self.width * self.bits // 8)

    def pack(self, frames: np.ndarray) -> np.ndarray:
        """Frames uint8 [s, h, w] as stored: uint8 [s, frame_bytes]."""
        flat = np.ascontiguousarray(frames).reshape(len(frames), -1)
        return flat if self.bits == 8 else np.packbits(flat >= THRESHOLD, axis=1)

    def unpack(self, packed: np.ndarray) -> np.ndarray:
        """Inverse of :meth:`pack`; frames of 1 bit per pixel come back as 0 and 255."""
        if self.bits == 1:
            bits = np.unpackbits(packed, axis=1, count=self.height * self.width)
            packed = np.multiply(bits, 255, out=bits)
        return packed.reshape(len(packed), self.height, self.width)
