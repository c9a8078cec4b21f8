"""Files of JSON lines that grow while a search runs, and stay readable if it is killed.

Every line is an object with a checksum (:mod:`nasgait.core.checksum`).
"""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nasgait.core.checksum import Damaged, parse_checked, with_checksum
from nasgait.core.files import sync, write_atomically
from nasgait.core.interrupts import deferred


@dataclass(frozen=True)
class Line:
    """A line as it was read."""

    number: int
    """Its place in the file, counted from 1."""
    values: dict[str, Any]
    """What it holds, without the checksum; nothing where it is damaged."""
    fault: str | None = None
    """How its damage shows."""


def line_of(values: Mapping[str, Any]) -> str:
    """The values as a line."""
    return json.dumps(with_checksum(values)) + "\n"


def append_line(path: Path, values: Mapping[str, Any]) -> None:
    """Append a line and flush it to disk."""
    with deferred(), path.open("a", encoding="utf-8") as file:
        file.write(line_of(values))
        sync(file)


def parse_lines(lines: Iterable[bytes]) -> list[Line]:
    """Read lines and check them.

    Files of earlier versions have lines without a checksum, perhaps continued by lines with one;
    after the first of those every line needs it.
    """
    found, required = [], False
    for number, text in enumerate(lines, start=1):
        try:
            values, had_checksum = parse_checked(text, required)
            required = required or had_checksum
            found.append(Line(number, values))
        except Damaged as error:
            found.append(Line(number, {}, str(error)))
    return found


def complete_lines(path: Path) -> list[bytes]:
    """The lines of a file, none if it is absent, without a last one that has no newline."""
    raw = path.read_bytes() if path.exists() else b""
    return raw[: raw.rfind(b"\n") + 1].splitlines(keepends=True)


def cut_to(path: Path, lines: list[bytes]) -> None:
    """Cut the file after its complete ``lines``; a kill may have left a torn one."""
    size = sum(map(len, lines))
    if path.exists() and size < path.stat().st_size:
        os.truncate(path, size)


def keep_lines(path: Path, lines: list[bytes], kept: Iterable[Line]) -> None:
    """Replace the file of these complete lines by one that has the ``kept`` of them alone."""
    write_atomically(path, b"".join(lines[line.number - 1] for line in kept))
