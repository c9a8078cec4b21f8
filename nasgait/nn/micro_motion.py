"""Micro-motion capture: short movements of each part of the body (GaitPart)."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PartConvs(nn.Module):
    """A convolution over time for each part, with same padding.

    Args:
        parts: p; in_channels, out_channels, kernel, bias: of each convolution.
    """

    def __init__(
        self, parts: int, in_channels: int, out_channels: int, kernel: int, bias: bool = False
    ) -> None:
        super().__init__()
        self.kernel = kernel
        self.weights = nn.ParameterList(
            nn.init.xavier_uniform_(torch.empty(out_channels, in_channels, kernel))
            for _ in range(parts)
        )
        self.biases = (
            nn.ParameterList(torch.zeros(out_channels) for _ in range(parts)) if bias else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """Convolve x [p, n, s, c] to [p, n, s, out]: one matrix product for all parts."""
        p, n, s, _ = x.shape
        if self.kernel > 1:
            reach = self.kernel // 2
            x = F.pad(x, (0, 0, reach, reach)).unfold(2, self.kernel, 1)
        matrices = torch.stack(list(self.weights)).flatten(2)
        y = x.reshape(p, n * s, -1).bmm(matrices.transpose(1, 2))
        if self.biases is not None:
            y = y + torch.stack(list(self.biases))[:, None]
        return y.view(p, n, s, -1)


def _mean(x: Tensor, window: tuple[int, int], stride: int, beyond: tuple[int, int]) -> Tensor:
    """``F.avg_pool2d`` with explicit zero padding.

    On a GPU the gradient of its own padding is wrong for channels-last images (pytorch issue
    188344, fixed after 2.13).
    """
    rows, columns = beyond
    return F.avg_pool2d(F.pad(x, (columns, columns, rows, rows)), window, stride)


class MicroMotion(nn.Module):
    """Mean plus maximum over a window of frames, times an attention, for each part.

    The attention comes from two convolutions over time.

    Args:
        parts: p; channels: c.
        kernel: frames under the second convolution (3 under the first).
        window: frames of the mean and the maximum.
        squeeze: factor by which the first convolution narrows the channels.
        bias: whether the convolutions have one.
        slope: of the LeakyReLU between them; 0 is a ReLU.
    """

    def __init__(
        self,
        parts: int,
        channels: int,
        kernel: int,
        window: int,
        squeeze: int = 4,
        bias: bool = False,
        slope: float = 0.01,
    ) -> None:
        super().__init__()
        hidden = channels // squeeze
        self.squeeze = PartConvs(parts, channels, hidden, 3, bias)
        self.expand = PartConvs(parts, hidden, channels, kernel, bias)
        self.window, self.slope = window, slope

    def forward(self, x: Tensor, padding: Tensor | None) -> Tensor:
        """Map x [p, n, s, c], 0 on padding, to the same shape.

        ``padding`` is bool [1, n, s, 1], True on padding, where the output means nothing.
        """
        hidden = F.leaky_relu_(self.squeeze(x), self.slope)
        if padding is not None:
            hidden = hidden.masked_fill(padding, 0)
        return torch.sigmoid(self.expand(hidden)) * self._template(x, padding)

    def _template(self, x: Tensor, padding: Tensor | None) -> Tensor:
        """Mean, zeros beyond the ends, plus maximum over the frames of the window."""
        mean = self._windows(x, _mean)
        if padding is None:
            return mean + self._windows(x, F.max_pool2d)
        most = self._windows(x.masked_fill(padding, -torch.inf), F.max_pool2d)
        return mean + most.masked_fill(padding, 0)  # infinite where a window holds no frame

    def _windows(self, x: Tensor, pooling: Callable[..., Tensor]) -> Tensor:
        p, n, s, c = x.shape
        frames = x.reshape(p * n, s, 1, c).permute(0, 3, 1, 2)
        y = pooling(frames, (self.window, 1), 1, (self.window // 2, 0))
        return y.permute(0, 2, 3, 1).reshape(p, n, s, c)


class MicroMotionCapture(nn.Module):
    """Micro-motions in a short and a long window, added, then the maximum over time.

    Args:
        parts, channels, squeeze, bias, slope: see :class:`MicroMotion`.
    """

    def __init__(
        self,
        parts: int,
        channels: int,
        squeeze: int = 4,
        bias: bool = False,
        slope: float = 0.01,
    ) -> None:
        super().__init__()
        self.short = MicroMotion(parts, channels, 1, 3, squeeze, bias, slope)
        self.long = MicroMotion(parts, channels, 3, 5, squeeze, bias, slope)

    def forward(self, x: Tensor, valid: Tensor | None) -> Tensor:
        """Map x [n, s, c, p], 0 on padding, to [n, c, p].

        ``valid`` is bool [n, s], True on real frames; None: all are.
        """
        x = x.permute(3, 0, 1, 2).contiguous()
        padding = None if valid is None else ~valid[None, :, :, None]
        moves = self.short(x, padding) + self.long(x, padding)
        if padding is not None:
            moves = moves.masked_fill(padding, -torch.inf)
        return moves.max(2).values.permute(1, 2, 0)
