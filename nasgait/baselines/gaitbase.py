"""GaitBase: a residual network on frames, a maximum over time, strips.

Fan, Liang, Shen, Hou, Huang, Yu: "OpenGait: Revisiting Gait Recognition Towards
Better Practicality", CVPR 2023.
"""

from collections.abc import Sequence
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from nasgait.baselines.reported import Reported, casia_b
from nasgait.baselines.variant import Variant
from nasgait.nn.base import GaitOutput
from nasgait.nn.blocks import Conv2d
from nasgait.nn.heads import PartNetwork
from nasgait.nn.norm import BatchNorm
from nasgait.nn.pooling import HorizontalPyramid, packed_max
from nasgait.nn.residual import BasicBlock
from nasgait.nn.temporal import check_lengths, pack


class GaitBase(PartNetwork):
    """OpenGait's ``Baseline`` with its ``ResNet9`` backbone.

    Args:
        channels: of the first convolution (first entry) and the four stages.
        layers: residual blocks in each stage; 0 leaves out the stage and its change of channels.
        strides: of the first block of each stage.
        maxpool: 3x3 max pooling with stride 2 after the first convolution.
        size: height and width of the input.
        frames: of a sequence, when costs are stated.
        bins: strips of the horizontal pyramid.
        embedding, normalise_fcs, cosine, joint_norm, num_classes: of the head, see
            :meth:`~nasgait.nn.heads.PartNetwork.add_head`.
    """

    def __init__(
        self,
        channels: Sequence[int] = (64, 128, 256, 512),
        layers: Sequence[int] = (1, 1, 1, 1),
        strides: Sequence[int] = (1, 2, 2, 1),
        maxpool: bool = False,
        size: tuple[int, int] = (64, 44),
        frames: int = 30,
        bins: Sequence[int] = (16,),
        embedding: int = 256,
        normalise_fcs: bool = False,
        cosine: bool = True,
        joint_norm: bool = True,
        num_classes: int | None = None,
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
        self.add_head(sum(bins), width, embedding, num_classes, normalise_fcs, cosine, joint_norm)

    def forward(self, silhouettes: Tensor, lengths: Tensor | None = None) -> GaitOutput:
        """Embed silhouettes [n, s, h, w] in 0..1 with ``lengths`` int64 [n] real frames."""
        x, valid = pack(silhouettes, check_lengths(silhouettes, lengths))
        x = F.relu_(self.bn1(self.conv1(x)))
        if self.maxpool:
            x = F.max_pool2d(x, 3, stride=2, padding=1)
        for stage in self.stages:
            x = stage(x)
        return self.output(self.fcs(self.pooling(packed_max(x, len(silhouettes), valid))))


VARIANTS = {
    "gaitbase": Variant(
        GaitBase,
        "GaitBase (OpenGait, CVPR 2023) as published for CASIA-B, OU-MVLP, GREW, Gait3D",
        (
            *(Reported("GREW", 60.1), Reported("Gait3D", 64.6), Reported("OU-MVLP", 90.8)),
            *casia_b(97.6, 94.0, 77.4),
        ),
    ),
    "gaitbase-nano": Variant(
        partial(
            GaitBase, channels=(8, 16, 24, 32), size=(32, 22), bins=(8,), embedding=64, frames=16
        ),
        "GaitBase narrowed to the cost of the nano space; not a published network",
    ),
}
