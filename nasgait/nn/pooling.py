"""Pooling: over time, and over horizontal strips of the body."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasgait.core.errors import ConfigError
from nasgait.nn.precision import widen
from nasgait.nn.temporal import unpack


def temporal_max(x: Tensor, valid: Tensor | None = None) -> Tensor:
    """Maximum over the valid frames: x [n, c, s, h, w] to [n, c, h, w].

    ``valid`` is bool [n, 1, s, 1, 1], at least one True for each sequence; all by default.
    The gradient of a tie goes to the earliest frame, as with ``x.max(2)``, which takes six
    times as long.
    """
    if valid is not None:
        x = x.masked_fill(~valid, -torch.inf)
    n, c, s, h, w = x.shape
    if not x.requires_grad:
        # Without a gradient whole rows can be compared, in the order of memory.
        rows = x.movedim(1, -1)
        if rows.is_contiguous():
            return rows.flatten(2).amax(1).view(n, h, w, c).movedim(-1, 1)
        return x.amax(2)
    return F.max_pool2d(x.flatten(3), (s, 1)).view(n, c, h, w)


def packed_max(frames: Tensor, sequences: int, valid: Tensor | None) -> Tensor:
    """Maximum over the frames of each sequence: [f, c, h, w] to [n, c, h, w].

    ``valid`` is what ``nasgait.nn.temporal.pack`` returned for the ``sequences`` n.
    """
    if valid is None:
        return temporal_max(frames.unflatten(0, (sequences, -1)).transpose(1, 2))
    return temporal_max(unpack(frames, valid, -torch.inf).transpose(1, 2))


def spatial_max(x: Tensor) -> Tensor:
    """2x2 max pooling of every frame: x [n, c, s, h, w] to [n, c, s, h // 2, w // 2].

    Pooled in two dimensions, since autocast would widen a 3-D pooling to float32; without a
    gradient by two comparisons, which are faster.
    """
    n, _, s, h, w = x.shape
    if not x.requires_grad:
        rows = torch.maximum(x[..., 0 : h - 1 : 2, :], x[..., 1:h:2, :])
        return torch.maximum(rows[..., 0 : w - 1 : 2], rows[..., 1:w:2])
    y = F.max_pool2d(x.transpose(1, 2).flatten(0, 1), 2)
    return y.view(n, s, *y.shape[1:]).transpose(1, 2)


def equal_strips(x: Tensor, count: int) -> Tensor:
    """Cut x [n, c, pixels] into ``count`` equal strips [n, c, count, pixels / count].

    Raises ConfigError when ``count`` does not divide the pixels.
    """
    if x.shape[2] % count:
        raise ConfigError(
            f"bins: {x.shape[2]} pixels of a feature map cannot be cut into {count} equal strips; "
            "take other bins or another size of frames"
        )
    return x.reshape(*x.shape[:2], count, -1)


class HorizontalPyramid(nn.Module):
    """Mean plus maximum over horizontal strips (GaitSet, GaitBase).

    Args:
        bins: numbers of equal strips, pooled and concatenated in this order.  As published,
            strips are equal runs of pixels, which end within rows if the height is no multiple.

    Raises ConfigError in the forward pass when a number of strips does not divide the pixels.
    """

    def __init__(self, bins: Sequence[int]) -> None:
        super().__init__()
        self.bins = tuple(bins)

    def forward(self, x: Tensor) -> Tensor:
        """Map x [n, c, h, w] to [n, c, sum of bins]."""
        strips = [equal_strips(x.flatten(2), count) for count in self.bins]
        return torch.cat([strip.mean(-1) + strip.amax(-1) for strip in strips], dim=-1)


class GeMPyramid(nn.Module):
    """Generalised mean over horizontal strips (GaitGL, SPOSGait): mean(x^p)^(1/p).

    Computed in float32 or wider: a power of 6.5 is beyond half precision.

    Args:
        bins: as for :class:`HorizontalPyramid`.
        p: first value of the learnable exponent.
        eps: smaller values are raised to this.
    """

    def __init__(self, bins: Sequence[int], p: float = 6.5, eps: float = 1e-6) -> None:
        super().__init__()
        self.bins = tuple(bins)
        self.eps = eps
        self.p = nn.Parameter(torch.full((1,), p))

    def forward(self, x: Tensor) -> Tensor:
        """Map x [n, c, h, w] to [n, c, sum of bins]."""
        x = widen(x)
        p = self.p.to(x.dtype)
        powers = x.clamp(min=self.eps).pow(p)
        rows = powers.mean(-1)
        strips = [
            equal_strips(powers.flatten(2) if rows.shape[2] % count else rows, count).mean(-1)
            for count in self.bins
        ]
        return torch.cat(strips, dim=-1).pow(1 / p)


class GeMRegions(nn.Module):
    """Generalised mean over horizontal regions, each with its own exponent (HSTL).

    Computed as in :class:`GeMPyramid`.

    Args:
        heights: rows of each region, from the top; they must add up to the height.
        p: first value of the learnable exponents.
        eps: smaller values are raised to this.
    """

    def __init__(self, heights: Sequence[int], p: float = 6.5, eps: float = 1e-6) -> None:
        super().__init__()
        self.heights = tuple(heights)
        self.eps = eps
        self.p = nn.ParameterList(torch.full((1,), p) for _ in heights)

    def forward(self, x: Tensor) -> Tensor:
        """Map x [n, c, h, w] to [n, c, regions]."""
        x = widen(x)
        exponents = [p.to(x.dtype) for p in self.p]
        of_rows = [p.expand(rows) for p, rows in zip(exponents, self.heights, strict=True)]
        rows = x.clamp(min=self.eps).pow(torch.cat(of_rows)[:, None]).mean(-1)
        regions = [region.mean(-1) for region in rows.split(self.heights, dim=-1)]
        return torch.stack(regions, dim=-1).pow(1 / torch.cat(exponents))
