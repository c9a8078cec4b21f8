"""HSTL: each region of the body has its own convolutions; regions get finer with each level.

Wang, Liu, Liang, Wang: "Hierarchical Spatio-Temporal Representation Learning for Gait
Recognition", ICCV 2023; as in its authors' code, which does not run without repairs.
"""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasgait.baselines.variant import Variant
from nasgait.nn.base import GaitNetwork, GaitOutput
from nasgait.nn.blocks import Conv2d, Conv3d
from nasgait.nn.heads import SeparateFCs
from nasgait.nn.init import initialise
from nasgait.nn.norm import BatchNorm
from nasgait.nn.pooling import GeMPyramid, GeMRegions, spatial_max, temporal_max
from nasgait.nn.temporal import (
    LTA_STRIDE,
    check_lengths,
    hide,
    repeat_short,
    valid_after_lta,
    valid_mask,
)

KERNEL = (3, 3, 3)
WINDOWS = (3, 5)
"""Frames that the two maxima of the frame aggregation see."""


class RegionConv(nn.Module):
    """Adaptive region-based motion extractor: a convolution for each region, then LeakyReLU.

    Args:
        in_channels, channels: of each convolution.
        heights: rows of each region, from the top; each is zero-padded.
    """

    def __init__(self, in_channels: int, channels: int, heights: Sequence[int]) -> None:
        super().__init__()
        self.heights = tuple(heights)
        self.regions = nn.ModuleList(Conv3d(in_channels, channels, KERNEL) for _ in heights)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Map x [n, c, s, h, w] to [n, channels, s, h, w]; ``valid`` is bool [n, 1, s, 1, 1]."""
        regions = hide(x, valid).split(self.heights, dim=3)
        maps = [conv(region) for conv, region in zip(self.regions, regions, strict=True)]
        return F.leaky_relu_(torch.cat(maps, dim=3))


class RegionStage(nn.Module):
    """Convolutions with the same regions, one after another.

    Args:
        in_channels: of the first; channels: that each gives; heights: as for the convolutions.
    """

    def __init__(self, in_channels: int, channels: Sequence[int], heights: Sequence[int]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            RegionConv(before, after, heights)
            for before, after in pairwise((in_channels, *channels))
        )

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Map x [n, c, s, h, w] to [n, channels, s, h, w]; ``valid`` is bool [n, 1, s, 1, 1]."""
        for conv in self.convs:
            x = conv(x, valid)
        return x


class Gate(nn.Module):
    """The weight of the shorter of two windows in one region, for each channel and step."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.short = nn.Conv1d(channels, channels, 1)
        self.long = nn.Conv1d(channels, channels, 1)

    def forward(self, rows: Tensor) -> Tensor:
        """Map row means [n, c, t, h] of a region to weights 0..1 of the same shape."""
        mean = rows.mean(-1)
        # The softmax of two.
        share = torch.sigmoid(self.short(mean) - self.long(mean))
        return share[..., None].expand_as(rows)


class FrameAggregation(nn.Module):
    """Frame-level temporal aggregation: three frames become one, with a gate for each region.

    It averages the maximum of three frames and that of a window two frames wider, with weights
    that depend on the mean of both over the region.  As in the published network, the last
    s mod 3 frames have no output, though a window may reach the first of them.

    Args:
        channels: of the input; heights: rows of each region, from the top.
    """

    def __init__(self, channels: int, heights: Sequence[int]) -> None:
        super().__init__()
        self.heights = tuple(heights)
        self.gates = nn.ModuleList(Gate(channels) for _ in heights)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Map x [n, c, s, h, w] to [n, c, s // 3, h, w], and its mask likewise."""
        if valid is not None:
            x = x.masked_fill(~valid, -torch.inf)
        valid = valid_after_lta(valid)
        # Padding must be finite, too: infinities would make the gates' gradients NaN.
        short, long = (hide(self._windows(x, frames), valid) for frames in WINDOWS)
        regions = (short + long).mean(-1).split(self.heights, dim=3)
        shares = [gate(rows) for gate, rows in zip(self.gates, regions, strict=True)]
        return torch.lerp(long, short, torch.cat(shares, dim=3)[..., None]), valid

    @staticmethod
    def _windows(x: Tensor, frames: int) -> Tensor:
        """Maximum over windows with stride 3.

        Pooled in two dimensions, frames and pixels: autocast would widen a 3-D pooling to float32.
        """
        margin = (frames - LTA_STRIDE) // 2
        y = F.max_pool2d(x.flatten(3), (frames, 1), (LTA_STRIDE, 1), (margin, 0))
        return y.unflatten(3, x.shape[3:])


class RegionPooling(nn.Module):
    """Adaptive spatio-temporal pooling after the maximum over time: one part for each region.

    Args:
        in_channels: of the input; heights: rows of each region, from the top.
        channels: of the parts, by a 1x1 convolution; None keeps those of the input.
    """

    def __init__(
        self, in_channels: int, heights: Sequence[int], channels: int | None = None
    ) -> None:
        super().__init__()
        self.project = Conv2d(in_channels, channels, 1) if channels else None
        self.gem = GeMRegions(heights)

    def forward(self, x: Tensor) -> Tensor:
        """Map x [n, c, h, w] to [n, channels, regions]."""
        parts: Tensor = self.gem(x if self.project is None else self.project(x))
        return parts


