"""Convolutions whose kernels are three long, with fewer products.

Four neighbouring outputs of a kernel of three take six products in place of twelve, once inputs
and weights have been mixed, and the products are mixed back (S. Winograd, Arithmetic Complexity of
Computations, 1980; Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016,
section 4.1: F(4, 3), and nested for two axes).  The polynomials behind it are evaluated at 1, 1/2,
0, -1, -2 and infinity, which rounds less than the usual 0, 1, -1, 2, -2 (Barabasz et al., "Error
Analysis and Improving the Accuracy of Winograd Convolution for Deep Neural Networks", 2020).
"""

from collections.abc import Sequence
from math import prod

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nasgait.kernels.winograd_numba import MIXED, TILE, mix, unmix

INPUTS = (
    (0, -2, 1, 5, 2, 0),
    (0, 2, 1, -2, -1, 0),
    (2, -3, -4, 3, 2, 0),
    (0, -2, 5, -1, -2, 0),
    (0, 1, -2, -1, 2, 0),
    (0, 2, -3, -4, 3, 2),
)
"""How six neighbouring inputs are mixed.  What is the same in all of them is in the first mixture
alone."""

WEIGHTS = (
    (1 / 6, 1 / 6, 1 / 6),
    (16 / 15, 8 / 15, 4 / 15),
    (1 / 2, 0, 0),
    (1 / 6, -1 / 6, 1 / 6),
    (1 / 30, -1 / 15, 2 / 15),
    (0, 0, 1 / 2),
)
"""How the three weights are mixed."""

OUTPUTS = (
    (1, 1, 1, 1, 1, 0),
    (1, 1 / 2, 0, -1, -2, 0),
    (1, 1 / 4, 0, 1, 4, 0),
    (1, 1 / 8, 0, -1, -8, 1),
)
"""How four outputs come out of the six products.  The first is part of each of them, once, and so
is a bias that is added to it."""

FRAMES, ROWS, COLUMNS = -4, -3, -2
"""Axes of images [n, s, h, w, c]."""

MOST = 2
"""Axes along which a convolution is split at most."""

WORTH = 350
"""Products behind an output, from which on to split along an axis costs less than it saves, as
measured on CPUs."""

WASTE = 1.4
"""Outputs computed for each that is wanted, up to which splitting pays."""

AT_ONCE = 16e6
"""Bytes of mixed inputs, or of products, that are worked on at once, so that caches hold them."""


def axes_worth_splitting(weight: Tensor, fine: bool = False) -> list[int]:
    """Axes of images along which a convolution by a weight [out, c, t, h, w] gains on a CPU.

    None where frames are mixed otherwise than by threes.  ``fine`` leaves out columns: across the
    few of a person neighbours are less alike than in time or from head to foot, products larger,
    and three times as much is lost when they are rounded.
    """
    axes: list[int] = []
    if weight.shape[2] not in (1, 3):
        return axes
    products = weight[0].numel()
    for axis in (FRAMES, ROWS) if fine else (FRAMES, ROWS, COLUMNS):
        if weight.shape[axis + 1] == 3 and len(axes) < MOST and products >= WORTH:
            axes.append(axis)
            products //= 2
    return axes


