"""GaitSet: a gait sequence as a set of frames.

Chao, He, Zhang, Feng: "GaitSet: Regarding Gait as a Set for Cross-View Gait
Recognition", AAAI 2019; as built in OpenGait.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasgait.nn.blocks import Conv2d
from nasgait.nn.heads import BNNecks, SeparateFCs
from nasgait.nn.init import initialise
from nasgait.nn.output import GaitNetwork, GaitOutput
from nasgait.nn.pooling import HorizontalPyramid, packed_max
from nasgait.nn.temporal import check_lengths, pack


class SetBlock(nn.Module):
    """Two convolutions with LeakyReLU, then 2x2 maximum where asked for."""

    def __init__(self, in_channels: int, channels: int, kernel: int, pool: bool) -> None:
        super().__init__()
        self.conv1 = Conv2d(in_channels, channels, kernel)
        self.conv2 = Conv2d(channels, channels, 3)
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        """Map x [f, c, h, w] to [f, channels, h / 2, w / 2] (or h, w)."""
        x = F.leaky_relu_(self.conv2(F.leaky_relu_(self.conv1(x))))
        return F.max_pool2d(x, 2) if self.pool else x


class GaitSet(GaitNetwork):
    """Frames one by one, a maximum over the set, and a second branch on set-level maps.

    Args:
        channels: of the three blocks.
        size: height and width of the input; a quarter of the height must be a
            multiple of each of ``bins``.
        bins: strips of the horizontal pyramid; each branch gives sum(bins) parts.
        embedding: channels of each part.
        num_classes: identities; the published network has no classifier, so
            this adds the BNNeck of OpenGait's other networks.
        frames: frames of a sequence when costs are stated.
    """

    def __init__(
        self,
        channels: Sequence[int] = (32, 64, 128),
        size: tuple[int, int] = (64, 44),
        bins: Sequence[int] = (16, 8, 4, 2, 1),
        embedding: int = 256,
        num_classes: int | None = None,
        frames: int = 30,
    ) -> None:
        super().__init__()
        self.size, self.frames = size, frames
        first, second, third = channels
        self.block1 = SetBlock(1, first, 5, pool=True)
        self.block2 = SetBlock(first, second, 3, pool=True)
        self.block3 = SetBlock(second, third, 3, pool=False)
        self.global2 = SetBlock(first, second, 3, pool=True)
        self.global3 = SetBlock(second, third, 3, pool=False)
        parts = 2 * sum(bins)
        self.pooling = HorizontalPyramid(bins)
        self.fcs = SeparateFCs(parts, third, embedding)
        initialise(self)
        self.neck = BNNecks(parts, embedding, num_classes) if num_classes else None

    def forward(self, silhouettes: Tensor, lengths: Tensor | None = None) -> GaitOutput:
        """Embed silhouettes [n, s, h, w] in 0..1 with ``lengths`` int64 [n] real frames."""
        n = len(silhouettes)
        x, valid = pack(silhouettes, check_lengths(silhouettes, lengths))
        x = self.block1(x)
        level = self.global2(packed_max(x, n, valid))
        x = self.block2(x)
        level = self.global3(level + packed_max(x, n, valid))
        frames = packed_max(self.block3(x), n, valid)
        strips = torch.cat([self.pooling(frames), self.pooling(level + frames)], dim=-1)
        embeddings = self.fcs(strips)
        return GaitOutput(embeddings, None if self.neck is None else self.neck(embeddings))
