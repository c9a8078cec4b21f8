"""Writing a store; a writer that is killed at any moment can be resumed."""

import contextlib
import csv
import io
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from nasgait.core.errors import DataError, NasgaitError
from nasgait.core.files import file_sha256, sync, write_json
from nasgait.core.interrupts import deferred
from nasgait.data.checksums import CHECKSUMS
from nasgait.data.frame_files import SHARD_BYTES, FrameFiles
from nasgait.data.geometry import Geometry
from nasgait.data.index import COLUMNS, SUBSETS, Sequence, parse_row
from nasgait.data.marker import difference, locked_marker, require_free, rewrite
from nasgait.data.meta import FORMAT, INDEX, META, REMARKS, SEAL, WRITING, Meta, seal

COMMIT_SECONDS = 1.0
"""A crash loses about so much work at most."""


class StoreWriter:
    """Writes sequences into a new store, or resumes a partial one, or adds to a complete one.

    Frames and their checksums go to disk first, then their rows to the index: a sequence with a
    row in the index is safely on disk.  ``writing.json`` marks the store as partial; ``meta.json``,
    which makes it readable, is written last.  Use it as a context manager: leaving it closes the
    store, but an exception leaves a partial store, which a writer with the same arguments resumes.

    Args:
        path: The store's directory: absent, empty or a partial store.
        size: Height and width of the frames.
        bits: Bits per pixel, 8 or 1.
        meta_extra: More entries for ``meta.json`` that say where the frames come from.  A
            partial store is resumed only if its own are the same; one that holds no sequence is
            begun again.
        shard_bytes: A shard that would be larger is closed first.
        base: What the store holds already (:func:`nasgait.data.append.opened_to_append`).  It is
            not changed until the store is closed: until then readers see what was there before.

    Raises:
        DataError: a complete store, a partial one with another source, size or bits,
            a directory with other files in it, or a store that another process is writing.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        size: tuple[int, int] = (64, 64),
        bits: int = 8,
        meta_extra: dict[str, Any] | None = None,
        shard_bytes: int = SHARD_BYTES,
        base: Meta | None = None,
    ) -> None:
        self.path = Path(path)
        self.geometry = Geometry(*size, bits)  # type: ignore[arg-type]
        self._source = meta_extra or {}
        self._base = base
        self._pending: list[Sequence] = []
        header = {"format": FORMAT, "size": list(size), "bits": bits} | self._source
        if base is None:
            require_free(self.path)
            self.path.mkdir(parents=True, exist_ok=True)
        self._lock = self._claim(header)
        try:
            self._sequences, self._rows = self._recover()
            self._frames = self._open_frames(shard_bytes)
        except BaseException:
            self._lock.close()
            raise
        self._keys = {sequence.key for sequence in self._sequences}
        self._committed = time.monotonic()

    @property
    def done(self) -> set[str]:
        """Keys of the sequences in the store so far."""
        return set(self._keys)

    @property
    def labels(self) -> set[str]:
        """Identities in the store so far."""
        return {sequence.label for sequence in self._sequences}

    @property
    def added(self) -> int:
        """Sequences in it that the complete store which is added to does not hold."""
        return len(self._sequences) - (self._base.sequences if self._base else 0)

    def add(self, label: str, type: str, view: str, subset: str, frames: np.ndarray) -> None:
        """Append a sequence.

        Args:
            label: Identity.
            type: Condition or number of the walk.
            view: Camera or angle.
            subset: ``train``, ``search-val``, ``test`` or ``distractor``.
            frames: uint8 [s, h, w], at least one.

        Raises:
            DataError: frames of another shape or dtype, none at all, a name that cannot be
                written, an unknown subset, or a second sequence with the same key.
        """
        sequence = Sequence(label, type, view, subset, len(frames), 0, 0)
        self._require(sequence, frames)
        place = self._frames.place(len(frames))
        sequence = Sequence(label, type, view, subset, len(frames), *place)
        self._frames.write(self.geometry.pack(frames))
        self._keys.add(sequence.key)
        self._sequences.append(sequence)
        self._pending.append(sequence)
        if time.monotonic() - self._committed > COMMIT_SECONDS:
            self.commit()

    def commit(self) -> None:
        """Flush everything added so far to disk."""
        with deferred():  # half of it, and once more on the way out, would list sequences twice
            self._frames.sync()
            self._rows.write(_csv_bytes([sequence.row() for sequence in self._pending]))
            sync(self._rows)
            self._pending.clear()
        self._committed = time.monotonic()

    def close(self, facts: dict[str, Any] | None = None) -> None:
        """Finish the store: write ``meta.json``, with ``facts`` as further entries."""
        if not self.added:
            self._discard()
            raise DataError(f"{self.path}: no sequence to store, so there is no store to finish")
        self.commit()
        write_json(self.path / META, self._meta(facts or {}))
        (self.path / WRITING).unlink()
        self.abandon()

    def abandon(self) -> None:
        """Close the files and leave the store as it is."""
        for file in (self._frames, self._rows, self._lock):
            file.close()

    def __enter__(self) -> "StoreWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._lock.closed:
            return
        if kind is None:
            self.close()
        elif issubclass(kind, NasgaitError) and not self.added:
            self._discard()
        else:
            try:
                with contextlib.suppress(OSError):  # the error on its way out says more
                    self.commit()
            finally:
                self.abandon()

    def _discard(self) -> None:
        """Leave no trace: nothing was stored."""
        kept = {INDEX, CHECKSUMS, *(s.file for s in self._base.shards)} if self._base else set()
        for pattern in (INDEX, CHECKSUMS, "shard-*.bin", REMARKS):
            for file in self.path.glob(pattern):
                if file.name not in kept:
                    file.unlink()
        (self.path / WRITING).unlink()
        self.abandon()
        if not self._base:
            with contextlib.suppress(OSError):
                self.path.rmdir()

    def _claim(self, header: dict[str, Any]) -> BinaryIO:
        """Mark the store as being written, by this process alone; cut off what does not count."""
        lock, fresh = locked_marker(self.path, header)
        try:
            fault = "" if fresh else difference(self.path, lock, header)
            index, base = self.path / INDEX, self._base
            if base and (fresh or fault):
                os.truncate(index, base.index.bytes or 0)
            elif fault and _rows(index):
                raise DataError(fault)
            elif fault:  # nothing was stored, so nothing is lost
                index.unlink(missing_ok=True)
            if fault:
                rewrite(lock, header)
        except BaseException:
            lock.close()
            raise
        return lock

    def _recover(self) -> tuple[list[Sequence], BinaryIO]:
        """The sequences with a whole row in the index; cut off the rest, and open it to append."""
        file = self.path / INDEX
        header = _csv_bytes([list(COLUMNS)])
        data = file.read_bytes() if file.exists() else b""
        whole = data[: data.rfind(b"\n") + 1]
        if not whole:
            file.write_bytes(whole := header)
        try:
            lines = whole.decode("utf-8").splitlines(keepends=True)
            if lines[:1] != [header.decode()]:
                raise ValueError("another first line")
            sequences = [parse_row(row) for row in csv.reader(lines[1:], strict=True)]
        except (ValueError, csv.Error) as error:
            raise DataError(
                f"{file}: damaged ({error}); remove {self.path} and start again"
            ) from None
        rows = open(file, "r+b")  # noqa: SIM115 (held until the store is closed)
        rows.truncate(len(whole))
        rows.seek(0, os.SEEK_END)
        return sequences, rows

    def _open_frames(self, shard_bytes: int) -> FrameFiles:
        """The files of frames, with those of the sequences in the index."""
        complete = self._base.shards if self._base else ()
        # What is added begins a shard of its own: those of the complete store stay as they are.
        frames = [shard.bytes or 0 for shard in complete]
        frames = [size // self.geometry.frame_bytes for size in frames] + [0]
        for sequence in self._sequences:
            frames.extend([0] * (sequence.shard + 1 - len(frames)))
            if sequence.shard >= len(complete):
                frames[sequence.shard] = sequence.offset + sequence.length
        return FrameFiles(self.path, self.geometry.frame_bytes, frames, complete, shard_bytes)

    def _require(self, sequence: Sequence, frames: np.ndarray) -> None:
        size = (self.geometry.height, self.geometry.width)
        fault = None
        if frames.dtype != np.uint8 or frames.ndim != 3 or frames.shape[1:] != size:
            wanted = f"uint8 [s, {size[0]}, {size[1]}]"
            fault = f"frames are {frames.dtype} {list(frames.shape)}, not {wanted}"
        elif not len(frames):
            fault = "no frames"
        elif sequence.subset not in SUBSETS:
            fault = f"subset {sequence.subset!r} is none of {', '.join(SUBSETS)}"
        elif not sequence.label or not sequence.key.isprintable():
            fault = "its id, type or view cannot be written as one line of text"
        elif sequence.key in self._keys:
            fault = "the store already has a sequence of this id, type and view"
        if fault:
            raise DataError(f"sequence {sequence.key!r}: {fault}")

    def _meta(self, facts: dict[str, Any]) -> dict[str, Any]:
        subsets = Counter(sequence.subset for sequence in self._sequences)
        index = self.path / INDEX
        meta = {
            "format": FORMAT,
            "size": [self.geometry.height, self.geometry.width],
            "bits": self.geometry.bits,
            "counts": {
                "sequences": len(self._sequences),
                "frames": sum(sequence.length for sequence in self._sequences),
                "identities": len({sequence.label for sequence in self._sequences}),
                "subsets": {subset: subsets[subset] for subset in SUBSETS if subsets[subset]},
            },
            "index": {
                "file": INDEX,
                "bytes": index.stat().st_size,
                "sha256": file_sha256(index),
            },
            **self._frames.records(),
        }
        origin = self._source | facts
        if self._base:
            before = self._base.raw
            appended = [*before.get("appended", []), origin | {"sequences": self.added}]
            origin = {key: before[key] for key in before if key not in meta}
            origin |= {"appended": appended}
        meta |= origin
        return meta | {SEAL: seal(meta)}


def _rows(index: Path) -> int:
    """Whole rows in an index, its first line apart; none where there is none."""
    return max(0, index.read_bytes().count(b"\n") - 1) if index.exists() else 0


def _csv_bytes(rows: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8")