class Winograd:
    """A same-padded 3-D convolution, split into many small ones along one axis or two.

    Along each such axis half of the products remain.  Results are those of the plain convolution
    but for rounding: where neighbours are alike about twice as much, on noise 5 to 7 times along
    one axis and 8 to 11 along two.

    In bfloat16 most of what is lost is lost of the first product, the largest by far as neighbours
    are alike in silhouettes and in what networks make of them.  If that one is float32, at the cost
    of a twentieth, and so is what goes in and out, less is lost there than by a plain convolution.

    Args:
        weight: [out, c, t, h, w].
        bias: [out].
        dtype: to multiply in.
        axes: of images, one or two in order, along which the weight is three long; with frames,
            unless t is one.
        first_wide: whether the first product is float32 in any case.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        dtype: torch.dtype,
        axes: Sequence[int],
        first_wide: bool = False,
    ) -> None:
        self._axes, self._dtype = axes, dtype
        self._wide = torch.promote_types(dtype, torch.float32)
        mixed = weight.to(self._wide).permute(2, 3, 4, 1, 0)
        for axis in reversed(axes):
            three = mixed.movedim(axis - 1, 0)
            mixed = torch.tensordot(mixed.new_tensor(WEIGHTS), three, 1).unsqueeze(axis - 1)
        mixed = mixed.flatten(0, -5)  # [mixtures, h, w, c, out]
        apart = int(first_wide)
        # Copies, lest a part keep the whole in memory.
        self._wide_weights = in_order(mixed[:apart].clone())
        self._weights = in_order(mixed[apart:].to(dtype, copy=True))
        self._bias = None if bias is None else bias.to(self._wide)
        sums = np.float64 if dtype == torch.float64 else np.float32
        self._inputs, self._outputs = np.array(INPUTS, sums), np.array(OUTPUTS, sums)

    def pays(self, x: Tensor) -> bool:
        """Whether few outputs of the last tiles would be thrown away, for x [n, c, s, h, w]."""
        sizes = [x.shape[axis + 1] for axis in self._axes]
        return prod(TILE * -(-size // TILE) / size for size in sizes) <= WASTE

    def __call__(self, x: Tensor) -> Tensor:
        """Convolve x [n, c, s, h, w] to [n, out, s, h, w], channels last in memory, of x's type."""
        images = x.movedim(1, -1).contiguous()
        out, c = self._weights.shape[1:3]
        found = images.new_empty(*images.shape[:4], out)
        numbers = prod(images.shape[1:4]) * max(out, c) * (MIXED / TILE) ** len(self._axes)
        some = max(1, int(AT_ONCE / (numbers * self._dtype.itemsize)))
        for inputs, outputs in zip(images.split(some), found.split(some), strict=True):
            products, first = self._multiply(mix(inputs, self._axes, self._inputs, self._dtype))
            unmix(products, self._axes, self._outputs, outputs, first)
        return found.movedim(-1, 1)

    def _multiply(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """[mixtures, n, s, h, w, c] to [mixtures, n, s, h, w, out], each by its own weights.

        A first product that is wider comes apart, as [n, s, h, w, out].
        """
        mixtures, apart = x.flatten(1, 2), len(self._wide_weights)
        y = x.new_empty(*x.shape[:-1], self._weights.shape[1])
        multiply(mixtures[apart:], self._weights, y[apart:].flatten(1, 2))
        first = y[:1]
        if apart:
            first = torch.empty_like(first, dtype=self._wide)
            multiply(mixtures[:1].to(self._wide), self._wide_weights, first.flatten(1, 2))
        if self._bias is not None:
            first += self._bias
        return y, first[0] if apart else None


def in_order(weights: Tensor) -> Tensor:
    """Weights [mixtures, h, w, c, out] as :func:`multiply` takes them."""
    if weights.shape[1:3] == (1, 1):
        return weights.permute(0, 4, 3, 1, 2)
    return weights.permute(0, 4, 1, 2, 3).contiguous().movedim(-1, 2)


def multiply(x: Tensor, weights: Tensor, y: Tensor) -> None:
    """Convolve each x [m, f, h, w, c] by its weights [m, out, c, h', w'] to y [m, f, h, w, out]."""
    if weights.shape[-2:] == (1, 1):
        torch.bmm(x.flatten(1, -2), weights[..., 0, 0].mT, out=y.flatten(1, -2))
        return
    padding = [side // 2 for side in weights.shape[-2:]]
    for images, weight, found in zip(x, weights, y, strict=True):
        z = F.conv2d(images.permute(0, 3, 1, 2), weight, padding=padding)
        found.copy_(z.permute(0, 2, 3, 1))
