"""The recorded numbers of the published implementations, and how to skip without them.

They lie in ``../shared/reference`` beside the checkout.  Names of cases are read from the
files when tests are collected; without the files the lists are empty and the tests skip.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

_FOLDER = Path(__file__).resolve().parents[3] / "shared" / "reference"

needs_reference = pytest.mark.skipif(
    not _FOLDER.is_dir(), reason="needs the recorded numbers in ../shared/reference"
)
"""For ``pytestmark`` or a single test."""


def folder() -> Path | None:
    """The folder of recorded numbers, or None where the checkout stands alone."""
    return _FOLDER if _FOLDER.is_dir() else None


def load_json(name: str) -> dict[str, Any]:
    """Content of ``<name>.json``; empty without the folder."""
    if folder() is None:
        return {}
    return json.loads((_FOLDER / f"{name}.json").read_text())


def load_npz(name: str) -> dict[str, np.ndarray]:
    """Arrays of ``<name>.npz`` by name; empty without the folder."""
    if folder() is None:
        return {}
    with np.load(_FOLDER / f"{name}.npz") as archive:
        return dict(archive)
