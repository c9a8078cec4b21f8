"""Reading a store: frames by memory map, each checked against its CRC-32."""

import logging
import os
from collections import deque
from collections.abc import Iterator
from collections.abc import Sequence as Many
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nasgait.core.errors import DataError
from nasgait.data.checksums import are_whole, damaged_rows, map_checksums
from nasgait.data.index import Sequence, read_index
from nasgait.data.meta import (
    Meta,
    Recorded,
    checksums_fault,
    file_faults,
    meta_faults,
    place_fault,
    read_meta,
    remedy,
)

logger = logging.getLogger(__name__)

OnDamage = Literal["error", "skip"]
SHOWN = 20
"""So many of the sequences that are left out are named in the log; results name all."""


class GaitStore:
    """Sequences of silhouettes in a directory, read by memory map, each frame checked.

    Cheap to pickle and safe to use after a fork: each process maps the shards for itself.

    Attributes:
        path: The directory.
        sequences: One :class:`Sequence` per row of the index, in its order.
    """

    def __init__(
        self,
        path: Path,
        meta: Meta,
        sequences: tuple[Sequence, ...],
        on_damage: OnDamage = "error",
    ) -> None:
        self.path = path
        self.sequences = sequences
        self._meta = meta
        self._on_damage = on_damage
        self._maps: list[np.ndarray | None] = [None] * len(meta.shards)

    @classmethod
    def open(cls, path: str | os.PathLike[str], on_damage: OnDamage = "error") -> "GaitStore":
        """Open the store at ``path``.

        Args:
            path: The directory.
            on_damage: With ``skip`` every frame is read now, and sequences with damaged or missing
                ones are marked ``damaged``, which leaves them out of every split: known before
                anything is drawn, so that all ranks and a resumed run draw the same.

        Raises:
            DataError: no store there, a partial one, another format version, a damaged index or
                ``meta.json``, checksums or (but for ``skip``) a shard that are missing or of the
                wrong size.
        """
        store = cls._unread(Path(path), on_damage)
        if on_damage == "skip":
            store._leave_out()
        return store

    @classmethod
    def _unread(cls, place: Path, on_damage: OnDamage) -> "GaitStore":
        """The store before any frame is read; raises as :meth:`open`."""
        meta = read_meta(place)
        faults = file_faults(place, meta)
        if on_damage == "skip":
            shards = {shard.file for shard in meta.shards}
            faults = {file: fault for file, fault in faults.items() if file not in shards}
        named = [*meta_faults(meta), *(f"{file}: {fault}" for file, fault in faults.items())]
        sequences, damage = read_index(place, meta)
        if named := named + damage:
            more = f" (and {len(named) - 1} more; see 'nasgait data check')" if named[1:] else ""
            raise DataError(f"{place}: damaged store: {named[0]}{more}; {remedy(place)}")
        return cls(place, meta, tuple(sequences), on_damage)

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

    @property
    def checked(self) -> bool:
        """Whether frames have checksums: those of format 1 have none."""
        return self._meta.checksums is not None

    @property
    def left_out(self) -> list[str]:
        """Keys of the sequences that are left out because they are damaged."""
        return [sequence.key for sequence in self.sequences if sequence.damaged]

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
            DataError: a frame is not the one that was written.
        """
        chosen = np.arange(self.sequences[i].length) if frames is None else frames
        clip = np.empty((len(chosen), *self.size), np.uint8)
        self.read_into([clip], [i], [chosen])
        return clip

    def read_into(
        self, clips: Many[np.ndarray], indices: Many[int], frames: Many[np.ndarray]
    ) -> None:
        """Read frames of several sequences, as :meth:`read`, into arrays that are there.

        Args:
            clips: Contiguous arrays uint8 [s, h, w], one for each of ``indices``.
            indices: Numbers of the sequences.
            frames: Which frames of each, integers [s].

        Raises:
            IndexError, DataError: as :meth:`read`.
        """
        rows = [self.sequences[i] for i in indices]
        lengths = list(map(len, frames))
        chosen = np.concatenate(frames).astype(np.int64, copy=False)
        # As unsigned numbers, negative ones are beyond every length.
        if (chosen.view(np.uint64) >= np.repeat(self._lengths.take(indices), lengths)).any():
            raise IndexError(f"frames beyond the sequences of {self.path}")
        packed = map(self._take, rows, frames, clips)
        if self._meta.checksums is None:
            deque(packed, maxlen=0)
            return
        numbers = np.repeat(self._first.take(indices), lengths) + chosen
        if not are_whole(packed, self._recorded.take(numbers)):
            raise self._damage_among(rows)

    def damaged_frames(self, sequence: Sequence) -> list[int]:
        """Numbers of a sequence's frames that are missing or not those that were written."""
        there = self._shard(sequence.shard)[sequence.offset :][: sequence.length]
        missing = list(range(len(there), sequence.length))
        if self._meta.checksums is None:
            return missing
        first = int(self._meta.first_frames[sequence.shard]) + sequence.offset
        expected = self._recorded[first : first + len(there)]
        return ([] if are_whole([there], expected) else damaged_rows(there, expected)) + missing

    def _take(self, row: Sequence, frames: np.ndarray, clip: np.ndarray) -> np.ndarray:
        """Put frames into ``clip``; returns them as they are stored, uint8 [s, bytes of one]."""
        shard, geometry = self._shard(row.shard), self._meta.geometry
        there = shard[row.offset : row.offset + row.length]
        if len(there) < row.length:
            raise self._damage_among([row])
        if geometry.bits == 8:
            assert clip.flags.c_contiguous, "a view of another array would stay as it was"
            packed = clip.reshape(len(clip), -1)
            # The numbers are checked: "clip" only spares numpy a copy of the frames.
            return there.take(frames, axis=0, out=packed, mode="clip")
        packed = there.take(frames, axis=0, mode="clip")
        clip[:] = geometry.unpack(packed)
        return packed

    def _shard(self, number: int) -> np.ndarray:
        """The frames in a shard as a read-only memory map, uint8 [frames, bytes of one]."""
        shard = self._maps[number]
        if shard is None:
            shard = self._maps[number] = self._mapped(self._meta.shards[number])
        return shard

    def _mapped(self, shard: Recorded) -> np.ndarray:
        """As many whole frames as are there; in a damaged store fewer than recorded, or none."""
        file, frame_bytes = self.path / shard.file, self._meta.geometry.frame_bytes
        try:
            usable = place_fault(self.path, shard.file) is None
            found = min(file.stat().st_size, shard.bytes or 0) if usable else 0
        except OSError:
            found = 0
        if found < frame_bytes:
            return np.empty((0, frame_bytes), np.uint8)
        # A plain view of the map: indexing np.memmap itself costs more than the copy.
        shape = (found // frame_bytes, frame_bytes)
        return np.asarray(np.memmap(file, np.uint8, "r", shape=shape))

    @cached_property
    def _recorded(self) -> NDArray[np.uint32]:
        """The checksums of all frames."""
        return map_checksums(self.path, self._meta.frames)

    @cached_property
    def _lengths(self) -> NDArray[np.uint64]:
        """Frames of each sequence, uint64 [n]."""
        return np.array([row.length for row in self.sequences], np.uint64)

    @cached_property
    def _first(self) -> NDArray[np.int64]:
        """Frames of the store before the first one of each sequence, int64 [n]."""
        places = np.array([(row.shard, row.offset) for row in self.sequences], np.int64)
        shards, offsets = places.reshape(-1, 2).T
        return self._meta.first_frames[shards] + offsets

    def _damage_among(self, rows: Many[Sequence]) -> DataError:
        """What to say of a read that found damage."""
        if fault := checksums_fault(self.path, self._meta):
            return DataError(f"{self.path}: damaged store: {fault}; {remedy(self.path)}")
        for row in rows:
            if frames := self.damaged_frames(row):
                return DataError(
                    f"{self.path}: {self.damage(row, frames)}; 'nasgait data check {self.path}' "
                    f"lists all damage; {remedy(self.path)}; or leave damaged sequences out "
                    "with data.on_damage=skip (commands without a configuration: --on-damage skip; "
                    "a training that has begun begins again in another --out)"
                )
        return DataError(
            f"{self.path}: sequence {rows[0].key} or one read with it did not match its checksums, "
            "and did when read again: the memory or the disk of this machine is unreliable"
        )

    def damage(self, row: Sequence, frames: list[int]) -> str:
        """A sequence's damage in words."""
        shard = self._meta.shards[row.shard].file
        return (
            f"sequence {row.key}: {len(frames)} of its {row.length} frames in {shard} are damaged "
            f"or missing, the first is number {frames[0]}"
        )

    def all_damage(self) -> Iterator[tuple[int, str]]:
        """Read every frame; number and damage in words of each damaged sequence."""
        for i, row in enumerate(self.sequences):
            if frames := self.damaged_frames(row):
                yield i, self.damage(row, frames)

    def _leave_out(self) -> None:
        """Mark every damaged sequence, and say so."""
        if not self.checked:
            logger.warning(
                "%s: its format has no checksums of frames: on_damage=skip leaves out what is "
                "missing, and cannot know what has changed",
                self.path,
            )
        elif fault := checksums_fault(self.path, self._meta):
            raise DataError(f"{self.path}: damaged store: {fault}; {remedy(self.path)}")
        rows, found = list(self.sequences), dict(self.all_damage())
        for number, (i, damage) in enumerate(found.items()):
            rows[i] = replace(rows[i], damaged=True)
            if number < SHOWN:
                logger.warning("%s: left out: %s", self.path, damage)
        if len(found) > SHOWN:
            logger.warning("%s: left out: %d sequences in all", self.path, len(found))
        self.sequences = tuple(rows)

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (self.path, self._on_damage, self.left_out)


def _reopened(path: Path, on_damage: OnDamage, left_out: Many[str]) -> GaitStore:
    """A pickled store in another process: what is damaged there is known."""
    store, damaged = GaitStore._unread(path, on_damage), set(left_out)
    store.sequences = tuple(replace(s, damaged=s.key in damaged) for s in store.sequences)
    return store
