"""Files of JSON lines that grow while a search runs, and stay readable if it is killed."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nasgait.core.files import sync
from nasgait.core.interrupts import deferred


def append_line(path: Path, values: Mapping[str, Any]) -> None:
    """Append a line and flush it to disk."""
    with deferred(), path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(values) + "\n")
        sync(file)


def complete_lines(path: Path) -> list[bytes]:
    """The lines of a file, none if it is absent, without a last one that has no newline."""
    raw = path.read_bytes() if path.exists() else b""
    return raw[: raw.rfind(b"\n") + 1].splitlines(keepends=True)


def cut_to(path: Path, lines: list[bytes]) -> None:
    """Cut the file after its complete ``lines``; a kill may have left a torn one."""
    size = sum(map(len, lines))
    if path.exists() and size < path.stat().st_size:
        os.truncate(path, size)
