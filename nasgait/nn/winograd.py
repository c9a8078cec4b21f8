"""Convolutions whose kernels are three long, with fewer products.

Four neighbouring outputs of a kernel of three take six products in place of twelve, once inputs
and weights have been mixed, and the products are mixed back (S. Winograd, Arithmetic Complexity of
Computations, 1980; Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016,
section 4.1: F(4, 3), and nested for two axes).  The polynomials behind it are evaluated at 0, 1,
-1, 1/2, -2 and infinity, which rounds less than the usual 0, 1, -1, 2, -2 (Barabasz et al., "Error
Analysis and Improving the Accuracy of Winograd Convolution for Deep Neural Networks", 2020).
"""

from collections.abc import Sequence
from itertools import product
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor

TILE = 4
"""Outputs that are computed together."""

INPUTS = (
    (2, -3, -4, 3, 2, 0),
    (0, -2, 1, 5, 2, 0),
    (0, -2, 5, -1, -2, 0),
    (0, 2, 1, -2, -1, 0),
    (0, 1, -2, -1, 2, 0),
    (0, 2, -3, -4, 3, 2),
)
"""How six neighbouring inputs are mixed; whole numbers, which bfloat16 holds exactly."""

WEIGHTS = (
    (1 / 2, 0, 0),
    (1 / 6, 1 / 6, 1 / 6),
    (1 / 6, -1 / 6, 1 / 6),
    (16 / 15, 8 / 15, 4 / 15),
    (1 / 30, -1 / 15, 2 / 15),
    (0, 0, 1 / 2),
)
"""How the three weights are mixed."""

OUTPUTS = (
    (1, 1, 1, 1, 1, 0),
    (0, 1, -1, 1 / 2, -2, 0),
    (0, 1, 1, 1 / 4, 4, 0),
    (0, 1, -1, 1 / 8, -8, 1),
)
"""How four outputs come out of the six products."""

MIXED = len(INPUTS)
WITH_BIAS = 1
"""The product that is part of each output, once: where a bias belongs."""

WORTH = 500, 1000
"""Products behind an output, from which on to split along a first and along a second axis costs
less than it saves, as measured on CPUs."""

WASTE = 1.4
"""Outputs computed for each that is wanted, up to which splitting pays."""

AT_ONCE = 16e6
"""Bytes of mixed inputs, or of products, that are worked on at once, so that caches hold them."""

FRAMES, ROWS, COLUMNS = -4, -3, -2
"""Axes of images [n, s, h, w, c], and of what is mixed, which has axes of mixtures before these."""


def axes_worth_splitting(weight: Tensor) -> list[int]:
    """Axes of images along which a convolution by a weight [out, c, t, h, w] gains on a CPU."""
    axes: list[int] = []
    products = weight[0].numel()
    for axis in (FRAMES, ROWS, COLUMNS):
        if weight.shape[axis + 1] == 3 and len(axes) < len(WORTH) and products >= WORTH[len(axes)]:
            axes.append(axis)
            products //= 2
    return axes


