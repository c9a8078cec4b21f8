"""Zip files that carry a checksum of all their bytes: checkpoints and tables of arrays.

A zip file may end with a comment.  Ours is the sha256 of everything before it, so whoever reads
the file can check it, also alone and under another name; other programs pass over the comment.
"""

import hashlib
import mmap
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO
from zipfile import ZipFile

from nasgait.core.checksum import Damaged

LABEL = b"nasgait sha256 "
COMMENT = len(LABEL) + 64
"""Bytes of the comment."""
END = b"PK\x05\x06"
END_RECORD = 22
"""Bytes of a zip file's last record, which ends with the length of the comment."""
CHUNK = 1 << 20


class _Hashed:
    """Hands what is written on to a file and hashes it; keeps the last record back.

    An error of the file is raised by ``finish`` only: through torch's C++ it would come out as
    another.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._held = b""
        self._error: OSError | None = None

    def write(self, data: bytes | memoryview) -> int:
        view = memoryview(data).cast("B")
        if len(view) < END_RECORD:
            view = memoryview(self._held + bytes(view))
        else:
            self._pass_on(self._held)
        cut = max(len(view) - END_RECORD, 0)
        self._pass_on(view[:cut])
        self._held = bytes(view[cut:])
        return len(data)

    def flush(self) -> None:
        """Nothing waits but the last record."""

    def finish(self) -> str:
        """Write the last record and the comment; the sha256 of the whole file."""
        if self._error is not None:
            raise self._error
        assert self._held[:4] == END and self._held[-2:] == b"\0\0", "a zip file without comment"
        self._pass_on(self._held[:-2] + struct.pack("<H", COMMENT))
        self._pass_on(LABEL + self._digest.hexdigest().encode())
        if self._error is not None:
            raise self._error
        return self._digest.hexdigest()

    def _pass_on(self, data: bytes | memoryview) -> None:
        self._digest.update(data)
        try:
            if self._error is None:
                self._file.write(data)
        except OSError as error:
            self._error = error


def add_checksum(file: BinaryIO, write: Callable[[BinaryIO], object]) -> str:
    """Let ``write`` write a zip file from first to last byte into ``file``, with its checksum.

    Returns the sha256 of the whole file, comment included.
    """
    hashed = _Hashed(file)
    write(hashed)  # type: ignore[arg-type]  # zip writers need write and flush alone
    return hashed.finish()


def check_zip(path: str | os.PathLike[str]) -> None:
    """Make sure that a zip file is as it was written.

    Any changed bit of a file with our checksum is noticed.  In one without, of other programs or
    of earlier versions, each member has a CRC-32: what lies between members can change unnoticed.

    Raises Damaged, or OSError as ``open``.
    """
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        tail = _read_at(file, max(0, size - END_RECORD - COMMENT))
        if tail[-END_RECORD:][:4] == END and tail[-2:] == b"\0\0":
            _check_members(Path(path))
            return
        comment, record = tail[-COMMENT:], tail[:-COMMENT]
        length = struct.pack("<H", COMMENT)
        if record[:4] != END or record[-2:] != length or not comment.startswith(LABEL):
            raise Damaged("its end is cut off or has changed")
        with (
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
            memoryview(mapped) as view,
            view[: size - COMMENT] as content,
        ):
            found = hashlib.sha256(content).hexdigest()
    if comment[len(LABEL) :] != found.encode():
        raise Damaged("its content has changed since it was written")


def _read_at(file: BinaryIO, place: int) -> bytes:
    file.seek(place)
    return file.read()


def _check_members(path: Path) -> None:
    try:
        with ZipFile(path) as archive:
            if not any(member.CRC for member in archive.infolist()):
                return  # torch was told to write none
            for member in archive.infolist():
                with archive.open(member) as content:
                    while content.read(CHUNK):
                        pass
    except Exception as error:  # damaged bytes can raise anything in zipfile and zlib
        raise Damaged(f"{error}" or type(error).__name__) from None
