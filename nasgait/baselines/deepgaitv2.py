"""DeepGaitV2: deep residual networks in 2-D, 3-D or pseudo-3-D.

Fan, Hou, Huang, Yu: "Exploring Deep Models for Practical Gait Recognition",
arXiv:2303.03301; as built in OpenGait.
"""

from collections.abc import Sequence
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from nasgait.baselines.reported import Reported
from nasgait.baselines.variant import Variant
from nasgait.core.errors import ConfigError
from nasgait.nn.base import GaitOutput
from nasgait.nn.blocks import Conv2d, Conv3d
from nasgait.nn.heads import PartNetwork
from nasgait.nn.norm import BatchNorm
from nasgait.nn.pooling import HorizontalPyramid, packed_max
from nasgait.nn.residual import BasicBlock
from nasgait.nn.temporal import Clips, check_lengths, pack

STRIDES = (1, 2, 2, 1)
"""Of the first block of each stage, in height and width."""


class Block2d(BasicBlock):
    """The residual block of ResNet-18, frame by frame."""

    def forward(self, x: Tensor, clips: Clips | None = None) -> Tensor:
        """Map frames x [f, c, h, w] to [f, channels, h / stride, w / stride]."""
        return super().forward(x)


class PixelConv3d(nn.Conv3d):
    """1x1x1 convolution, frame by frame."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__(in_channels, channels, 1, stride=(1, stride, stride), bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map frames x [f, c, h, w] to [f, channels, h / stride, w / stride]."""
        _, step, _ = self.stride
        # Picking the pixels first avoids a bug of oneDNN: see nasgait.kernels.convolution.Conv2d.
        return F.conv2d(x[:, :, ::step, ::step], self.weight[:, :, 0])


def shortcut3d(in_channels: int, channels: int, stride: int) -> nn.Sequential | None:
    """1x1x1 convolution and BatchNorm; None where the input can be added as it is."""
    if stride == 1 and in_channels == channels:
        return None
    return nn.Sequential(PixelConv3d(in_channels, channels, stride), BatchNorm(channels))


class Block3d(nn.Module):
    """Two 3x3x3 convolutions around a shortcut."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = Conv3d(in_channels, channels, (3, 3, 3), stride)
        self.bn1 = BatchNorm(channels)
        self.conv2 = Conv3d(channels, channels, (3, 3, 3))
        self.bn2 = BatchNorm(channels)
        self.downsample = shortcut3d(in_channels, channels, stride)

    def forward(self, x: Tensor, clips: Clips) -> Tensor:
        """Map frames x [f, c, h, w] to [f, channels, h / stride, w / stride]."""
        y = F.relu_(self.bn1(clips.convolve(self.conv1, x)))
        y = self.bn2(clips.convolve(self.conv2, y))
        return F.relu_(y + (x if self.downsample is None else self.downsample(x)))


class BlockP3d(nn.Module):
    """Two 3x3 convolutions around a shortcut, a residual convolution over time between them."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = Conv2d(in_channels, channels, 3, stride)
        self.bn1 = BatchNorm(channels)
        self.temporal = Conv3d(channels, channels, (3, 1, 1))
        self.temporal_bn = BatchNorm(channels)
        self.conv2 = Conv2d(channels, channels, 3)
        self.bn2 = BatchNorm(channels)
        self.downsample = shortcut3d(in_channels, channels, stride)

    def forward(self, x: Tensor, clips: Clips) -> Tensor:
        """Map frames x [f, c, h, w] to [f, channels, h / stride, w / stride]."""
        y = F.relu_(self.bn1(self.conv1(x)))
        y = F.relu_(y + self.temporal_bn(clips.convolve(self.temporal, y)))
        y = self.bn2(self.conv2(y))
        return F.relu_(y + (x if self.downsample is None else self.downsample(x)))


BLOCKS: dict[str, type[nn.Module]] = {"2d": Block2d, "3d": Block3d, "p3d": BlockP3d}
"""By mode.  The first stage is 2-D in all modes."""


