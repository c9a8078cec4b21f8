"""Winograd's convolutions: fewer products for kernels whose sides are three.

Four neighbouring outputs of a kernel of three take six products instead of twelve: the inputs are
transformed (B^T), the weights too (G), both are multiplied point by point, and the products are
transformed to the outputs (A^T).  This is F(4, 3), nested for two axes (S. Winograd, Arithmetic
Complexity of Computations, 1980; Lavin and Gray, "Fast Algorithms for Convolutional Neural
Networks", 2016, section 4.1).  The polynomials behind it are evaluated at 1, 1/2, 0, -1, -2 and
infinity, which rounds less than the usual 0, 1, -1, 2, -2 (Barabasz et al., "Error Analysis and
Improving the Accuracy of Winograd Convolution for Deep Neural Networks", 2020).
"""

from collections.abc import Sequence
from math import prod

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nasgait.kernels.winograd_numba import POINTS, TILE, transform_inputs, transform_outputs

INPUT_TRANSFORM = (
    (0, -2, 1, 5, 2, 0),
    (0, 2, 1, -2, -1, 0),
    (2, -3, -4, 3, 2, 0),
    (0, -2, 5, -1, -2, 0),
    (0, 1, -2, -1, 2, 0),
    (0, 2, -3, -4, 3, 2),
)
"""B^T: from six neighbouring inputs to six points.  A constant input shows at the first point
alone."""

WEIGHT_TRANSFORM = (
    (1 / 6, 1 / 6, 1 / 6),
    (16 / 15, 8 / 15, 4 / 15),
    (1 / 2, 0, 0),
    (1 / 6, -1 / 6, 1 / 6),
    (1 / 30, -1 / 15, 2 / 15),
    (0, 0, 1 / 2),
)
"""G: from three weights to six points."""

OUTPUT_TRANSFORM = (
    (1, 1, 1, 1, 1, 0),
    (1, 1 / 2, 0, -1, -2, 0),
    (1, 1 / 4, 0, 1, 4, 0),
    (1, 1 / 8, 0, -1, -8, 1),
)
"""A^T: from six products to four outputs.  The first product enters each output once, and so does
a bias that is added to it."""

FRAMES, ROWS, COLUMNS = -4, -3, -2
"""Axes of images [n, s, h, w, c]."""

MOST_AXES = 2
"""Axes to transform at most."""

LEAST_PRODUCTS = 350
"""Products behind an output, from which on to transform an axis costs less than it saves, as
measured on CPUs."""

MOST_WASTE = 1.4
"""Outputs computed for each that is wanted, up to which the transform pays."""

CHUNK_BYTES = 16e6
"""Bytes of transformed inputs, or of products, that are worked on at once, so that caches hold
them."""


def axes_worth_splitting(weight: Tensor, keep_precision: bool = False) -> list[int]:
    """Axes of images along which Winograd's way saves time on a CPU.

    Args:
        weight: [out, c, t, h, w].  None of its axes is worth it unless t is 1 or 3.
        keep_precision: leave out columns.  Neighbours across a narrow body are less alike than
            in time or from head to foot: products are larger there, and rounding them loses
            three times as much.
    """
    axes: list[int] = []
    if weight.shape[2] not in (1, 3):
        return axes
    products = weight[0].numel()
    for axis in (FRAMES, ROWS) if keep_precision else (FRAMES, ROWS, COLUMNS):
        if weight.shape[axis + 1] == 3 and len(axes) < MOST_AXES and products >= LEAST_PRODUCTS:
            axes.append(axis)
            products //= 2
    return axes


