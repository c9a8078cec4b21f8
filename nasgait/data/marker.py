"""``writing.json``, which marks a store as being written: by whom, and of what."""

import errno
import fcntl
import json
from pathlib import Path
from typing import Any, BinaryIO

from nasgait.core.errors import DataError
from nasgait.core.files import sync, write_json
from nasgait.data.meta import MAX_META_BYTES, META, WITHOUT_CHECKSUMS, WRITING


def require_free(path: Path) -> None:
    """Raise DataError unless a new store may be written at ``path``, or a partial one resumed."""
    if not path.exists():
        return
    if (path / META).exists():
        raise DataError(f"{path}: there is a complete store already; name another directory")
    # A writer that was killed at its very first file left the half of it.
    if not (path / WRITING).exists() and (
        not path.is_dir()
        or any(not entry.name.startswith(f".{WRITING}.") for entry in path.iterdir())
    ):
        raise DataError(f"{path}: not empty and not a store; name another directory")


def locked_marker(path: Path, header: dict[str, Any]) -> tuple[BinaryIO, bool]:
    """Open the marker, made with what ``header`` says if there is none, for this process alone.

    Returns the open file, which unlocks the store when it is closed, and whether it was made now.
    Raises DataError while another process writes the store.
    """
    marker = path / WRITING
    fresh = not marker.exists()
    if fresh:
        write_json(marker, header)
    lock = open(marker, "r+b")  # noqa: SIM115 (held until the store is closed)
    try:
        # Not flock: that would be inherited by worker processes and outlive a killed writer.
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            lock.close()
            raise DataError(f"{path}: another process is writing this store") from None
        # A file system without locks does without.
    return lock, fresh


def rewrite(lock: BinaryIO, header: dict[str, Any]) -> None:
    """Put ``header`` into the open marker, which stays locked."""
    lock.seek(0)
    lock.truncate()
    lock.write(json.dumps(header, indent=1).encode() + b"\n")
    sync(lock)


def difference(path: Path, marker: BinaryIO, header: dict[str, Any]) -> str:
    """Why a partial store is not that of ``header``; empty where it is."""
    try:
        found = json.loads(marker.read(MAX_META_BYTES))
        if not isinstance(found, dict):
            raise ValueError("not a mapping")
    except (ValueError, RecursionError) as error:
        return f"{path / WRITING}: damaged ({error}); remove {path}"
    if found.get("format") == WITHOUT_CHECKSUMS:
        found["format"] = header["format"]  # checksums are made of what an older version wrote
    changed = [key for key in header | found if header.get(key) != found.get(key)]
    if not changed:
        return ""
    return (
        f"{path}: a partial store with another {', '.join(changed)}; "
        "name another directory, or remove this one to start again"
    )