class DeepGaitV2(PartNetwork):
    """A residual network of four stages, a maximum over time, strips.

    The embedding [n, embedding, sum(bins)] is the output of the linear maps, before the neck.

    Args:
        mode: ``2d``, ``3d`` or ``p3d``: the blocks of the last three stages.
        channels: of the four stages; the first convolution has the same as the first stage.
        layers: residual blocks in each stage.
        size: height and width of the input.
        frames: of a sequence, when costs are stated.
        bins: strips of the horizontal pyramid.
        embedding: channels of each part; by default those of the third stage, as published.
        after_neck: in evaluation take the embedding from the neck, normalised to length 1
            (``use_emb2`` in OpenGait).  Without classes, and for triplets, it is always the one
            before the neck.
        num_classes: identities; no neck and no logits without.

    Raises:
        ConfigError: an unknown mode, or ``channels`` or ``layers`` not for four stages.
    """

    def __init__(
        self,
        mode: str = "p3d",
        channels: Sequence[int] = (64, 128, 256, 512),
        layers: Sequence[int] = (1, 1, 1, 1),
        size: tuple[int, int] = (64, 44),
        frames: int = 30,
        bins: Sequence[int] = (16,),
        embedding: int | None = None,
        after_neck: bool = False,
        num_classes: int | None = None,
    ) -> None:
        super().__init__()
        if mode not in BLOCKS:
            raise ConfigError(f"mode: {mode!r}; known are {', '.join(BLOCKS)}")
        for key, values in (("channels", channels), ("layers", layers)):
            if len(values) != len(STRIDES) or min(values) < 1:
                raise ConfigError(f"{key}: {values}; give one of 1 or more to each of 4 stages")
        self.size, self.frames, self.needs_neck = size, frames, after_neck
        width = channels[0]
        self.conv1 = Conv2d(1, width, 3)
        self.bn1 = BatchNorm(width)
        stages = []
        for i, (planes, count, stride) in enumerate(zip(channels, layers, STRIDES, strict=True)):
            block = BLOCKS[mode] if i else Block2d
            first = block(width, planes, stride)
            stages.append(
                nn.ModuleList([first, *(block(planes, planes, 1) for _ in range(count - 1))])
            )
            width = planes
        self.stages = nn.ModuleList(stages)
        self.pooling = HorizontalPyramid(bins)
        self.add_head(sum(bins), width, embedding or channels[2], num_classes)

    def forward(self, silhouettes: Tensor, lengths: Tensor | None = None) -> GaitOutput:
        """Embed silhouettes [n, s, h, w] in 0..1 with ``lengths`` int64 [n] real frames."""
        x, valid = pack(silhouettes, check_lengths(silhouettes, lengths))
        clips = Clips.of(len(silhouettes), valid)
        x = F.relu_(self.bn1(self.conv1(x)))
        for stage in self.stages:
            for block in stage.children():
                x = block(x, clips)
        output = self.output(self.fcs(self.pooling(packed_max(x, len(silhouettes), valid))))
        if self.needs_neck and self.neck is not None and not self.training:
            return output._replace(embeddings=self.neck.features(output.embeddings))
        return output


VARIANTS = {
    "deepgaitv2": Variant(
        DeepGaitV2, "DeepGaitV2 (2023), pseudo-3D, as published for CASIA-B and OU-MVLP"
    ),
    "deepgaitv2-grew": Variant(
        partial(DeepGaitV2, layers=(1, 4, 4, 1)),
        "DeepGaitV2, pseudo-3D, as published for GREW and Gait3D: 22 layers",
        (Reported("Gait3D", 74.4),),
    ),
    "deepgaitv2-2d": Variant(
        partial(DeepGaitV2, mode="2d", layers=(1, 4, 4, 1)),
        "DeepGaitV2 of the published depth for GREW and Gait3D, frame by frame",
    ),
    "deepgaitv2-3d": Variant(
        partial(DeepGaitV2, mode="3d", layers=(1, 4, 4, 1)),
        "DeepGaitV2 of the published depth for GREW and Gait3D, 3-D convolutions",
        (Reported("GREW", 79.4),),
    ),
    "deepgaitv2-nano": Variant(
        partial(
            DeepGaitV2, channels=(8, 16, 24, 32), size=(32, 22), bins=(8,), embedding=64, frames=16
        ),
        "DeepGaitV2 narrowed to the cost of the nano space; not a published network",
    ),
}
