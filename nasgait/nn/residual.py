"""Residual blocks on frames."""

import torch.nn.functional as F
from torch import Tensor, nn

from nasgait.nn.blocks import Conv2d
from nasgait.nn.norm import BatchNorm


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
