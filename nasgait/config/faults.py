"""Faults of a configuration in words: dotted path, what is wrong, what is allowed."""

import difflib
import re
import reprlib
import types
import typing
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from nasgait.config.renamed import RENAMED


def fault(entry: dict[str, Any], schema: type[Any]) -> str:
    """Word one pydantic error: dotted path, what is wrong, what is allowed."""
    location, kind, given = entry["loc"][1:], entry["type"], entry["input"]
    path = ".".join(str(part) for part in location) or "top level"
    if path in RENAMED:
        return f"{path}: is now {RENAMED[path]}"
    if kind == "unexpected_keyword_argument":
        known = [field.name for field in fields(_type_at(schema, location[:-1]))]
        return f"{path}: unknown key{suggest(str(location[-1]), known)}"
    if kind in ("missing", "missing_argument"):
        return f"{path}: missing, it has no default"
    if kind == "dataclass_type":
        return f"{path}: must be a section with keys, not {reprlib.repr(given)}"
    if kind == "value_error":
        return f"{path}: {entry['ctx']['error']}"
    message = entry["msg"].replace("Input should be", "must be").replace("valid array", "list")
    if kind == "literal_error":
        allowed = re.findall(r"'([^']*)'", message)
        close = [word for word in allowed if word.casefold() == str(given).casefold()]
        close += difflib.get_close_matches(str(given), allowed, n=1)
        return f"{path}: {message}, not {given!r}" + (f", meant {close[0]!r}?" if close else "")
    return f"{path}: {message}, not {reprlib.repr(given)}"


def _type_at(schema: Any, location: Sequence[str | int]) -> Any:
    """Return the dataclass found by following field names and list indices."""
    here = schema
    for part in location:
        if isinstance(part, int):
            here = typing.get_args(here)[0]
        else:
            here = typing.get_type_hints(here)[part]
        if isinstance(here, types.UnionType):
            here = next(arm for arm in typing.get_args(here) if arm is not types.NoneType)
    assert is_dataclass(here), location
    return here


def suggest(given: str, known: Sequence[str]) -> str:
    """Return ``, did you mean ...?`` or the list of what is known."""
    close = difflib.get_close_matches(given, known, n=1, cutoff=0.6)
    if close:
        return f", did you mean {close[0]!r}?"
    return f", known are {', '.join(known)}" if known else ""


def kind_of(value: Any) -> str:
    """Name the YAML kind of plain data."""
    names = {list: "list", dict: "section", str: "text", bool: "yes/no value", type(None): "null"}
    return names.get(type(value), "number")