class Winograd:
    """A same-padded 3-D convolution, split into many small ones along one axis or two.

    Along each such axis half of the products remain.  Results are those of the plain convolution
    but for rounding, which is about twice as large in float32 and three times in bfloat16; along
    two axes four and seven times.

    Args:
        weight: [out, c, t, h, w].
        bias: [out].
        dtype: to compute in.
        axes: of images, along which the weight is three long; with frames, unless t is one.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype, axes: Sequence[int]
    ) -> None:
        self._axes = axes
        mixed = weight.permute(2, 3, 4, 1, 0)
        for axis in axes:
            three = mixed.movedim(axis - 1, 0)
            mixed = torch.tensordot(weight.new_tensor(WEIGHTS), three, 1).unsqueeze(axis - 1)
        self._weights = mixed.flatten(0, -5).to(dtype)  # [mixtures, h, w, c, out]
        self._of_pixels = self._weights.shape[1:3] == (1, 1)
        if not self._of_pixels:
            rows = self._weights.permute(0, 4, 1, 2, 3).contiguous()
            self._weights = rows.movedim(-1, 2)  # [mixtures, out, c, h, w], channels last
        self._bias = None if bias is None else bias.to(dtype)
        self._inputs, self._outputs = (weight.new_tensor(m).to(dtype) for m in (INPUTS, OUTPUTS))

    def pays(self, x: Tensor) -> bool:
        """Whether few outputs of the last tiles would be thrown away, for x [n, c, s, h, w]."""
        sizes = [x.shape[axis + 1] for axis in self._axes]
        return prod(TILE * -(-size // TILE) / size for size in sizes) <= WASTE

    def __call__(self, x: Tensor) -> Tensor:
        """Convolve x [n, c, s, h, w] to [n, out, s, h, w], channels last in memory."""
        images = x.movedim(1, -1)
        out = self._weights.shape[-1 if self._of_pixels else 1]
        found = images.new_empty(*images.shape[:4], out)
        larger = images[:1] if images.shape[-1] > out else found[:1]
        mixed = larger.numel() * larger.element_size() * (MIXED / TILE) ** len(self._axes)
        some = max(1, int(AT_ONCE / mixed))
        for inputs, outputs in zip(images.split(some), found.split(some), strict=True):
            self._convolve(inputs, outputs)
        return found.movedim(-1, 1)

    def _convolve(self, images: Tensor, found: Tensor) -> None:
        """[n, s, h, w, c] to [n, s, h, w, out]."""
        y = images
        for axis in self._axes:
            y = self._mix_frames(y) if axis == FRAMES else self._mix(y, axis)
        y = self._multiply(y)
        for axis in reversed(self._axes):
            if axis == FRAMES:  # the last
                return self._unmix_frames(y, found)
            y = self._unmix(y, axis, images.shape[axis])
        found.copy_(y)

    def _mix(self, x: Tensor, axis: int) -> Tensor:
        """Mixtures, in a new first axis, of each six rows or columns."""
        margins = [0, 0] * (-axis - 1) + [1, 1 + -x.shape[axis] % TILE]
        windows = F.pad(x, margins).unfold(axis, MIXED, TILE).movedim(-1, 0)
        return torch.mm(self._inputs, windows.reshape(MIXED, -1)).view(windows.shape)

    def _unmix(self, y: Tensor, axis: int, size: int) -> Tensor:
        """What the products of :meth:`_mix`'s mixtures come to, of so many rows or columns."""
        found = torch.mm(self._outputs, y.view(MIXED, -1)).view(TILE, *y.shape[1:])
        return found.movedim(0, axis).flatten(axis - 1, axis).narrow(axis, 0, size).contiguous()

    def _mix_frames(self, x: Tensor) -> Tensor:
        """[n, s, h, w, c] to [6, n, tiles, h, w, c].  A frame is one piece: nothing is copied."""
        n, s, *image = x.shape
        tiles = -(-s // TILE)
        mixed = x.new_empty(MIXED, n, tiles, *image)
        for i, tile in product(range(n), range(tiles)):
            before = TILE * tile - 1
            window = x[i, max(before, 0) : before + MIXED].flatten(1)
            mix = self._inputs[:, 1:] if tile == 0 else self._inputs
            torch.mm(mix[:, : len(window)], window, out=mixed[:, i, tile].flatten(1))
        return mixed

    def _unmix_frames(self, y: Tensor, found: Tensor) -> None:
        """[6, n, tiles, h, w, out] to [n, s, h, w, out]."""
        for i, tile in product(range(y.shape[1]), range(y.shape[2])):
            outputs = found[i, TILE * tile : TILE * (tile + 1)].flatten(1)
            torch.mm(self._outputs[: len(outputs)], y[:, i, tile].flatten(1), out=outputs)

    def _multiply(self, x: Tensor) -> Tensor:
        """[..., n, s, h, w, c] to [..., n, s, h, w, out], each mixture by its own weights."""
        with_bias = sum(WITH_BIAS * MIXED**place for place in range(len(self._axes)))
        mixtures = x.reshape(len(self._weights), -1, *x.shape[-3:])
        if self._of_pixels:
            y = torch.bmm(mixtures.flatten(1, -2), self._weights[:, 0, 0])
            if self._bias is not None:
                y[with_bias] += self._bias
        else:
            y = x.new_empty(*mixtures.shape[:-1], self._weights.shape[1])
            padding = [side // 2 for side in self._weights.shape[-2:]]
            for i, (images, weight) in enumerate(zip(mixtures, self._weights, strict=True)):
                bias = self._bias if i == with_bias else None
                z = F.conv2d(images.permute(0, 3, 1, 2), weight, bias, padding=padding)
                y[i] = z.permute(0, 2, 3, 1)
        return y.view(*x.shape[:-1], -1)
