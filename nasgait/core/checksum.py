"""Checksums of what is written as JSON or YAML, so that damage is noticed when it is read.

An object carries the CRC-32 of all its other values as its last one, ``"checksum":
"crc32:1a2b3c4d"``.  It is that of the values, not of their bytes: spaces and comments are free.
"""

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nasgait.core.errors import DataError
from nasgait.core.files import write_json

KEY = "checksum"
PREFIX = "crc32:"
"""What every checksum begins with: where a bit of :data:`KEY` has flipped, this still tells."""


class Damaged(ValueError):
    """What was read is not what was written; the message says how that shows."""


def with_checksum(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values, which JSON must be able to hold, and their checksum behind them."""
    plain = {name: value for name, value in values.items() if name != KEY}
    return {**plain, KEY: f"{PREFIX}{zlib.crc32(json.dumps(plain).encode()):08x}"}


def has_checksum(values: Mapping[str, Any]) -> bool:
    """Whether the object carries a checksum, or what is left of one."""
    return KEY in values or any(
        isinstance(value, str) and value.startswith(PREFIX) for value in values.values()
    )


def checked(values: Any, required: bool = False) -> dict[str, Any]:
    """The object without its checksum, which is ``required`` or, as of earlier versions, absent.

    Raises Damaged for anything but an object, a checksum that does not fit, or a missing one.
    """
    if not isinstance(values, dict):
        raise Damaged("it holds no object")
    plain = {name: value for name, value in values.items() if name != KEY}
    if has_checksum(values):
        if with_checksum(plain)[KEY] != values.get(KEY):
            raise Damaged("its checksum does not fit")
    elif required:
        raise Damaged("its checksum is missing")
    return plain


def parse_checked(text: str | bytes, required: bool = False) -> tuple[dict[str, Any], bool]:
    """The object that is in ``text`` as JSON, and whether it carried a checksum; raises Damaged."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Damaged(f"it is not JSON: {error}") from None
    return checked(values, required), has_checksum(values)


def write_checked(path: Path, values: Mapping[str, Any]) -> dict[str, Any]:
    """Write the values and their checksum as a JSON file, whole or not at all.

    Returns what the file holds.
    """
    content = with_checksum(values)
    write_json(path, content)
    return content


def read_checked(path: Path) -> dict[str, Any]:
    """What :func:`write_checked` wrote; Damaged for anything else, OSError as ``open``."""
    return parse_checked(path.read_bytes())[0]


def read_result(path: Path, cure: str = "run its stage again") -> dict[str, Any]:
    """A stage's result as :func:`read_checked` reads it; DataError, which ends with the ``cure``.

    It is named "damaged" also where it only was edited by hand.
    """
    try:
        return read_checked(path)
    except Damaged as error:
        raise DataError(f"{path}: damaged ({error}); {cure}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); {cure}") from None
