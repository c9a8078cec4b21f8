"""Contact sheets: a store at a glance."""

import os
from pathlib import Path

import cv2
import numpy as np

from nasgait.core.errors import DataError
from nasgait.core.files import write_atomically
from nasgait.data.index import UNLABELLED
from nasgait.data.store import GaitStore

MARGIN, CAPTION = 2, 14
"""Pixels between the frames, and above each row for its name."""
BACKGROUND, INK = 48, 255
PER_IDENTITY = 3
"""Sequences shown of an identity, at most."""


def contact_sheet(
    store: GaitStore, path: str | os.PathLike[str], rows: int = 12, columns: int = 12
) -> Path:
    """Write :func:`sheet_image` as a PNG file and return its path.

    Raises:
        DataError: the file cannot be written, or fewer than one row or column is asked for.
    """
    image = sheet_image(store, rows, columns)
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, cv2.imencode(".png", image)[1].tobytes())
    except OSError as error:
        raise DataError(f"{target}: cannot be written ({error.strerror})") from None
    return target


def sheet_image(store: GaitStore, rows: int = 12, columns: int = 12) -> np.ndarray:
    """Draw sequences as rows of frames, evenly spread over each sequence.

    Identities are spread evenly over the store, with up to three sequences of each.  A short
    sequence shows each frame once.

    Returns:
        uint8 [h, w], grey.

    Raises:
        DataError: fewer than one row or column.
    """
    if rows < 1 or columns < 1:
        raise DataError(f"a sheet of {rows} rows and {columns} columns: at least 1 of each")
    chosen = choose_rows(store, rows)
    height, width = store.size
    step_y, step_x = CAPTION + height + MARGIN, width + MARGIN
    image = np.full(
        (MARGIN + len(chosen) * step_y, MARGIN + columns * step_x), BACKGROUND, np.uint8
    )
    for row, i in enumerate(chosen):
        sequence = store.sequences[i]
        top = MARGIN + row * step_y
        text = f"{sequence.key}  {sequence.subset}  {sequence.length} frames"
        where = (MARGIN, top + CAPTION - 4)
        cv2.putText(image, text, where, cv2.FONT_HERSHEY_SIMPLEX, 0.38, INK, 1, cv2.LINE_AA)
        times = np.unique(np.linspace(0, sequence.length - 1, columns).round().astype(int))
        for column, frame in enumerate(store.read(i, times)):
            left, upper = MARGIN + column * step_x, top + CAPTION
            image[upper : upper + height, left : left + width] = frame
    return image


def choose_rows(store: GaitStore, rows: int) -> list[int]:
    """Indices of the sequences to show: identities spread evenly, several sequences of each."""
    groups: dict[str, list[int]] = {}
    for i, sequence in enumerate(store.sequences):
        if not sequence.usable:
            continue
        # Unlabelled probes are of many people under one label.
        group = sequence.label if sequence.labelled else f"{UNLABELLED} {i}"
        members = groups.setdefault(group, [])
        if len(members) < PER_IDENTITY:
            members.append(i)
    # Numbers k with the smallest fractional parts of k * golden ratio lie evenly spread.
    order = np.argsort(np.arange(len(groups)) * 0.6180339887498949 % 1)
    ordered = list(groups.values())
    chosen: list[int] = []
    for group in order:
        if len(chosen) >= rows:
            break
        chosen += ordered[group][: rows - len(chosen)]
    return sorted(chosen)
