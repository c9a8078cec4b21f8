"""Silhouettes: hulls of discs drawn as masks, and the usual size normalisation."""

from collections.abc import Sequence

import cv2
import numpy as np

from nasgait.data.normalise import normalise

SIZE = 64
_CORNERS = 12
_SHIFT = 4  # fractional bits of polygon corners


def masks(
    centres: np.ndarray, radii: np.ndarray, hulls: Sequence[Sequence[int]], margin: int = 24
) -> np.ndarray:
    """Draw every frame's hulls: uint8 [s, h, w], 0 or 255, on a canvas that fits them all.

    ``centres`` [s, b, 2] and ``radii`` [s, b] in pixels; ``hulls`` index the discs.
    """
    turn = 2 * np.pi * np.arange(_CORNERS) / _CORNERS
    rim = np.stack([np.cos(turn), np.sin(turn)], 1)
    corners = centres[:, :, None] + radii[:, :, None, None] * rim
    low = np.floor(corners.min((0, 1, 2))) - margin
    width, height = (np.ceil(corners.max((0, 1, 2))) + margin - low).astype(int)
    fixed = np.round((corners - low) * (1 << _SHIFT)).astype(np.int32)
    canvas = np.zeros((len(centres), height, width), np.uint8)
    groups = [np.asarray(hull) for hull in hulls]
    for frame, discs in zip(canvas, fixed, strict=True):
        for group in groups:
            outline = cv2.convexHull(discs[group].reshape(-1, 2))
            cv2.fillConvexPoly(frame, outline, 255, cv2.LINE_8, _SHIFT)
    return canvas


def size_normalised(mask: np.ndarray) -> np.ndarray | None:
    """Bring a mask [h, w] to [64, 64] as importers do, 0 or 255; None when too little is left."""
    picture = normalise(mask, (SIZE, SIZE))
    return None if picture is None else np.where(picture >= 128, np.uint8(255), np.uint8(0))
