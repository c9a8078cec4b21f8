"""CRC-32 of frames: a frame that changed on the disk, or on its way from it, is found at the read.

The file ``frames.crc32`` holds an unsigned number of 4 bytes, little-endian, for each frame of the
store, in the order of the shards.  It is read by memory map.

A read is checked in runs of frames.  CRC-32 is linear, so that of several frames one after another
follows from theirs: one pass over the pixels and a look-up for each frame, where a call for each
would cost more than the sums themselves.
"""

import zlib
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

try:  # The same numbers six times as fast, by the processor's instructions for them.
    from zlib_ng.zlib_ng import crc32 as _crc32
except ImportError:  # Installed with nasgait, but not on every platform.
    _crc32 = zlib.crc32

crc32: Callable[..., int] = _crc32
"""CRC-32 of a buffer, as zlib, gzip and PNG define it."""

CHECKSUMS = "frames.crc32"
DTYPE = np.dtype("<u4")
RUN = 32
"""Frames that are checked in one pass."""


def checksums_of(packed: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """CRC-32 of each row of uint8 [s, bytes]: uint32 [s]."""
    return np.fromiter(map(crc32, packed), DTYPE, len(packed))


def map_checksums(path: Path, frames: int) -> NDArray[np.uint32]:
    """The recorded checksums of a store's frames, uint32 [frames], read-only."""
    # A plain view of the map: indexing np.memmap itself costs more than the look-up.
    return np.asarray(np.memmap(path / CHECKSUMS, DTYPE, "r", shape=(frames,)))


def damaged_rows(packed: NDArray[np.uint8], expected: NDArray[np.uint32]) -> list[int]:
    """Rows of uint8 [s, bytes] whose CRC-32 is not the ``expected`` one, uint32 [s]."""
    return np.flatnonzero(checksums_of(packed) != expected).tolist()


def are_whole(clips: Iterable[NDArray[np.uint8]], expected: NDArray[np.uint32]) -> bool:
    """Whether all rows of all clips, uint8 [s, bytes] each, have the ``expected`` checksums.

    ``expected`` holds those of one clip after another, uint32 [frames of all clips].  Each clip is
    checked before the next is taken, so that an iterator may read them one by one.
    """
    found: list[int] = []
    lengths: list[int] = []
    for clip in clips:
        starts = range(0, len(clip), RUN)
        runs = [clip] if len(starts) == 1 else [clip[start : start + RUN] for start in starts]
        found += map(crc32, runs)
        lengths += map(len, runs)
    return not found or joined(expected, tuple(lengths), clip.shape[1]).tolist() == found


def joined(
    checksums: NDArray[np.uint32], lengths: tuple[int, ...], frame_bytes: int
) -> NDArray[np.uint32]:
    """CRC-32 of each run of frames, uint32 [runs], from those of its frames.

    Args:
        checksums: of the frames of one run after another, uint32 [frames of all runs].
        lengths: frames of each run, 1 to :data:`RUN`.
        frame_bytes: bytes of a frame.
    """
    places, starts = _places(lengths)
    octets = np.ascontiguousarray(checksums, DTYPE).view(np.uint8)
    return np.bitwise_xor.reduceat(_tables(frame_bytes).take(places + octets), starts)


@lru_cache(maxsize=32)
def _places(lengths: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where in the tables each byte of the runs' checksums belongs, and where each run begins."""
    ends = np.cumsum(lengths)
    after = np.repeat(ends, lengths) - np.arange(1, ends[-1] + 1)
    places = after[:, None] * 1024 + np.arange(0, 1024, 256)
    return places.ravel(), 4 * (ends - np.array(lengths))


@lru_cache(maxsize=8)
def _tables(frame_bytes: int) -> NDArray[np.uint32]:
    """What each byte of a frame's CRC-32 adds to that of a run, uint32 [RUN * 4 * 256].

    The first index counts the frames that follow in the run, the second the byte, from the lowest.
    """
    zeros = bytes(frame_bytes)
    nothing = crc32(zeros)
    bits = [1 << bit for bit in range(32)]
    tables = np.zeros((RUN, 4, 256), DTYPE)
    values = np.arange(256)
    for table in tables:
        for bit, moved in enumerate(bits):
            table[bit // 8, (values >> bit % 8 & 1).astype(bool)] ^= np.uint32(moved)
        # The next frame moves each bit through as many zeros as the frame has bytes.
        bits = [crc32(zeros, value) ^ nothing for value in bits]
    return tables.ravel()