class Winograd:
    """A same-padded 3-D convolution that is transformed along one axis or two.

    Along each such axis half of the products remain.  Results are those of the plain convolution
    but for rounding: where neighbours are alike the error is about twice as large, on noise 5 to 7
    times along one axis and 8 to 11 along two.

    In bfloat16 most of the error comes from the first product, by far the largest as neighbours
    are alike in silhouettes and in what networks make of them.  With that one in float32, at a
    twentieth more time, and with float32 inputs and outputs, the error is smaller there than a
    plain convolution's.

    Args:
        weight: [out, c, t, h, w].
        bias: [out].
        dtype: to multiply in.
        axes: of images, one or two in order, along which the weight is three long; with frames,
            unless t is one.
        first_in_float32: whether the first product is float32 whatever ``dtype`` is.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        dtype: torch.dtype,
        axes: Sequence[int],
        first_in_float32: bool = False,
    ) -> None:
        self._axes, self._dtype = axes, dtype
        self._sum_dtype = torch.promote_types(dtype, torch.float32)
        points = weight.to(self._sum_dtype).permute(2, 3, 4, 1, 0)
        for axis in reversed(axes):
            three = points.movedim(axis - 1, 0)
            six = torch.tensordot(points.new_tensor(WEIGHT_TRANSFORM), three, 1)
            points = six.unsqueeze(axis - 1)
        points = points.flatten(0, -5)  # [points, h, w, c, out]
        apart = int(first_in_float32)
        # Copies: a slice would keep the whole in memory.
        self._first_weights = _ordered(points[:apart].clone())
        self._weights = _ordered(points[apart:].to(dtype, copy=True))
        self._bias = None if bias is None else bias.to(self._sum_dtype)
        sums = np.float64 if dtype == torch.float64 else np.float32
        self._input_transform = np.array(INPUT_TRANSFORM, sums)
        self._output_transform = np.array(OUTPUT_TRANSFORM, sums)

    def pays(self, x: Tensor) -> bool:
        """Whether few outputs of the last tiles would be thrown away, for x [n, c, s, h, w]."""
        sizes = [x.shape[axis + 1] for axis in self._axes]
        return prod(TILE * -(-size // TILE) / size for size in sizes) <= MOST_WASTE

    def __call__(self, x: Tensor) -> Tensor:
        """Convolve x [n, c, s, h, w] to [n, out, s, h, w], channels last in memory, of x's type."""
        images = x.movedim(1, -1).contiguous()
        out, c = self._weights.shape[1:3]
        found = images.new_empty(*images.shape[:4], out)
        growth = (POINTS / TILE) ** len(self._axes)
        numbers = prod(images.shape[1:4]) * max(out, c) * growth
        chunk = max(1, int(CHUNK_BYTES / (numbers * self._dtype.itemsize)))
        for inputs, outputs in zip(images.split(chunk), found.split(chunk), strict=True):
            points = transform_inputs(inputs, self._axes, self._input_transform, self._dtype)
            products, first = self._multiply(points)
            transform_outputs(products, self._axes, self._output_transform, outputs, first)
        return found.movedim(-1, 1)

    def _multiply(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """[points, n, s, h, w, c] to [points, n, s, h, w, out], each point by its own weights.

        A first product in float32 is returned by itself, as [n, s, h, w, out].
        """
        points, apart = x.flatten(1, 2), len(self._first_weights)
        y = x.new_empty(*x.shape[:-1], self._weights.shape[1])
        _multiply(points[apart:], self._weights, y[apart:].flatten(1, 2))
        first = y[:1]
        if apart:
            first = torch.empty_like(first, dtype=self._sum_dtype)
            _multiply(points[:1].to(self._sum_dtype), self._first_weights, first.flatten(1, 2))
        if self._bias is not None:
            first += self._bias
        return y, first[0] if apart else None


def _ordered(weights: Tensor) -> Tensor:
    """Weights [points, h, w, c, out] as [points, out, c, h, w], in the order of memory that
    :func:`_multiply` reads fastest."""
    if weights.shape[1:3] == (1, 1):
        return weights.permute(0, 4, 3, 1, 2)
    return weights.permute(0, 4, 1, 2, 3).contiguous().movedim(-1, 2)


def _multiply(x: Tensor, weights: Tensor, y: Tensor) -> None:
    """Convolve each x [p, f, h, w, c] by its weights [p, out, c, h', w'] to y [p, f, h, w, out]."""
    if weights.shape[-2:] == (1, 1):
        torch.bmm(x.flatten(1, -2), weights[..., 0, 0].mT, out=y.flatten(1, -2))
        return
    padding = [side // 2 for side in weights.shape[-2:]]
    for images, weight, found in zip(x, weights, y, strict=True):
        z = F.conv2d(images.permute(0, 3, 1, 2), weight, padding=padding)
        found.copy_(z.permute(0, 2, 3, 1))
