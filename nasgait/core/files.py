"""Files on disk: replaced whole, flushed, identified by their checksum."""

import hashlib
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, BinaryIO

from nasgait.core.interrupts import deferred


def write_atomically(
    path: str | os.PathLike[str], content: str | bytes | Callable[[BinaryIO], object]
) -> None:
    """Write a file so that a kill or a power cut leaves the old one or the new one, whole.

    A temporary file beside it, ``.NAME.*``, is put in its place; a signal to stop waits for that.
    ``content`` is text (as UTF-8), bytes, or a function that writes them to an open file.
    """
    with deferred():
        _replace(Path(path), content)


def _replace(path: Path, content: str | bytes | Callable[[BinaryIO], object]) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            if callable(content):
                content(file)
            else:
                file.write(content.encode() if isinstance(content, str) else content)
            sync(file)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the new name
    finally:
        os.close(folder)


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write ``value`` as JSON, as :func:`write_atomically` does."""
    write_atomically(path, json.dumps(value, indent=1) + "\n")


def parse_json(text: str | bytes) -> Any:
    """What JSON stands for; ValueError for anything else, also what is nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def sync(file: IO[Any]) -> None:
    """Flush an open file to disk."""
    file.flush()
    os.fsync(file.fileno())


def file_sha256(path: str | os.PathLike[str]) -> str:
    """The sha256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
