"""What the pixels of a sequence mean: which are the person, which the background.

Silhouettes are white (255) on black (0).  Masks come in other forms too: 0 and 1, two colours of
a palette, numbers of classes, white backgrounds.  What is certain is turned into silhouettes and
told; what is not is refused, with the option that decides it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from nasgait.core.errors import DataError

WHITE = 128
"""Pixels at or above it count as the person."""
SAMPLED = 2**14
"""Pixels from which the distribution of brightness is estimated."""
FEW, LABELLED = 8, 0.05
"""So few values, with this share of the pixels between the ends, are numbers of classes."""
GREY = range(64, 192)
"""Brightness that silhouettes have along their outlines only."""
OUTLINE = 0.6
"""The largest share of the bright pixels that may have it."""
DIM = 0.01
"""A frame without a white pixel that shows something on this share of it is of another kind."""
SURROUNDED, OPEN = 0.7, 0.5
"""Share of the border that is white: from here on a background, up to there a person."""
FILLED, SPARSE = 0.7, 0.35
"""Share of all pixels that are white: a person fills no more, a background no less."""
SOME = 0.1
"""Share of frames with the other background from which frames are of two kinds."""


@dataclass(frozen=True)
class Meaning:
    """What the user says about the pixels; None is found out."""

    threshold: int | None = None
    """Pixels at or above it, from 1 to 255, are the person."""
    invert: bool | None = None
    """Whether the person is darker than the background."""


def silhouettes(
    frames: Sequence[np.ndarray] | np.ndarray, meaning: Meaning, coloured: bool = False
) -> tuple[Sequence[np.ndarray] | np.ndarray, list[str]]:
    """Frames as silhouettes, and what was decided about them.

    Args:
        frames: uint8 [h, w] each, of one sequence; or uint8 [s, h, w].
        meaning: What is known.
        coloured: Whether the pictures have colours, so that these values are their brightness.

    Raises:
        DataError: the pixels do not tell the person; the message says why and names the option.
    """
    groups = _grouped(frames)
    table, notes = value_table(groups, meaning, coloured)
    if is_inverted(groups, table, meaning):
        table = 255 - (np.arange(256, dtype=np.uint8) if table is None else table)
        if meaning.invert is None:
            notes.append("white backgrounds were inverted")
    if len(groups) == 1:
        return groups[0] if table is None else table[groups[0]], notes
    return (frames if table is None else [cv2.LUT(frame, table) for frame in frames]), notes


def value_table(
    groups: Sequence[np.ndarray], meaning: Meaning, coloured: bool = False
) -> tuple[np.ndarray | None, list[str]]:
    """New values uint8 [256] for the old ones, None to keep them; and what was decided.

    ``groups``: uint8 [s, h, w] each, together the frames of a sequence.  Raises as
    :func:`silhouettes`.
    """
    if meaning.threshold is not None:
        return np.where(np.arange(256) >= meaning.threshold, 255, 0).astype(np.uint8), []
    # 255 + 1 is 0 in 8 bits: the quickest way to see that there are no other values.
    if all((group + np.uint8(1)).max() <= 1 for group in groups):
        return None, []
    low = min(int(group.min()) for group in groups)
    high = max(int(group.max()) for group in groups)
    if low == high:
        if meaning.invert is not None:
            return None, []
        raise DataError(
            f"all pixels have the value {low}, so the person cannot be told from the background"
        )
    if all(bool(((group == low) | (group == high)).all()) for group in groups):
        table = np.where(np.arange(256) >= high, 255, 0).astype(np.uint8)
        return table, [f"values {low} and {high} were read as masks"]
    _refuse_others(groups, low, high, coloured)
    return None, []


def is_inverted(groups: Sequence[np.ndarray], table: np.ndarray | None, meaning: Meaning) -> bool:
    """Whether the person is the black part; raises DataError where the pixels do not tell it.

    ``groups``: uint8 [s, h, w] each; ``table``: as :func:`value_table` gives it.
    """
    if meaning.invert is not None:
        return meaning.invert
    bright = WHITE if table is None else int(np.argmax(table >= WHITE))
    border = np.concatenate([_border(group, bright) for group in groups])
    share = _share(groups, bright)
    if share == 1:
        raise DataError("all pixels are white, so the person cannot be told from the background")
    if border.max() == 1:  # a frame that is white all over tells nothing
        border = border[~np.concatenate([(g >= bright).all(axis=(1, 2)) for g in groups])]
    white = float(border.mean())
    other = float((border >= SURROUNDED).mean())
    if SOME <= other <= 1 - SOME:
        raise DataError(
            f"the background is white in {round(other * len(border))} of its {len(border)} frames; "
            "give --invert or --no-invert for all of them, or separate them"
        )
    if white >= SURROUNDED and share >= SPARSE:
        return True
    if white <= OPEN and share <= FILLED:
        return False
    raise DataError(
        f"white are {white:.0%} of the border and {share:.0%} of all pixels: give --no-invert if "
        "the person is white, --invert if the person is black"
    )


def eight_bits(array: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """An array of any kind of numbers as uint8, and what was decided.

    Raises:
        DataError: values that no rule brings to 0..255.
    """
    if array.dtype == np.uint8 or not array.size:
        return array.astype(np.uint8, copy=False), []
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255), []
    low, high = array.min(), array.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise DataError("pixels that are not finite (nan or inf)")
    if low >= 0 and array.dtype.kind == "f" and high <= 1:
        scaled = np.rint(array * 255).astype(np.uint8)
        return scaled, ["values from 0 to 1 were read as masks"] if high > 0 else []
    if low >= 0 and high <= 255:
        return np.rint(array).astype(np.uint8), []
    if low >= 0 and low < high and ((array == low) | (array == high)).all():
        mask = np.where(array == high, np.uint8(255), np.uint8(0))
        return mask, [f"values {low:g} and {high:g} were read as masks"]
    if array.dtype == np.uint16:
        return (array >> 8).astype(np.uint8), ["16-bit values were scaled to 8 bits"]
    raise DataError(
        f"pixels outside 0..255: {low:g} to {high:g}; masks have two values, silhouettes 0..255 "
        "(fractions: 0..1)"
    )


def _refuse_others(groups: Sequence[np.ndarray], low: int, high: int, coloured: bool) -> None:
    """Raise DataError unless more than two values are those of silhouettes with soft outlines."""
    if coloured:
        raise DataError(
            "pictures in more than two colours, not silhouettes: --threshold N takes what is at "
            "least N bright (1..255) as the person"
        )
    if high < WHITE:
        raise DataError(
            f"values from {low} to {high}, neither two values nor silhouettes of 0 to 255: "
            "--threshold N takes what is at least N as the person, --threshold 1 all but black"
        )
    counts = _histogram(groups)
    shown = np.flatnonzero(counts)
    between = counts[1:].sum() - counts[high]
    if len(shown) <= FEW and between > LABELLED * counts[1:].sum():
        raise DataError(
            f"values {', '.join(map(str, shown))} look like numbers of classes: --threshold N "
            "takes what is at least N as the person"
        )
    if counts[GREY.start : GREY.stop].sum() > OUTLINE * counts[GREY.start :].sum():
        raise DataError(
            "grey pictures, not silhouettes: --threshold N takes what is at least N bright "
            "(1..255) as the person"
        )
    for group in groups:
        dim = group.max(axis=(1, 2)) < WHITE
        if dim.any() and (np.count_nonzero(group[dim], axis=(1, 2)) > DIM * group[0].size).any():
            raise DataError(
                "some frames have values up to 255 and others none from 128: --threshold N takes "
                "what is at least N as the person"
            )


def _grouped(frames: Sequence[np.ndarray] | np.ndarray) -> list[np.ndarray]:
    """Frames of one size as one array, large ones one by one, so that none is copied."""
    if isinstance(frames, np.ndarray):
        return [frames]
    if frames[0].size <= SAMPLED and len({frame.shape for frame in frames}) == 1:
        return [np.array(frames)]
    return [frame[None] for frame in frames]


def _border(frames: np.ndarray, bright: int) -> np.ndarray:
    """Share of each frame's border that is bright: float [s]."""
    edges = (frames[:, 0], frames[:, -1], frames[:, :, 0], frames[:, :, -1])
    return (np.concatenate(edges, axis=1) >= bright).mean(axis=1)


def _share(groups: Sequence[np.ndarray], bright: int) -> float:
    bright_pixels = sum(int(np.count_nonzero(group >= bright)) for group in groups)
    return bright_pixels / sum(group.size for group in groups)


def _histogram(groups: Sequence[np.ndarray]) -> np.ndarray:
    """How often each value occurs in a sample of the pixels: int64 [256]."""
    size = sum(group.size for group in groups)
    step = max(1, size // SAMPLED) | 1  # odd: not always the same column
    counts = np.zeros(256, np.int64)
    for group in groups:
        counts += np.bincount(group.reshape(-1)[::step], minlength=256)
    return counts
