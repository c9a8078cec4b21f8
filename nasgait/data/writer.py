"""Writing a store; a writer that is killed at any moment can be resumed."""

import contextlib
import csv
import errno
import fcntl
import hashlib
import io
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from nasgait.core.errors import DataError
from nasgait.core.files import file_sha256, sync, write_json
from nasgait.core.interrupts import deferred
from nasgait.data.index import (
    COLUMNS,
    FORMAT,
    INDEX,
    META,
    SUBSETS,
    WRITING,
    Geometry,
    Sequence,
    parse_row,
    require_free,
    shard_name,
)

SHARD_BYTES = 2**30
"""A shard of this size is closed (1 GiB)."""
COMMIT_SECONDS = 1.0
"""A crash loses about so much work at most."""


class StoreWriter:
    """Writes sequences into a new store, or resumes a partial one.

    Frames go to the shards first, then their rows to the index: a sequence with a row in the
    index is safely on disk.  ``writing.json`` marks the store as partial; ``meta.json``, which
    makes it readable, is written last.  Use it as a context manager: leaving it closes the store,
    but an exception leaves a partial store, which a writer with the same arguments resumes.

    Args:
        path: The store's directory: absent, empty or a partial store.
        size: Height and width of the frames.
        bits: Bits per pixel, 8 or 1.
        meta_extra: More entries for ``meta.json`` that say where the frames come from.  A
            partial store is resumed only if its own are the same.

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
    ) -> None:
        self.path = Path(path)
        self.geometry = Geometry(*size, bits)  # type: ignore[arg-type]
        self._source = meta_extra or {}
        self._shard_bytes = shard_bytes
        self._sequences: list[Sequence] = []
        self._hashes: list[str] = []
        self._pending: list[Sequence] = []
        header = {"format": FORMAT, "size": list(size), "bits": bits} | self._source
        require_free(self.path, header)
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = self._acquire(header)
        self._rows = self._recover()
        self._keys = {sequence.key for sequence in self._sequences}
        self._shard, self._hash, self._filled = self._open_shard()
        self._committed = time.monotonic()

    @property
    def done(self) -> set[str]:
        """Keys of the sequences in the store so far."""
        return set(self._keys)

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
        frame_bytes = self.geometry.frame_bytes
        if self._filled and self._filled + len(frames) * frame_bytes > self._shard_bytes:
            self._next_shard()
        sequence = Sequence(
            label, type, view, subset, len(frames), len(self._hashes), self._filled // frame_bytes
        )
        self._require(sequence, frames)
        packed = self.geometry.pack(frames)
        self._shard.write(packed.data)
        self._hash.update(packed.data)
        self._filled += packed.nbytes
        self._keys.add(sequence.key)
        self._sequences.append(sequence)
        self._pending.append(sequence)
        if time.monotonic() - self._committed > COMMIT_SECONDS:
            self.commit()

    def commit(self) -> None:
        """Flush everything added so far to disk."""
        with deferred():  # half of it, and once more on the way out, would list sequences twice
            sync(self._shard)
            self._rows.write(_csv_bytes([sequence.row() for sequence in self._pending]))
            sync(self._rows)
            self._pending.clear()
        self._committed = time.monotonic()

    def close(self, facts: dict[str, Any] | None = None) -> None:
        """Finish the store: write ``meta.json``, with ``facts`` as further entries."""
        if not self._sequences:
            self.abandon()
            raise DataError(f"{self.path}: no sequence to store, so there is no store to finish")
        self.commit()
        self._hashes.append(self._hash.hexdigest())
        write_json(self.path / META, self._meta() | (facts or {}))
        (self.path / WRITING).unlink()
        self.abandon()

    def abandon(self) -> None:
        """Close the files and leave the store as it is."""
        for file in (self._shard, self._rows, self._lock):
            file.close()

    def __enter__(self) -> "StoreWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._lock.closed:
            return
        if kind is None:
            self.close()
        else:
            with contextlib.suppress(OSError):  # the error on its way out says more
                self.commit()
            self.abandon()

    def _acquire(self, header: dict[str, Any]) -> BinaryIO:
        """Mark the store as being written, by this process alone."""
        marker = self.path / WRITING
        if not marker.exists():
            write_json(marker, header)
        lock = open(marker, "r+b")  # noqa: SIM115 (held until the store is closed)
        try:
            # Not flock: that would be inherited by worker processes and outlive a killed writer.
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                lock.close()
                raise DataError(f"{self.path}: another process is writing this store") from None
            # A file system without locks does without.
        return lock

    def _recover(self) -> BinaryIO:
        """Read the complete rows of the index, cut off the rest, and open it to append."""
        file = self.path / INDEX
        header = _csv_bytes([list(COLUMNS)])
        data = file.read_bytes() if file.exists() else b""
        whole = data[: data.rfind(b"\n") + 1]
        if not whole:
            file.write_bytes(whole := header)
        lines = whole.decode("utf-8").splitlines(keepends=True)
        try:
            if lines[:1] != [header.decode()]:
                raise ValueError("another first line")
            self._sequences = [parse_row(row) for row in csv.reader(lines[1:], strict=True)]
        except (ValueError, csv.Error) as error:
            raise DataError(
                f"{file}: damaged ({error}); remove {self.path} and start again"
            ) from None
        rows = open(file, "r+b")  # noqa: SIM115 (held until the store is closed)
        rows.truncate(len(whole))
        rows.seek(0, os.SEEK_END)
        return rows

    def _open_shard(self) -> tuple[BinaryIO, Any, int]:
        """Cut off frames without a row, hash the others, open the last shard."""
        filled = [0]
        for sequence in self._sequences:
            filled.extend([0] * (sequence.shard + 1 - len(filled)))
            end = sequence.offset + sequence.length
            filled[sequence.shard] = end * self.geometry.frame_bytes
        for file in self.path.glob("shard-*.bin"):
            if file.name > shard_name(len(filled) - 1):
                file.unlink()
        for number, size in enumerate(filled):
            shard, digest = self._resume_shard(number, size)
            if number + 1 < len(filled):
                shard.close()
                self._hashes.append(digest.hexdigest())
        return shard, digest, filled[-1]

    def _resume_shard(self, number: int, size: int) -> tuple[BinaryIO, Any]:
        """A shard cut to ``size`` bytes and opened to append, with their hash."""
        file = self.path / shard_name(number)
        if size == 0:
            file.touch()
        elif not file.is_file() or file.stat().st_size < size:
            raise DataError(f"{file}: frames are missing; remove {self.path} and start again")
        shard = open(file, "r+b")  # noqa: SIM115 (held until the store is closed)
        shard.truncate(size)
        digest = hashlib.file_digest(shard, "sha256")
        shard.seek(0, os.SEEK_END)
        return shard, digest

    def _next_shard(self) -> None:
        self.commit()
        self._shard.close()
        self._hashes.append(self._hash.hexdigest())
        self._shard, self._hash = self._resume_shard(len(self._hashes), 0)
        self._filled = 0

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

    def _meta(self) -> dict[str, Any]:
        subsets = Counter(sequence.subset for sequence in self._sequences)
        return {
            "format": FORMAT,
            "size": [self.geometry.height, self.geometry.width],
            "bits": self.geometry.bits,
            "counts": {
                "sequences": len(self._sequences),
                "frames": sum(sequence.length for sequence in self._sequences),
                "identities": len({sequence.label for sequence in self._sequences}),
                "subsets": {subset: subsets[subset] for subset in SUBSETS if subsets[subset]},
            },
            "index": {"file": INDEX, "sha256": file_sha256(self.path / INDEX)},
            "shards": [
                {"file": name, "bytes": (self.path / name).stat().st_size, "sha256": digest}
                for name, digest in zip(
                    map(shard_name, range(len(self._hashes))), self._hashes, strict=True
                )
            ],
        } | self._source


def _csv_bytes(rows: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8")
