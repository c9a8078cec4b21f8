"""The files of frames of a store that is being written: shards and checksums."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from nasgait.core.errors import DataError
from nasgait.core.files import file_sha256, sync
from nasgait.data.checksums import CHECKSUMS, DTYPE, checksums_of
from nasgait.data.meta import Recorded, shard_name

SHARD_BYTES = 2**30
"""A shard of this size is closed (1 GiB)."""
ROWS = 4096
"""Frames that are read at a time to sum them."""


class FrameFiles:
    """Shards and checksums, open to append; what has no row in the index is cut off.

    Args:
        path: The store's directory.
        frame_bytes: Bytes of a frame.
        frames: Frames with a row in the index, for each shard.
        complete: The first shards, which are those of a complete store and stay as they are.
        shard_bytes: A shard that would be larger is closed first.

    Raises:
        DataError: frames that have a row are not there.
    """

    def __init__(
        self,
        path: Path,
        frame_bytes: int,
        frames: Sequence[int],
        complete: Sequence[Recorded],
        shard_bytes: int,
    ) -> None:
        self.path = path
        self._frame_bytes, self._shard_bytes = frame_bytes, shard_bytes
        self._records = list(complete)
        for file in path.glob("shard-*.bin"):
            if file.name > shard_name(len(frames) - 1):
                file.unlink()
        for number in range(len(complete), len(frames)):
            if number > len(complete):
                self._close_shard()
            self._open_shard(frames[number] * frame_bytes)
        self._sums = self._open_sums(frames)

    def place(self, frames: int) -> tuple[int, int]:
        """Shard and offset of a sequence of so many frames that is written next."""
        if self._filled and self._filled + frames * self._frame_bytes > self._shard_bytes:
            sync(self._shard)
            self._close_shard()
            self._open_shard(0)
        return len(self._records), self._filled // self._frame_bytes

    def write(self, packed: NDArray[np.uint8]) -> None:
        """Append frames as they are stored, uint8 [s, bytes of one], and their checksums."""
        self._shard.write(packed.data)
        self._hash.update(packed.data)
        self._sums.write(checksums_of(packed).data)
        self._filled += packed.nbytes

    def sync(self) -> None:
        """Flush what was written to disk."""
        sync(self._shard)
        sync(self._sums)

    def records(self) -> dict[str, Any]:
        """The files as ``meta.json`` records them; what was written is on disk."""
        sums = self.path / CHECKSUMS
        return {
            "checksums": {
                "file": CHECKSUMS,
                "bytes": sums.stat().st_size,
                "sha256": file_sha256(sums),
            },
            "shards": [vars(record) for record in (*self._records, self._record())],
        }

    def close(self) -> None:
        """Close the files as they are."""
        self._shard.close()
        self._sums.close()

    def _open_shard(self, size: int) -> None:
        """Open the next shard to append, cut to ``size`` bytes, with their hash."""
        file = self.path / shard_name(len(self._records))
        if size == 0:
            file.touch()
        elif not file.is_file() or file.stat().st_size < size:
            raise DataError(f"{file}: frames are missing; remove {self.path} and start again")
        self._shard: BinaryIO = open(file, "r+b")  # noqa: SIM115 (held until it is closed)
        self._shard.truncate(size)
        self._hash = hashlib.file_digest(self._shard, "sha256")
        self._shard.seek(0, os.SEEK_END)
        self._filled = size

    def _record(self) -> Recorded:
        """The shard that is open."""
        return Recorded(shard_name(len(self._records)), self._filled, self._hash.hexdigest())

    def _close_shard(self) -> None:
        self._shard.close()
        self._records.append(self._record())

    def _open_sums(self, frames: Sequence[int]) -> BinaryIO:
        """The checksums, cut to the frames that count; those of an older version are made."""
        file = self.path / CHECKSUMS
        file.touch()
        sums = open(file, "r+b")  # noqa: SIM115 (held until the store is closed)
        whole = sum(frames) * DTYPE.itemsize
        if file.stat().st_size < whole:
            sums.truncate(0)
            for number, count in enumerate(frames):
                shard = self.path / shard_name(number)
                sums.write(sums_of_shard(shard, count, self._frame_bytes).data)
        sums.truncate(whole)
        sums.seek(0, os.SEEK_END)
        return sums


def sums_of_shard(file: Path, frames: int, frame_bytes: int) -> NDArray[np.uint32]:
    """CRC-32 of the first frames of a shard, uint32 [frames]."""
    found = [np.empty(0, DTYPE)]
    with file.open("rb") as shard:
        for start in range(0, frames, ROWS):
            count = min(ROWS, frames - start)
            packed = np.frombuffer(shard.read(count * frame_bytes), np.uint8)
            found.append(checksums_of(packed.reshape(count, frame_bytes)))
    return np.concatenate(found)
