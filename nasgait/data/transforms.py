"""From frames of bytes to the network's input, and random changes of whole sequences.

:func:`fit` cuts, reduces and scales; :func:`apply_changes` flips, warps and erases.  Both work
on whole batches, on the device that holds them.  All frames of a sequence are changed
alike, and a probability of 0 costs nothing.

The distributions are OpenGait's, with two differences.  The rotation is about the middle of
the frame (OpenGait swaps the coordinates of the centre, which adds a shift of up to
2.5 pixels at 10 degrees), and rotation and perspective share one resampling.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from nasgait.config.schema import AugmentConfig
from nasgait.core.errors import ConfigError

Size = tuple[int, int]
Array = NDArray[np.float64]


def cut_columns(frame: Size, size: Size) -> int:
    """Columns to cut from each side of a ``frame`` [height, width] for a network of ``size``.

    Silhouettes are published with empty columns on both sides; what is left has the network's
    proportions.  OpenGait cuts ten for each 64 of the frame's width (64 x 64 -> 64 x 44,
    128 x 128 -> 128 x 88); where SPOSGait's ``img_w`` or OpenGait's ``cutting`` name another
    width, it is the network's here.

    Raises ConfigError when the frame is not a whole multiple of the size, wider or not.
    """
    factor, rest = divmod(frame[0], size[0])
    surplus = frame[1] - factor * size[1]
    if factor < 1 or rest or surplus < 0 or surplus % 2 or size[1] < 1:
        raise ConfigError(
            f"frames of {frame[0]} x {frame[1]} do not reduce to the network's "
            f"{size[0]} x {size[1]}: the height must be a whole multiple of it, and the width the "
            "same multiple or an even number of columns more; take another network or import the "
            "frames at another size"
        )
    return surplus // 2


def reduction(frame: Size, size: Size) -> int:
    """Whole factor from the (cut) ``frame`` to ``size``, both [height, width].

    Raises ConfigError as :func:`cut_columns` does.
    """
    cut_columns(frame, size)
    return frame[0] // size[0]


def fit(frames: NDArray[np.uint8] | Tensor, size: Size) -> Tensor:
    """Bring frames uint8 [..., H, W] to the network's ``size``: float32 [..., h, w] in 0..1.

    Cuts the empty columns at the sides, averages over whole pixels if the network is smaller,
    and divides by 255: multiplying by 1/255 gives other float32 values than the published
    transforms.  Sums stay whole numbers until then, so each value is the exact mean, rounded
    once.  Raises ConfigError as :func:`cut_columns` does.
    """
    pixels = torch.as_tensor(frames)
    frame = (pixels.shape[-2], pixels.shape[-1])
    factor, cut = reduction(frame, size), cut_columns(frame, size)
    pixels = pixels[..., cut : frame[1] - cut]
    if factor > 1:
        rows = pixels[..., ::factor, :].to(torch.float32)
        for offset in range(1, factor):
            rows += pixels[..., offset::factor, :]
        pixels = rows[..., ::factor]
        for offset in range(1, factor):
            pixels = pixels + rows[..., offset::factor]
    return pixels.to(torch.float32).div_(255 * factor**2)


def check_augment(config: AugmentConfig) -> None:
    """Refuse settings that cannot be drawn from.

    Raises ConfigError for corners that could meet, or swapped bounds of an area.
    """
    if config.perspective_shift >= 0.5:
        raise ConfigError(
            f"augment.perspective_shift is {config.perspective_shift}: it must stay below 0.5, "
            f"where the corners of the frame meet"
        )
    low, high = config.erase_area
    if low > high:
        raise ConfigError(f"augment.erase_area is [{low}, {high}]: the smallest share comes first")


@dataclass(frozen=True)
class Changes:
    """The augmentation of each of n sequences; ``changes[a:b]`` is that of some of them."""

    flip: NDArray[np.bool_]
    """[n]: mirrored."""
    warped: NDArray[np.bool_]
    """[n]: resampled through ``source``."""
    source: Array
    """[n, 3, 3]: homography from an output pixel (x, y, 1) to the input pixel it shows."""
    erased: NDArray[np.int64]
    """[n, 4]: top, bottom, left, right of the blank rectangle, empty where top = bottom."""

    def __getitem__(self, part: slice) -> "Changes":
        return Changes(self.flip[part], self.warped[part], self.source[part], self.erased[part])


def draw_changes(
    count: int, size: Size, config: AugmentConfig, rng: np.random.Generator
) -> Changes | None:
    """Draw the changes of ``count`` sequences of frames of ``size``; None if all are off.

    Each sequence takes the same random numbers whether or not a change is on, so that turning
    one on leaves the others as they were.
    """
    if not (config.flip or config.rotate or config.perspective or config.erase):
        return None
    chance = rng.random((count, 4)) < (config.flip, config.rotate, config.perspective, config.erase)
    flip, rotate, perspective, erase = chance.T
    angles = np.where(rotate, rng.uniform(-1, 1, count) * config.degrees, 0.0)
    shifts = rng.random((count, 4)) * config.perspective_shift * perspective[:, None]
    source = _trapezoid(shifts, size) @ _rotation(angles, size)
    rectangles = _rectangles(rng.random((count, 4)), config.erase_area, size) * erase[:, None]
    return Changes(flip, rotate | perspective, source, rectangles)


def apply_changes(silhouettes: Tensor, changes: Changes) -> Tensor:
    """Return a changed copy of ``silhouettes`` float [n, s, h, w], one change per sequence.

    Pixels from outside the frame are 0.
    """
    out = silhouettes.clone()
    flipped = np.flatnonzero(changes.flip)
    if len(flipped):
        rows = torch.as_tensor(flipped, device=out.device)
        out[rows] = out[rows].flip(-1)
    warped = np.flatnonzero(changes.warped)
    if len(warped):
        rows = torch.as_tensor(warped, device=out.device)
        grid = _grid(changes.source[warped], (out.shape[-2], out.shape[-1]))
        out[rows] = F.grid_sample(out[rows], grid.to(out), align_corners=False)
    for row, (top, bottom, left, right) in enumerate(changes.erased.tolist()):
        out[row, :, top:bottom, left:right] = 0
    return out


def _rotation(degrees: Array, size: Size) -> Array:
    """Homographies [n, 3, 3] of a counter-clockwise rotation about the middle."""
    x, y = (size[1] - 1) / 2, (size[0] - 1) / 2
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    zero, one = np.zeros_like(cos), np.ones_like(cos)
    rows = [
        [cos, -sin, x - cos * x + sin * y],
        [sin, cos, y - sin * x - cos * y],
        [zero, zero, one],
    ]
    return np.moveaxis(np.array(rows), -1, 0)


def _trapezoid(shifts: Array, size: Size) -> Array:
    """Homographies [n, 3, 3] from the frame to the trapezoid that is stretched over it.

    ``shifts`` [n, 4]: how far top left, top right, bottom right and bottom left lie inside
    the frame, as shares of its width.  Heights stay as they are, as in the published
    perspective.  That is for square frames, before their empty columns are cut; so the corners
    here are those of the square frame.
    """
    height, width = size[0], max(size)
    cut = (width - size[1]) / 2
    top_left, top_right, bottom_right, bottom_left = shifts.T
    top, bottom = 1 - top_left - top_right, 1 - bottom_left - bottom_right
    # In the unit square: x = (left edge + its slope + width of the row) / w, with
    # w = 1 + v * (top / bottom - 1) from top (v = 0) to bottom (v = 1).
    ratio = top / bottom
    zero, one = np.zeros_like(top), np.ones_like(top)
    rows = [
        [top, bottom_left * ratio - top_left, top_left],
        [zero, ratio, zero],
        [zero, ratio - 1, one],
    ]
    unit = np.array([[1 / width, 0, (cut + 0.5) / width], [0, 1 / height, 0.5 / height], [0, 0, 1]])
    pixel = np.array([[width, 0, -0.5 - cut], [0, height, -0.5], [0, 0, 1]])
    return pixel @ np.moveaxis(np.array(rows), -1, 0) @ unit


def _rectangles(u: Array, area: tuple[float, float], size: Size) -> NDArray[np.int64]:
    """Rectangles [n, 4] (top, bottom, left, right) from uniform numbers ``u`` [n, 4].

    The area is uniform between the two shares of the frame's, height over width uniform in
    0.3..1/0.3 as far as the rectangle fits the frame.
    """
    height, width = size
    pixels = (area[0] + u[:, 0] * (area[1] - area[0])) * height * width
    narrow, wide = pixels / width**2, height**2 / np.maximum(pixels, 1e-9)
    low, high = np.clip(0.3, narrow, wide), np.clip(1 / 0.3, narrow, wide)
    aspect = low + u[:, 1] * (high - low)
    rows = np.minimum(np.rint(np.sqrt(pixels * aspect)), height)
    columns = np.minimum(np.rint(np.sqrt(pixels / np.maximum(aspect, 1e-9))), width)
    top = np.floor(u[:, 2] * (height - rows + 1))
    left = np.floor(u[:, 3] * (width - columns + 1))
    return np.stack([top, top + rows, left, left + columns], axis=1).astype(np.int64)


def _grid(source: Array, size: Size) -> Tensor:
    """``grid_sample`` coordinates float32 [n, h, w, 2] of the homographies [n, 3, 3].

    Element by element in float64, so that a sequence gets the same grid in any batch.
    """
    y, x = np.mgrid[: size[0], : size[1]]
    m = source[:, :, :, None, None]
    px, py, pz = (m[:, i, 0] * x + m[:, i, 1] * y + m[:, i, 2] for i in range(3))
    grid = np.stack([(2 * px / pz + 1) / size[1] - 1, (2 * py / pz + 1) / size[0] - 1], axis=-1)
    return torch.from_numpy(grid.astype(np.float32))
