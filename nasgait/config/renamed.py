"""Keys of a configuration that were renamed."""

from collections.abc import Mapping
from typing import Any

RENAMED = {
    "search.broods": "search.batches_per_generation",
    "search.ahead": "search.lookahead",
    "search.proposals": "search.candidates",
}
"""From each old key, dotted, to its new one in the same section."""


def with_new_keys(section: Mapping[str, Any], name: str = "") -> dict[str, Any]:
    """Plain data of a configuration written before, or of its section ``name``, by its new keys."""
    renamed: dict[str, Any] = {}
    for key, value in section.items():
        path = f"{name}.{key}".removeprefix(".")
        if isinstance(value, Mapping):
            value = with_new_keys(value, path)
        renamed[RENAMED.get(path, path).rpartition(".")[2]] = value
    return renamed
