"""Reading the frames of one raw sequence, or saying why they cannot be read.

Readers run in worker processes.  They return a fault instead of raising it: it costs the one
sequence that it is found in.
"""

import os
import re
import struct
from functools import partial
from typing import Any

import cv2
import numpy as np

from nasgait.data.normalise import fit_frames
from nasgait.data.raw import RawSequence

MAX_PIXELS = 2**24
"""A PNG that claims more pixels is not decoded; a silhouette has a few thousand."""

Reading = tuple[np.ndarray, int] | str
"""Frames uint8 [s, h, w] and how many were dropped because they show nothing; or a fault."""


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
    return fitted(frames, size, "no PNG files in the folder", keep)


read_and_normalise = partial(read_png_folder, keep=False)
"""The reader of layouts that are published as whole pictures."""


def decode(data: bytes) -> np.ndarray | None:
    """An encoded image as grey uint8 [h, w]; None if it cannot be decoded."""
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


def fitted(
    frames: list[np.ndarray], size: tuple[int, int], none: str, keep: bool = True
) -> Reading:
    """The frames as the store keeps them; or the fault, which is ``none`` where there are none."""
    kept, dropped = fit_frames(frames, size, keep)
    if not frames:
        return none
    return (kept, dropped) if len(kept) else f"none of its {len(frames)} frames shows anything"


def _natural(name: str) -> list[Any]:
    """Sort 2.png before 10.png; with leading zeros this is the order of the names."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]
