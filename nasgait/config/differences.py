"""Where two configurations differ, as dotted keys."""

from collections.abc import Mapping
from typing import Any

LONGEST = 24
"""Characters of a value in print."""


def flatten(value: Any, path: str = "") -> dict[str, Any]:
    """Nested sections and lists as dotted keys."""
    if isinstance(value, dict):
        items = [(str(key), inner) for key, inner in value.items()]
    elif isinstance(value, list | tuple) and any(isinstance(inner, dict) for inner in value):
        items = [(str(number), inner) for number, inner in enumerate(value)]
    else:
        return {path: value}
    flat: dict[str, Any] = {}
    for key, inner in items:
        flat |= flatten(inner, f"{path}.{key}" if path else key)
    return flat


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The old and the new value of each key that differs; None where there is no such key."""
    old, new = flatten(dict(before)), flatten(dict(now))
    return {
        key: (old.get(key), new.get(key))
        for key in dict.fromkeys([*old, *new])
        if old.get(key) != new.get(key)
    }


def listed(values: Mapping[str, tuple[Any, Any]]) -> str:
    """Keys with their old and new values in print."""
    return ", ".join(
        f"{key} ({_short(before)}, not {_short(now)})" for key, (before, now) in values.items()
    )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]}..."
