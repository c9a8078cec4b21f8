"""The packed store of silhouettes: opening, reading and checking it.

>>> store = GaitStore.open("runs/demo/store")          # doctest: +SKIP
>>> store.sequences[0].key, store[0].shape              # doctest: +SKIP
('00001-nm-01-030', (47, 64, 64))
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nasgait.core.errors import DataError
from nasgait.core.files import file_sha256
from nasgait.data.index import Meta, Sequence, read_index, read_meta, shard_faults
from nasgait.data.writer import StoreWriter

__all__ = ["GaitStore", "Sequence", "StoreWriter", "check_store"]


class GaitStore:
    """Sequences of silhouettes in a directory, read by memory map.

    Cheap to pickle and safe to use after a fork: each process maps the shards for itself.

    Attributes:
        path: The directory.
        sequences: One :class:`Sequence` per row of the index, in its order.
    """

    def __init__(self, path: Path, meta: Meta, sequences: tuple[Sequence, ...]) -> None:
        self.path = path
        self.sequences = sequences
        self._meta = meta
        self._maps: list[np.ndarray | None] = [None] * len(meta.shards)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "GaitStore":
        """Open the store at ``path``.

        Raises:
            DataError: no store there, a partial one, another format version, a damaged
                index, a shard that is missing or of the wrong size.
        """
        place = Path(path)
        meta = read_meta(place)
        faults = shard_faults(place, meta)
        sequences, damage = read_index(place, meta)
        faults += damage
        if faults:
            more = f" (and {len(faults) - 1} more; see 'nasgait data check')" if faults[1:] else ""
            raise DataError(f"{place}: damaged store: {faults[0]}{more}; make it again")
        return cls(place, meta, tuple(sequences))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the frames."""
        return self._meta.geometry.height, self._meta.geometry.width

    @property
    def shard_sha256(self) -> list[str]:
        """Recorded checksums of the shards, in their order."""
        return [shard.sha256 for shard in self._meta.shards]

    @property
    def meta(self) -> dict[str, Any]:
        """The whole of ``meta.json``."""
        return self._meta.raw

    def __len__(self) -> int:
        return len(self.sequences)

    def __getitem__(self, i: int) -> np.ndarray:
        """All frames of sequence ``i``: uint8 [s, h, w], 0..255, a copy."""
        return self.read(i)

    def read(self, i: int, frames: np.ndarray | None = None) -> np.ndarray:
        """Frames of sequence ``i``, all of them or those whose numbers are given.

        Args:
            i: Number of the sequence.
            frames: Integers [s] within the sequence's length, in any order, repeated or not.

        Returns:
            uint8 [s, h, w], 0..255 (0 and 255 only in a store of 1 bit per pixel), a copy.

        Raises:
            IndexError: no such sequence or frame.
        """
        sequence = self.sequences[i]
        packed = self._shard(sequence.shard)[sequence.offset : sequence.offset + sequence.length]
        chosen = packed.copy() if frames is None else packed.take(frames, axis=0)
        return self._meta.geometry.unpack(chosen)

    def _shard(self, number: int) -> np.ndarray:
        """A shard as a read-only memory map, uint8 [frames, bytes of one]."""
        shard = self._maps[number]
        if shard is None:
            file = self.path / self._meta.shards[number].file
            # A plain view of the map: indexing np.memmap itself costs more than the copy.
            shard = np.asarray(np.memmap(file, dtype=np.uint8, mode="r"))
            shard = shard.reshape(-1, self._meta.geometry.frame_bytes)
            self._maps[number] = shard
        return shard

    def __reduce__(self) -> tuple[Any, ...]:
        return GaitStore.open, (self.path,)


def check_store(
    path: str | os.PathLike[str], progress: Callable[[str], None] | None = None
) -> list[str]:
    """Every fault of the store at ``path``, a line each.

    Checks each shard (present, size, sha256), each row of the index (well formed, known
    subset, unique, at least one frame, within its shard), the counts and checksum of the index,
    and the subsets (no identity both trains and tests).

    Args:
        path: The store's directory.
        progress: Called with the name of each shard before it is read.

    Raises:
        DataError: there is no store, or it is of another format version.
    """
    place = Path(path)
    meta = read_meta(place)
    faults = shard_faults(place, meta)
    damaged = {fault.split(":")[0] for fault in faults}
    for shard in meta.shards:
        if shard.file in damaged:
            continue
        if progress:
            progress(shard.file)
        if file_sha256(place / shard.file) != shard.sha256:
            faults.append(f"{shard.file}: its sha256 is not the one recorded in meta.json")
    sequences, damage = read_index(place, meta)
    return faults + damage + subset_faults(sequences)


def subset_faults(sequences: list[Sequence]) -> list[str]:
    """Faults of identities that are in more than one subset."""
    subsets: dict[str, set[str]] = {}
    for sequence in sequences:
        subsets.setdefault(sequence.label, set()).add(sequence.subset)
    return [
        f"identity {label}: in {' and '.join(sorted(found))}, must be in one subset only"
        for label, found in subsets.items()
        if len(found) > 1
    ]
