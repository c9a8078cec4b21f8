"""Building blocks of networks; search spaces write theirs as kernels like ``3x3x1+3x1x3``."""

import re
from collections.abc import Callable, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasgait.core.errors import ConfigError
from nasgait.kernels.convolution import Conv2d, Conv3d, Convolution, Kernel
from nasgait.nn.norm import BatchNorm
from nasgait.nn.temporal import LTA_STRIDE, hide, hide_, valid_after_lta

SPOSGAIT_BLOCKS = ("3x3x3", "3x1x3", "3x3x1", "3x3x1+3x1x3", "3x1x3+3x3x1", "3x1x1+1x3x3")
"""The six published choices in order; time x height x width."""

_BLOCK = re.compile(r"\d+x\d+x\d+(\+\d+x\d+x\d+)*")


def parse_block(text: str) -> tuple[Kernel, ...]:
    """Read ``3x3x1+3x1x3`` as the kernels ((3, 3, 1), (3, 1, 3)), time x height x width.

    Raises:
        ValueError: text of another form, or a kernel side that is not odd.
    """
    if not _BLOCK.fullmatch(text):
        raise ValueError(
            f"{text!r} is no block; write kernels like 3x3x3 or 3x3x1+3x1x3 (t x h x w)"
        )
    kernels = tuple(
        (int(t), int(h), int(w)) for t, h, w in (part.split("x") for part in text.split("+"))
    )
    if any(side % 2 == 0 for kernel in kernels for side in kernel):
        raise ValueError(f"{text!r}: every side of a kernel must be odd, so that the size stays")
    return kernels


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"leaky-relu": F.leaky_relu_, "relu": F.relu_}
"""Activations of :class:`SetBlock`, in place."""


class SetBlock(nn.Module):
    """Two convolutions, each with an activation, then 2x2 max pooling if ``pool`` (GaitSet, GLN).

    Raises ConfigError for an ``activation`` that is not one of :data:`ACTIVATIONS`.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel: int,
        pool: bool,
        activation: str = "leaky-relu",
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ConfigError(f"activation: {activation!r}; known are {', '.join(ACTIVATIONS)}")
        self.activation = activation
        self.conv1 = Conv2d(in_channels, channels, kernel)
        self.conv2 = Conv2d(channels, channels, 3)
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        """Map x [f, c, h, w] to [f, channels, h / 2, w / 2] (or h, w)."""
        activate = ACTIVATIONS[self.activation]
        x = activate(self.conv2(activate(self.conv1(x))))
        return F.max_pool2d(x, 2) if self.pool else x


class ConvBN(nn.Module):
    """Convolution and BatchNorm; padding in time is hidden from kernels that join frames."""

    def __init__(self, in_channels: int, out_channels: int, kernel: Kernel) -> None:
        super().__init__()
        self.conv = Conv3d(in_channels, out_channels, kernel)
        self.norm = BatchNorm(out_channels)
        self.joins_frames = kernel[0] > 1

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Map x [n, c, s, h, w] to [n, out, s, h, w]; ``valid`` is bool [n, 1, s, 1, 1].

        Without gradients, padding of x may be overwritten.
        """
        y: Tensor = self.norm(self.convolve(x, valid, self.conv), valid)
        return y

    def convolve(self, x: Tensor, valid: Tensor | None, convolution: Convolution) -> Tensor:
        """Hide padding from the convolution if it joins frames, then run it."""
        if self.joins_frames:
            x = hide(x, valid) if torch.is_grad_enabled() else hide_(x, valid)
        return convolution(x)

    def prepared(self, dtype: torch.dtype) -> Convolution:
        """The convolution without BatchNorm; see :meth:`Conv3d.prepared`."""
        return self.conv.prepared(self.conv.weight.detach(), None, dtype)

    @torch.no_grad()
    def fold(
        self, mean: Tensor, var: Tensor, dtype: torch.dtype, keep_precision: bool = False
    ) -> Convolution:
        """Convolution and BatchNorm, with these statistics [c], as one convolution.

        The other arguments are those of :meth:`Conv3d.prepared`.
        """
        scale = self.norm.weight * (var + self.norm.eps).rsqrt()
        weight = self.conv.weight * scale.view(-1, 1, 1, 1, 1)
        bias = self.norm.bias - mean * scale
        return self.conv.prepared(weight, bias, dtype, keep_precision)


class ChoiceBlock(nn.Module):
    """One candidate operation: convolutions with BatchNorm, ReLU between them.

    Args:
        in_channels: of the first convolution; the others keep ``out_channels``.
        out_channels: of every convolution.
        kernels: as :func:`parse_block` returns them.
        relu: whether a ReLU ends the block (SPOSGait: first layer of a stage).
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernels: tuple[Kernel, ...], relu: bool
    ) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            ConvBN(out_channels if i else in_channels, out_channels, kernel)
            for i, kernel in enumerate(kernels)
        )
        self.relu = relu

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Map x [n, c, s, h, w] to [n, out, s, h, w]; ``valid`` is bool [n, 1, s, 1, 1]."""
        for i, conv in enumerate(self.convs):
            x = self.activate(i, conv(x, valid))
        return x

    def run(self, x: Tensor, valid: Tensor | None, folded: Sequence[Convolution]) -> Tensor:
        """The same with each convolution and BatchNorm folded by :meth:`ConvBN.fold`."""
        for i, (conv, convolution) in enumerate(zip(self.steps(), folded, strict=True)):
            x = self.activate(i, conv.convolve(x, valid, convolution))
        return x

    def steps(self) -> list[ConvBN]:
        """Its convolutions, in the order they run."""
        return [cast(ConvBN, conv) for conv in self.convs]

    def activate(self, i: int, x: Tensor) -> Tensor:
        """Apply ReLU, in place, where one follows convolution ``i`` and its BatchNorm."""
        return F.relu_(x) if self.relu or i < len(self.convs) - 1 else x


class LTAConv(nn.Conv3d):
    """3x1x1 convolution with stride 3 in time, without bias or padding."""

    def __init__(self, channels: int) -> None:
        kernel = (LTA_STRIDE, 1, 1)
        super().__init__(channels, channels, kernel, stride=kernel, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve x [n, c, s, h, w] to [n, c, s // 3, h, w], of the type of x."""
        weight = self.weight.to(x.dtype)
        if x.is_cuda:
            return self._conv_forward(x, weight, None)
        # A 2-D convolution over frames and pixels is faster: see Conv3d.
        y = F.conv2d(x.flatten(3), weight[..., 0], stride=(LTA_STRIDE, 1))
        return y.unflatten(3, x.shape[3:])


class TemporalAggregation(nn.Module):
    """Local temporal aggregation (GaitGL): 3x1x1 convolution with stride 3, LeakyReLU.

    The last s mod 3 frames are dropped, as in the published networks.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = LTAConv(channels)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Map x [n, c, s, h, w] to [n, c, s // 3, h, w], and its mask [n, 1, s, 1, 1] likewise."""
        return F.leaky_relu_(self.conv(x)), valid_after_lta(valid)
