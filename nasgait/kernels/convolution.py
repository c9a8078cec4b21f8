"""Convolutions without bias and with same padding, by the fastest way that a device has."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Kernel = tuple[int, int, int]
"""Time x height x width."""

Convolution = Callable[[Tensor], Tensor]
"""Maps [n, c, s, h, w] to [n, out, s, h, w]."""

SMALL = 20_480
"""Channels x frames x rows of one float32 sequence up to which torch 2.13 runs a 3-D convolution
of its own, half as fast as oneDNN's, which it takes for larger ones and for batches."""


class Conv3d(nn.Conv3d):
    """3-D convolution without bias and with same padding, by the fastest way that a device has.

    On a CPU inputs should be channels-last in memory (``channels_last_3d``), as outputs are.

    Args:
        in_channels, out_channels: as in torch.
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
        """Convolve x [n, c, s, h, w] to [n, out, s, h', w'], by its own weight or another."""
        weight = self.weight if weight is None else weight
        if self.in_channels == 1:
            return self._from_one_channel(x, weight, bias)
        if x.is_cuda:
            return self._conv_forward(x, weight, bias)
        frames, (window, *area) = x.shape[2], self.kernel_size
        if window == 1:
            return self._frame_by_frame(x, weight, bias)
        if x.device.type == "cpu" and (least := self._least_frames(x)) > frames:
            # Zero frames after the last one are what same padding puts there anyway.
            longer = F.pad(x, (0, 0, 0, 0, 0, least - frames))
            return self.forward(longer, weight, bias)[:, :, :frames]
        if area == [1, 1] and self.stride == (1, 1, 1):
            # Frame axis and pixels as two dimensions: up to twice as fast.
            y = F.conv2d(x.flatten(3), weight[..., 0], bias, padding=(window // 2, 0))
            return y.unflatten(3, x.shape[3:])
        if len(x) == 1 and x.dtype == torch.float32 and x[..., 0].numel() <= SMALL:
            for axis in (2, 3, 4):
                if x.shape[axis] % 2 == 0 and self.stride[axis - 2] == 1:
                    return self._in_halves(x, axis, weight, bias)
        return self._conv_forward(x, weight, bias)

    def _least_frames(self, x: Tensor) -> int:
        """Frames below which oneDNN (of torch 2.13) fails in bfloat16 on a CPU.

        With fewer than the kernel is long, outputs and gradients of weights are stale memory; so
        are, with AMX, gradients of more than 64 channels and fewer than six frames, or never end.
        """
        lower = x.dtype != torch.float32 or torch.is_autocast_enabled("cpu")
        trains = torch.is_grad_enabled()
        many = max(self.in_channels, self.out_channels) > 64
        return self.kernel_size[0] * (1 + (lower and trains and many)) if lower or trains else 0

    def prepared(
        self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype, keep_precision: bool = False
    ) -> Convolution:
        """This convolution with another weight and bias, without gradients, for many inputs.

        The weight is transformed once.  The output has the type of the input.

        Args:
            weight, bias: in place of its own.
            dtype: to compute in.
            keep_precision: use Winograd's way on a CPU only where it is as precise as the plain
                convolution, given float32 inputs whose neighbours are alike.
        """
        cast_weight, cast_bias = weight.to(dtype), None if bias is None else bias.to(dtype)

        def plain(x: Tensor) -> Tensor:
            y: Tensor = self(x.to(dtype), cast_weight, cast_bias)
            return y.to(x.dtype)

        if weight.is_cuda or max(self.stride) > 1 or 3 not in self.kernel_size:
            return plain
        # Imported here since numba, which it needs, takes a while to import.
        from nasgait.kernels.winograd import Winograd, axes_worth_splitting

        axes = axes_worth_splitting(weight, keep_precision)
        if not axes:
            return plain
        fast = Winograd(weight, bias, dtype, axes, first_in_float32=keep_precision)
        return lambda x: fast(x) if fast.pays(x) else plain(x)

    def _frame_by_frame(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """A kernel of one frame: as a 2-D convolution, or a matrix product where it is 1x1x1."""
        if self.kernel_size == (1, 1, 1):
            _, up, left = self.stride
            pixels = x[..., ::up, ::left].movedim(1, -1)
            return F.linear(pixels, weight.flatten(1), bias).movedim(-1, 1)
        images = x.transpose(1, 2).flatten(0, 1)
        y = F.conv2d(images, weight[:, :, 0], bias, self.stride[1:], self.padding[1:])
        return y.unflatten(0, (len(x), -1)).transpose(1, 2)

    def _in_halves(self, x: Tensor, axis: int, weight: Tensor, bias: Tensor | None) -> Tensor:
        """One sequence as a batch of two halves, each with the margin it needs of the other."""
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
        """The same sum as a 2-D convolution whose channels are the frames under the kernel.

        Convolutions of a single channel are six times slower in bfloat16 on a CPU, and their
        outputs are channels-first in memory.
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
            # Only the pixels that it sees: with a stride and few channels oneDNN writes beyond
            # its memory for the gradient of bfloat16 weights (torch 2.13, two threads).
            return F.conv2d(x[:, :, ::step, ::step], self.weight)
        if self.in_channels > 1 or step > 1:
            return super().forward(x)
        # The columns under the kernel become channels: see Conv3d.
        columns = F.pad(x[:, 0], (size // 2, size // 2)).unfold(2, size, 1).contiguous()
        kernel = self.weight[:, 0].transpose(1, 2)[..., None].contiguous()
        return F.conv2d(columns.permute(0, 3, 1, 2), kernel, padding=(size // 2, 0))
