"""Convolutions whose kernels are three long, with half the products.

Four neighbouring outputs of a kernel of three take six products in place of twelve, once inputs
and weights have been mixed, and the products are mixed back (S. Winograd, Arithmetic Complexity of
Computations, 1980; Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016,
section 4.1: F(4, 3)).  The polynomials behind it are evaluated at 0, 1, -1, 1/2, -2 and infinity,
which rounds less than the usual 0, 1, -1, 2, -2 (Barabasz et al., "Error Analysis and Improving the
Accuracy of Winograd Convolution for Deep Neural Networks", 2020).
"""

from itertools import product

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

WORTH = 500
"""Products behind an output, from which on mixing costs less than it saves, as measured on CPUs."""


class Winograd:
    """A same-padded 3-D convolution, split into six 2-D ones over every fourth frame.

    A kernel of one frame is split along its rows instead.  Results are those of the plain
    convolution but for rounding, which is about twice as large in float32 and three times in
    bfloat16.

    Args:
        weight: [out, c, t, h, w] with t, or else h, of three.
        bias: [out].
        dtype: to compute in.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> None:
        self._along_rows = weight.shape[2] == 1
        three = torch.stack(weight.unbind(3 if self._along_rows else 2))
        mixed = (weight.new_tensor(WEIGHTS) @ three.flatten(1)).view(-1, *three.shape[1:])
        self._planes = [plane.to(dtype, memory_format=torch.channels_last) for plane in mixed]
        self._bias = None if bias is None else bias.to(dtype)
        self._inputs, self._outputs = (weight.new_tensor(m).to(dtype) for m in (INPUTS, OUTPUTS))

    @staticmethod
    def suits(weight: Tensor) -> bool:
        """Whether a weight [out, c, t, h, w] is long enough, and large enough to gain on a CPU."""
        t, h, _ = weight.shape[2:]
        return (h if t == 1 else t) == 3 and weight[0].numel() >= WORTH

    def pays(self, x: Tensor) -> bool:
        """Whether few outputs of the last tile would be thrown away, for x [n, c, s, h, w]."""
        length = x.shape[3 if self._along_rows else 2]
        return 4 * (-length % TILE) <= length

    def __call__(self, x: Tensor) -> Tensor:
        """Convolve x [n, c, s, h, w] to [n, out, s, h, w], channels last in memory."""
        images = x.movedim(1, -1)
        if not self._along_rows:
            return self._convolved(images).movedim(-1, 1)
        # Rows take the place of frames, and all frames together that of a frame's rows.
        rows = self._convolved(images.flatten(0, 1).transpose(0, 1)[None])[0]
        return rows.transpose(0, 1).contiguous().view(*images.shape[:4], -1).movedim(-1, 1)

    def _convolved(self, images: Tensor) -> Tensor:
        """[n, s, h, w, c] to [n, s, h, w, out]."""
        n, s, h, w, _ = images.shape
        tiles, out = -(-s // TILE), len(self._planes[0])
        products = self._products(self._mixed(images, tiles)).view(-1, n, tiles, h * w * out)
        found = products.new_empty(n, s, h * w * out)
        for i, tile in product(range(n), range(tiles)):
            outputs = found[i, TILE * tile : TILE * (tile + 1)]
            torch.mm(self._outputs[: len(outputs)], products[:, i, tile], out=outputs)
        return found.view(n, s, h, w, out)

    def _mixed(self, images: Tensor, tiles: int) -> Tensor:
        """[n, s, h, w, c] to [6, n * tiles, h, w, c]."""
        n, s, h, w, c = images.shape
        padded = self._inputs.new_empty(n, TILE * tiles + 2, h, w, c)
        padded[:, 0], padded[:, s + 1 :] = 0, 0
        padded[:, 1 : s + 1] = images
        mixed = padded.new_empty(len(INPUTS), n, tiles, h * w * c)
        for i, tile in product(range(n), range(tiles)):
            first = TILE * tile
            window = padded[i, first : first + len(INPUTS)].flatten(1)
            torch.mm(self._inputs, window, out=mixed[:, i, tile])
        return mixed.view(len(INPUTS), n * tiles, h, w, c)

    def _products(self, mixed: Tensor) -> Tensor:
        """[6, f, h, w, c] to [6, f, h, w, out], each sixth by its own weights."""
        products = mixed.new_empty(*mixed.shape[:4], len(self._planes[0]))
        for i, (x, plane) in enumerate(zip(mixed, self._planes, strict=True)):
            # The second product is part of each output, once: where a bias belongs.
            bias = self._bias if i == 1 else None
            if plane[0, 0].numel() == 1:
                products[i] = F.linear(x, plane.flatten(1), bias)
                continue
            padding = (plane.shape[2] // 2, plane.shape[3] // 2)
            y = F.conv2d(x.permute(0, 3, 1, 2), plane, bias, padding=padding)
            products[i] = y.permute(0, 2, 3, 1)
        return products
