"""Convolutions, and the 3-D blocks of search spaces, written as kernels like ``3x3x1+3x1x3``."""

import re
from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasgait.errors import ConfigError
from nasgait.nn.norm import BatchNorm
from nasgait.nn.temporal import LTA_STRIDE, hide, valid_after_lta

Kernel = tuple[int, int, int]

SPOSGAIT_BLOCKS = ("3x3x3", "3x1x3", "3x3x1", "3x3x1+3x1x3", "3x1x3+3x3x1", "3x1x1+1x3x3")
"""The six published choices, in their order; time x height x width."""

_BLOCK = re.compile(r"\d+x\d+x\d+(\+\d+x\d+x\d+)*")


def parse_block(text: str) -> tuple[Kernel, ...]:
    """Read ``3x3x1+3x1x3`` as the kernels ((3, 3, 1), (3, 1, 3)), time x height x width.

    Raises:
        ValueError: another form, or a kernel side that is not odd.
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


FEW = 20_480
"""Channels x frames x rows of one float32 sequence up to which torch 2.13 convolves in three
dimensions by itself, half as fast as oneDNN, to which it gives larger ones and batches."""


class Conv3d(nn.Conv3d):
    """Convolution without bias and with same padding, by the fastest way that torch has.

    On a CPU all channels of a position should lie side by side (``channels_last_3d``), as they
    do in what comes out here; then nothing is copied but where it says so.

    Args:
        in_channels, out_channels: as ever.
        kernel: time x height x width.
        stride: in height and width; needs more than one input channel.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: Kernel, stride: int = 1
    ) -> None:
        t, h, w = kernel
        super().__init__(
            in_channels,
            out_channels,
            kernel,
            stride=(1, stride, stride),
            padding=(t // 2, h // 2, w // 2),
            bias=False,
        )

    def forward(
        self, x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None
    ) -> Tensor:
        """Convolve x [n, c, s, h, w] to [n, out, s, h', w']; by ``weight`` in place of its own."""
        weight = self.weight if weight is None else weight
        if self.in_channels == 1:
            return self._from_one_channel(x, weight, bias)
        if x.is_cuda:
            return self._conv_forward(x, weight, bias)
        frames, (window, *area) = x.shape[2], self.kernel_size
        if window == 1:
            return self._frame_by_frame(x, weight, bias)
        if frames < window and x.device.type == "cpu" and torch.is_grad_enabled():
            # With fewer frames than the kernel is long, the gradient of bfloat16 weights on a
            # CPU comes out as whatever the memory held before (torch 2.13 with oneDNN).
            # Frames of zeros behind the last one are what the kernel sees there anyway.
            longer = F.pad(x, (0, 0, 0, 0, 0, window - frames))
            return self.forward(longer, weight, bias)[:, :, :frames]
        if area == [1, 1] and self.stride == (1, 1, 1):
            # Frame axis and pixels as two dimensions: up to twice as fast.
            y = F.conv2d(x.flatten(3), weight[..., 0], bias, padding=(window // 2, 0))
            return y.unflatten(3, x.shape[3:])
        if len(x) == 1 and x.dtype == torch.float32 and x[..., 0].numel() <= FEW:
            for axis in (2, 3, 4):
                if x.shape[axis] % 2 == 0 and self.stride[axis - 2] == 1:
                    return self._in_halves(x, axis, weight, bias)
        return self._conv_forward(x, weight, bias)

    def _frame_by_frame(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """A kernel of one frame: in two dimensions, or a matrix product for one pixel."""
        if self.kernel_size == (1, 1, 1):
            _, up, left = self.stride
            pixels = x[..., ::up, ::left].movedim(1, -1)
            return F.linear(pixels, weight.flatten(1), bias).movedim(-1, 1)
        images = x.transpose(1, 2).flatten(0, 1)
        y = F.conv2d(images, weight[:, :, 0], bias, self.stride[1:], self.padding[1:])
        return y.unflatten(0, (len(x), -1)).transpose(1, 2)

    def _in_halves(self, x: Tensor, axis: int, weight: Tensor, bias: Tensor | None) -> Tensor:
        """One sequence as a batch of two, each half with what the kernel sees of the other."""
        half, reach = x.shape[axis] // 2, self.kernel_size[axis - 2] // 2
        margin, padding = [0] * 6, [side // 2 for side in self.kernel_size]
        last = 2 * (4 - axis)
        margin[last : last + 2] = [reach, reach]
        padding[axis - 2] = 0
        halves = F.pad(x, margin).unfold(axis, half + 2 * reach, half)
        batch = halves.squeeze(0).movedim(axis - 1, 0).movedim(-1, axis)
        y = F.conv3d(batch, weight, bias, self.stride, padding)
        return torch.cat(y.chunk(2), dim=axis)

    def _from_one_channel(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Take the frames under the kernel as channels of a 2-D convolution.

        The same sum.  Convolutions of a single channel are six times slower in
        bfloat16 on a CPU, and come out with channels outermost.
        """
        n, _, s, h, w = x.shape
        t, up, left = self.kernel_size
        if (t, up, left) == (1, 1, 1):
            return F.linear(x.movedim(1, -1), weight.flatten(1), bias).movedim(-1, 1)
        frames = F.pad(x[:, 0], (0, 0, 0, 0, t // 2, t // 2)) if t > 1 else x[:, 0]
        window = frames.unfold(1, t, 1).reshape(n * s, h, w, t).permute(0, 3, 1, 2)
        y = F.conv2d(window, weight[:, 0], bias, padding=(up // 2, left // 2))
        return y.view(n, s, *y.shape[1:]).transpose(1, 2)


class Conv2d(nn.Conv2d):
    """2-D convolution without bias and with same padding, fast also on a single input channel."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> None:
        super().__init__(
            in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, bias=False
        )

    def forward(self, x: Tensor) -> Tensor:
        """Convolve x [f, c, h, w] to [f, out, h', w']."""
        (size, _), (step, _) = self.kernel_size, self.stride
        if size == 1 and step > 1:
            # The pixels that it sees, and no others: oneDNN writes beyond its memory for the
            # gradient of few-channel bfloat16 weights with a stride (torch 2.13, two threads).
            return F.conv2d(x[:, :, ::step, ::step], self.weight)
        if self.in_channels > 1 or step > 1:
            return super().forward(x)
        # The columns under the kernel become channels: see Conv3d.
        columns = F.pad(x[:, 0], (size // 2, size // 2)).unfold(2, size, 1).contiguous()
        kernel = self.weight[:, 0].transpose(1, 2)[..., None].contiguous()
        return F.conv2d(columns.permute(0, 3, 1, 2), kernel, padding=(size // 2, 0))


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"leaky-relu": F.leaky_relu_, "relu": F.relu_}
"""What may follow a convolution, in place."""


class SetBlock(nn.Module):
    """Two convolutions with LeakyReLU, then 2x2 maximum where asked for (GaitSet, GLN).

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
    """Convolution and BatchNorm; padding in time is hidden from kernels that mix frames."""

    folded: tuple[Tensor, Tensor] | None = None
    """Weight and bias of both in one (:meth:`fold`), for evaluation; used where set."""

    def __init__(self, in_channels: int, out_channels: int, kernel: Kernel) -> None:
        super().__init__()
        self.conv = Conv3d(in_channels, out_channels, kernel)
        self.norm = BatchNorm(out_channels)
        self.mixes_time = kernel[0] > 1

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Map x [n, c, s, h, w] to [n, out, s, h, w]; ``valid`` is bool [n, 1, s, 1, 1]."""
        if self.folded is not None:
            return self.convolve(x, valid, *self.folded)
        y: Tensor = self.norm(self.convolve(x, valid), valid)
        return y

    def convolve(self, x: Tensor, valid: Tensor | None = None, *stand_in: Tensor) -> Tensor:
        """The convolution alone, by its own weight or by a weight and bias that stand in."""
        y: Tensor = self.conv(hide(x, valid) if self.mixes_time else x, *stand_in)
        return y

    @torch.no_grad()
    def fold(self, mean: Tensor, var: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Weight and bias that do what convolution and BatchNorm do with these statistics [c]."""
        scale = self.norm.weight * (var + self.norm.eps).rsqrt()
        weight = self.conv.weight * scale.view(-1, 1, 1, 1, 1)
        return weight.to(dtype), (self.norm.bias - mean * scale).to(dtype)


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

    def steps(self) -> list[ConvBN]:
        """Its convolutions, in the order they run."""
        return [cast(ConvBN, conv) for conv in self.convs]

    def activate(self, i: int, x: Tensor) -> Tensor:
        """What follows convolution ``i`` and its BatchNorm: ReLU, in place, or nothing."""
        return F.relu_(x) if self.relu or i < len(self.convs) - 1 else x


class JoiningConv(nn.Conv3d):
    """Convolution that joins frames by threes, without bias or padding."""

    def __init__(self, channels: int) -> None:
        kernel = (LTA_STRIDE, 1, 1)
        super().__init__(channels, channels, kernel, stride=kernel, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve x [n, c, s, h, w] to [n, c, s // 3, h, w]."""
        if x.is_cuda:
            return super().forward(x)
        # Frame axis and pixels as two dimensions: see Conv3d.
        y = F.conv2d(x.flatten(3), self.weight[..., 0], stride=(LTA_STRIDE, 1))
        return y.unflatten(3, x.shape[3:])


class TemporalAggregation(nn.Module):
    """Local temporal aggregation (GaitGL): 3x1x1 convolution with stride 3, LeakyReLU.

    The last s mod 3 frames are dropped, as in the published networks.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = JoiningConv(channels)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Map x [n, c, s, h, w] to [n, c, s // 3, h, w], and its mask likewise."""
        return F.leaky_relu_(self.conv(x)), valid_after_lta(valid)
