"""Size normalisation of raw silhouettes by the rule of GaitSet, which published systems share."""

from collections.abc import Sequence

import cv2
import numpy as np

MINIMUM = 10_000
"""A frame whose pixels sum to this or less shows too little of a person."""

LARGEST = 2**26
"""Pixels of a scaled picture; one that would have more is a line, and shows nobody."""


def normalise(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray | None:
    """Cut a person out of a frame, scale it to the full height and centre it.

    The frame is cropped to the rows that show something, resized (bicubic) to the height asked
    for, and cut to the width around the column that halves the person's area.

    Args:
        frame: uint8 [h, w], any size, background 0.
        size: Height and width of the result.

    Returns:
        uint8 [height, width], or None if the frame shows too little to find a person.
    """
    height, width = size
    if cv2.sumElems(frame)[0] <= MINIMUM:
        return None
    rows = np.flatnonzero(frame.any(axis=1))
    person = frame[rows[0] : rows[-1] + 1]
    scaled = int(height * (person.shape[1] / person.shape[0]))
    if not 1 <= scaled <= LARGEST // height:
        return None
    person = cv2.resize(person, (scaled, height), interpolation=cv2.INTER_CUBIC)
    area = person.sum(axis=0).cumsum()
    centre = int(np.argmax(area > area[-1] / 2))
    if centre == 0:
        return None
    left = centre - width // 2
    if left <= 0 or left + width >= scaled:
        person = np.pad(person, ((0, 0), (width // 2, width // 2)))
        left += width // 2
    cut = person[:, left : left + width]
    # An odd width needs one column more than the two halves that were padded.
    return np.pad(cut, ((0, 0), (0, width - cut.shape[1])))


def fit_frames(
    frames: Sequence[np.ndarray] | np.ndarray, size: tuple[int, int], keep: bool = True
) -> tuple[np.ndarray, int]:
    """Frames as the store keeps them.

    Args:
        frames: uint8 [h, w] each, of any sizes; or uint8 [s, h, w].
        size: Height and width of the store's frames.
        keep: Leave frames of that size as they are, because they were published normalised.

    Returns:
        uint8 [s, height, width], and how many frames were dropped because they show nothing
        (all black, or :func:`normalise` finds no person).
    """
    if keep and isinstance(frames, np.ndarray) and frames.shape[1:] == size:
        stacked = frames
    else:
        fitted = (f if keep and f.shape == size else normalise(f, size) for f in frames)
        stacked = np.array([f for f in fitted if f is not None], dtype=np.uint8).reshape(-1, *size)
    shows = stacked.any(axis=(1, 2))
    stacked = stacked if shows.all() else stacked[shows]
    return stacked, len(frames) - len(stacked)
