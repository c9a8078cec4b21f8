"""Reading the frames of one raw sequence, or saying why they cannot be read.

Readers run in worker processes.  A fault is an answer, not an exception: it costs the one
sequence it is found in.
"""

import os
import re
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from nasgait.core.errors import DataError
from nasgait.data.normalise import fit_frames
from nasgait.data.pickles import read_silhouettes
from nasgait.data.raw import RawSequence

MAX_PIXELS = 2**24
"""A PNG that claims more is not decoded; a silhouette has a few thousand."""

Reading = tuple[np.ndarray, int] | str
"""Frames uint8 [s, h, w] and how many were dropped because they show nothing; or the fault."""


def read_png_folder(
    root: str, size: tuple[int, int], raw: RawSequence, keep: bool = True
) -> Reading:
    """Frames of a folder of PNG files as uint8 [s, h, w] and the number dropped, or a fault.

    ``keep``: frames of the store's size are normalised already, see
    :func:`nasgait.data.normalise.fit_frames`.
    """
    folder = os.path.join(root, raw.folder)
    try:
        names = [name for name in os.listdir(folder) if _is_frame(name)]
        frames = []
        for name in sorted(names, key=_natural):
            with open(os.path.join(folder, name), "rb") as file:
                frame = decode(file.read())
            if frame is None:
                return f"{name} cannot be decoded as an image"
            frames.append(frame)
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    return _fitted(frames, size, "no PNG files in the folder", keep)


def read_pickle_folder(
    root: str, size: tuple[int, int], raw: RawSequence, number: int | None = None
) -> Reading:
    """Frames of a folder of pickles as uint8 [s, h, w] and the number dropped, or a fault.

    ``number``: which of the folder's pickles holds the silhouettes, from 0 in the order of their
    names; by default the only one, or the one that is named after the view or "sil".
    """
    folder = Path(root, raw.folder)
    try:
        files = sorted(folder.glob("*.pkl"))
        found = ", ".join(file.name for file in files) or "none"
        if number is not None:
            if number >= len(files):
                return f"there is no pickle number {number}, found: {found}"
            chosen = [files[number]]
        else:
            named = [f for f in files if f.stem == raw.view or "sil" in f.stem.lower()]
            chosen = files if len(files) == 1 else named
        if len(chosen) != 1:
            return f"one pickle of silhouettes is needed, found: {found}"
        frames = read_silhouettes(chosen[0])
    except DataError as error:
        return str(error)
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    height, width = frames.shape[1:]
    if height == size[0] and width < size[1] and (size[1] - width) % 2 == 0:
        # Already normalised, and its empty sides cut off.
        side = (size[1] - width) // 2
        frames = np.pad(frames, ((0, 0), (0, 0), (side, side)))
    return _fitted(list(frames), size, "no frames in the pickle")


_read_whole_pictures = partial(read_png_folder, keep=False)

READERS: dict[str, Callable[[str, tuple[int, int], RawSequence], Reading]] = {
    "grew": read_png_folder,
    "casia-b": _read_whole_pictures,
    "oumvlp": _read_whole_pictures,
    "gait3d": _read_whole_pictures,
    "opengait-pkl": read_pickle_folder,
}
"""What reads a sequence of each layout.  GREW and pickles are published normalised."""


def decode(data: bytes) -> np.ndarray | None:
    """An encoded image as grey uint8 [h, w]; None when it cannot be decoded."""
    if data[:4] == b"\x89PNG" and len(data) >= 24:
        width, height = struct.unpack(">II", data[16:24])
        if width * height > MAX_PIXELS:
            return None
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    except cv2.error:
        return None


def _is_frame(name: str) -> bool:
    """Whether a file is a frame: not the gait energy image that GREW adds, nor a hidden file."""
    low = name.lower()
    return low.endswith(".png") and not low.endswith("gei.png") and name[0] != "."


def _fitted(
    frames: list[np.ndarray], size: tuple[int, int], none: str, keep: bool = True
) -> Reading:
    kept, dropped = fit_frames(frames, size, keep)
    if not frames:
        return none
    return (kept, dropped) if len(kept) else f"none of its {len(frames)} frames shows anything"


def _natural(name: str) -> list[Any]:
    """Sorts 2.png before 10.png; the same as by name where numbers have leading zeros."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]