class HSTL(GaitNetwork):
    """Stages of region-wise 3-D convolutions; every level adds parts to the embedding.

    Sequences below three frames are repeated.  Levels are the first convolutions, each stage,
    and the first stage again after :class:`FrameAggregation`.  The parts are the maximum over
    time of each level, pooled by its regions, and the rows of the last level; the embedding is
    the output of a BatchNorm on them, the classifier is linear.

    Args:
        stem: channels of the first convolutions.
        stages: channels of the convolutions of each stage.
        regions: rows of the regions of each stage, from the top.
        pool: 2x2 max pooling between the first convolutions and the first stage.
        size: height and width of the input; the regions of each stage must add up to the
            height, or half of it with ``pool``.
        frames: of a sequence, when costs are stated.
        num_classes: identities; no classifier and no logits without.

    Raises:
        ValueError: regions that do not add up to the height.
    """

    def __init__(
        self,
        stem: Sequence[int] = (32,),
        stages: Sequence[Sequence[int]] = ((32, 64), (128, 128)),
        regions: Sequence[Sequence[int]] = ((40, 24), (8, 32, 16, 8)),
        pool: bool = False,
        size: tuple[int, int] = (64, 44),
        frames: int = 30,
        num_classes: int | None = None,
    ) -> None:
        super().__init__()
        self.size, self.frames, self.pool = size, frames, pool
        height = size[0]
        rows = height // 2 if pool else height
        for heights in regions:
            if sum(heights) != rows:
                raise ValueError(f"regions {tuple(heights)} do not add up to {rows} rows")
        self.stem = nn.ModuleList(
            Conv3d(before, after, KERNEL) for before, after in pairwise((1, *stem))
        )
        self.stages = nn.ModuleList()
        width = stem[-1]
        levels: list[tuple[int, Sequence[int]]] = [(width, (height,))]
        for channels, heights in zip(stages, regions, strict=True):
            self.stages.append(RegionStage(width, channels, heights))
            width = channels[-1]
            levels.append((width, heights))
        levels.insert(2, levels[1])
        self.aggregation = FrameAggregation(*levels[1])
        self.pools = nn.ModuleList(RegionPooling(*level, width) for level in levels[:-1])
        self.pools.append(RegionPooling(*levels[-1]))
        self.rows = GeMPyramid((rows,))
        parts = rows + sum(len(heights) for _, heights in levels)
        self.fcs = SeparateFCs(parts, width, width)
        self.norm = BatchNorm(width)
        initialise(self)
        self.neck = SeparateFCs(parts, width, num_classes) if num_classes else None

    def forward(self, silhouettes: Tensor, lengths: Tensor | None = None) -> GaitOutput:
        """Embed silhouettes [n, s, h, w] in 0..1 with ``lengths`` int64 [n] real frames."""
        lengths = check_lengths(silhouettes, lengths)
        silhouettes, lengths = repeat_short(silhouettes, lengths, LTA_STRIDE)
        maps = self._maps(silhouettes[:, None], valid_mask(lengths, silhouettes.shape[1]))
        levels = [pool(level) for pool, level in zip(self.pools, maps, strict=True)]
        embeddings = self.norm(self.fcs(torch.cat([*levels, self.rows(maps[-1])], dim=-1)))
        return self.output(embeddings)

    def _maps(self, x: Tensor, valid: Tensor | None) -> list[Tensor]:
        """The maximum over time of each level, [n, c, h, w], from x [n, 1, s, h, w]."""
        for conv in self.stem:
            x = F.leaky_relu_(conv(hide(x, valid)))
        maps = [temporal_max(x, valid)]
        if self.pool:
            x = spatial_max(x)
        for number, stage in enumerate(self.stages):
            x = stage(x, valid)
            maps.append(temporal_max(x, valid))
            if number == 0:
                x, valid = self.aggregation(x, valid)
                maps.append(temporal_max(x, valid))
        return maps


VARIANTS = {
    "hstl": Variant(HSTL, "HSTL (ICCV 2023) as published for CASIA-B"),
    "hstl-oumvlp": Variant(
        partial(
            HSTL,
            stem=(32, 32),
            stages=((64, 64), (128, 128), (256, 256)),
            regions=((4, 24, 4), (4, 4, 12, 8, 4), (4, 4, 12, 4, 4, 4)),
            pool=True,
        ),
        "HSTL as published for OU-MVLP: a stage more, at half the resolution",
    ),
    "hstl-gait3d": Variant(
        partial(
            HSTL,
            stem=(32, 32),
            stages=((64, 64), (128, 128), (256, 256)),
            regions=((20, 12), (4, 16, 8, 4), (4, 4, 12, 8, 4)),
            pool=True,
        ),
        "HSTL as published for Gait3D: that of OU-MVLP with other regions",
    ),
    "hstl-nano": Variant(
        partial(
            HSTL,
            stem=(4,),
            stages=((8, 8), (12, 24)),
            regions=((20, 12), (4, 16, 8, 4)),
            size=(32, 22),
            frames=16,
        ),
        "HSTL narrowed to the cost of the nano space; not a published network",
    ),
}
