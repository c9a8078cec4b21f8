"""OpenGait's plain backbone: convolutions, focal convolutions and max pooling."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasgait.core.errors import ConfigError
from nasgait.nn.blocks import Conv2d

POOL = "M"
"""The layer that halves height and width by a maximum over 2x2 pixels."""

_CONV = re.compile(r"BC-(?P<basic>[1-9]\d*)|FC-(?P<focal>[1-9]\d*)-(?P<halving>\d+)")


@dataclass(frozen=True)
class ConvSpec:
    """A convolution of the plain backbone."""

    channels: int
    """Of its output."""
    halving: int = 0
    """The frame is cut into 2^halving strips that do not see each other."""


def parse_layers(layers: Sequence[str]) -> list[ConvSpec | None]:
    """Read ``BC-64`` (basic), ``FC-64-2`` (focal, 2^2 strips) and ``M`` (None: 2x2 max pooling).

    Raises:
        ConfigError: a layer of another form, or a first layer that is no convolution.
    """
    parsed: list[ConvSpec | None] = []
    for layer in layers:
        found = _CONV.fullmatch(str(layer))
        if layer != POOL and not found:
            raise ConfigError(
                f"layers: {layer!r} is no layer; write BC-64 (channels), FC-64-2 (channels, "
                "halvings) or M"
            )
        if found is None:
            parsed.append(None)
        else:
            channels = int(found["basic"] or found["focal"])
            parsed.append(ConvSpec(channels, int(found["halving"] or 0)))
    if not parsed or parsed[0] is None:
        raise ConfigError("layers: the first must be a convolution like BC-64")
    return parsed


class FocalConv2d(Conv2d):
    """Focal convolution: horizontal strips are convolved each by itself (GaitPart).

    Args:
        in_channels, out_channels, kernel: as for :class:`nasgait.nn.blocks.Conv2d`.
        halving: strips have h // 2^halving rows; the rows left over are one more strip.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, halving: int) -> None:
        super().__init__(in_channels, out_channels, kernel)
        self.halving = halving

    def forward(self, x: Tensor) -> Tensor:
        """Convolve x [f, c, h, w] to [f, out, h, w].

        Raises:
            ConfigError: fewer rows than strips.
        """
        if self.halving == 0:
            return super().forward(x)
        rows = x.shape[2] // 2**self.halving
        if rows == 0:
            raise ConfigError(
                f"layers: a focal convolution cuts {2**self.halving} strips, its input has "
                f"{x.shape[2]} rows; take fewer halvings or a higher frame"
            )
        whole = x.shape[2] // rows * rows
        y = self._strips(x[:, :, :whole], rows)
        if whole == x.shape[2]:
            return y
        return torch.cat([y, super().forward(x[:, :, whole:])], dim=2)

    def _strips(self, x: Tensor, rows: int) -> Tensor:
        """Convolve strips of ``rows`` rows as separate images, a view of channels-last x."""
        f, c, h, w = x.shape
        strips = x.permute(0, 2, 3, 1).reshape(-1, rows, w, c).permute(0, 3, 1, 2)
        y = super().forward(strips)
        return y.permute(0, 2, 3, 1).reshape(f, h, w, -1).permute(0, 3, 1, 2)


class PlainBackbone(nn.Module):
    """Convolutions with LeakyReLU and 2x2 max pooling, frame by frame.

    The first kernel is 5x5, the others are 3x3; no bias, no norm.

    Args:
        layers: as :func:`parse_layers` reads them, which raises ConfigError for others.
    """

    def __init__(self, layers: Sequence[str]) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        self.channels = 1
        for spec in parse_layers(layers):
            if spec is None:
                parts.append(nn.MaxPool2d(2))
                continue
            kernel = 3 if parts else 5
            parts.append(FocalConv2d(self.channels, spec.channels, kernel, spec.halving))
            self.channels = spec.channels
        self.layers = nn.ModuleList(parts)

    def forward(self, x: Tensor) -> Tensor:
        """Map frames x [f, 1, h, w] to [f, channels, h', w']."""
        for layer in self.layers:
            x = layer(x)
            if isinstance(layer, FocalConv2d):
                x = F.leaky_relu_(x)
        return x
