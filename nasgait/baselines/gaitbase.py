"""GaitBase: a residual network on frames, a maximum over time, strips.

Fan, Liang, Shen, Hou, Huang, Yu: "OpenGait: Revisiting Gait Recognition Towards
Better Practicality", CVPR 2023.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from nasgait.nn.blocks import Conv2d
from nasgait.nn.heads import BNNecks, SeparateFCs
from nasgait.nn.init import initialise
from nasgait.nn.norm import BatchNorm
from nasgait.nn.output import GaitNetwork, GaitOutput
from nasgait.nn.pooling import HorizontalPyramid, packed_max
from nasgait.nn.temporal import check_lengths, pack


class BasicBlock(nn.Module):
    """The residual block of ResNet-18: two 3x3 convolutions around a shortcut."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = Conv2d(in_channels, channels, 3, stride)
        self.bn1 = BatchNorm(channels)
        self.conv2 = Conv2d(channels, channels, 3)
        self.bn2 = BatchNorm(channels)
        self.downsample = (
            nn.Sequential(Conv2d(in_channels, channels, 1, stride), BatchNorm(channels))
            if stride != 1 or in_channels != channels
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map x [f, c, h, w] to [f, channels, h / stride, w / stride]."""
        y = F.relu_(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu_(y + (x if self.downsample is None else self.downsample(x)))


class GaitBase(GaitNetwork):
    """OpenGait's ``Baseline`` with its ``ResNet9`` backbone.

    Args:
        channels: of the first convolution (first entry) and the four stages.
        layers: residual blocks in each stage; 0 leaves the stage out, and with
            it the change of channels.
        strides: of the first block of each stage.
        maxpool: 3x3 maximum with stride 2 after the first convolution.
        size: height and width of the input.
        bins: strips of the horizontal pyramid.
        embedding: channels of each part.
        num_classes: identities; no neck and no logits without.
        frames: frames of a sequence when costs are stated.
    """

    def __init__(
        self,
        channels: Sequence[int] = (64, 128, 256, 512),
        layers: Sequence[int] = (1, 1, 1, 1),
        strides: Sequence[int] = (1, 2, 2, 1),
        maxpool: bool = False,
        size: tuple[int, int] = (64, 44),
        bins: Sequence[int] = (16,),
        embedding: int = 256,
        num_classes: int | None = None,
        frames: int = 30,
    ) -> None:
        super().__init__()
        self.size, self.frames, self.maxpool = size, frames, maxpool
        width = channels[0]
        self.conv1 = Conv2d(1, width, 3)
        self.bn1 = BatchNorm(width)
        stages = []
        for planes, count, stride in zip(channels, layers, strides, strict=True):
            blocks = []
            for i in range(count):
                blocks.append(BasicBlock(width, planes, stride if i == 0 else 1))
                width = planes
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)
        self.pooling = HorizontalPyramid(bins)
        self.fcs = SeparateFCs(sum(bins), width, embedding)
        initialise(self)
        self.neck = BNNecks(sum(bins), embedding, num_classes) if num_classes else None

    def forward(self, silhouettes: Tensor, lengths: Tensor | None = None) -> GaitOutput:
        """Embed silhouettes [n, s, h, w] in 0..1 with ``lengths`` int64 [n] real frames."""
        x, valid = pack(silhouettes, check_lengths(silhouettes, lengths))
        x = F.relu_(self.bn1(self.conv1(x)))
        if self.maxpool:
            x = F.max_pool2d(x, 3, stride=2, padding=1)
        for stage in self.stages:
            x = stage(x)
        embeddings = self.fcs(self.pooling(packed_max(x, len(silhouettes), valid)))
        return GaitOutput(embeddings, None if self.neck is None else self.neck(embeddings))
