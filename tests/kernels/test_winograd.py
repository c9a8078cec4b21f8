"""Winograd's convolutions against plain ones."""

from fractions import Fraction
from unittest.mock import patch

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from nasgait.kernels import winograd
from nasgait.kernels.convolution import Conv3d
from nasgait.kernels.winograd import (
    COLUMNS,
    FRAMES,
    INPUT_TRANSFORM,
    OUTPUT_TRANSFORM,
    ROWS,
    WEIGHT_TRANSFORM,
    Winograd,
)

SPLITS = [
    ((3, 3, 3), [FRAMES]),
    ((3, 3, 3), [FRAMES, ROWS]),
    ((3, 3, 3), [FRAMES, COLUMNS]),
    ((3, 1, 3), [FRAMES]),
    ((3, 1, 3), [FRAMES, COLUMNS]),
    ((3, 3, 1), [FRAMES, ROWS]),
    ((3, 1, 1), [FRAMES]),
    ((1, 3, 3), [ROWS]),
    ((1, 3, 3), [ROWS, COLUMNS]),
    ((1, 3, 1), [ROWS]),
    ((1, 1, 3), [COLUMNS]),
]


def test_the_transforms_make_an_exact_correlation():
    exact = [[[Fraction(v).limit_denominator(60) for v in row] for row in m]
             for m in (INPUT_TRANSFORM, WEIGHT_TRANSFORM, OUTPUT_TRANSFORM)]  # fmt: skip
    inputs, weights, outputs = exact
    for j in range(6):
        for k in range(3):
            products = [inputs[i][j] * weights[i][k] for i in range(6)]
            for o in range(4):
                found = sum(a * b for a, b in zip(outputs[o], products, strict=True))
                assert found == (j == o + k)


@given(
    split=st.sampled_from(SPLITS),
    shape=st.tuples(*[st.integers(1, n) for n in (3, 9, 13, 9, 7)]),
    bias=st.booleans(),
    first_in_float32=st.booleans(),
    chunk_bytes=st.sampled_from([1, 4000, winograd.CHUNK_BYTES]),
)
def test_equals_the_plain_convolution(split, shape, bias, first_in_float32, chunk_bytes):
    kernel, axes = split
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator)
    weight = torch.randn(5, shape[1], *kernel, generator=generator)
    b = torch.randn(5, generator=generator) if bias else None
    with patch.object(winograd, "CHUNK_BYTES", chunk_bytes):
        y = Winograd(weight, b, torch.float32, axes, first_in_float32)(x)
    padding = [side // 2 for side in kernel]
    exact = F.conv3d(x.double(), weight.double(), None if b is None else b.double(), 1, padding)
    torch.testing.assert_close(y.double(), exact, rtol=0, atol=1e-5 * float(exact.abs().max() + 1))
    assert y.movedim(1, -1).is_contiguous()


def rounding(x, weight, bias, dtype, axes, first_in_float32=False):
    """By how much more Winograd's way rounds than a plain convolution does."""
    exact = F.conv3d(x.double(), weight.double(), bias.double(), padding=1)
    found = (
        Winograd(weight, bias, dtype, axes, first_in_float32)(x),
        F.conv3d(x.to(dtype), weight.to(dtype), bias.to(dtype), padding=1),
    )
    ours, plain = (float((y.double() - exact).square().mean()) ** 0.5 for y in found)
    return ours / plain


@pytest.mark.parametrize(
    ("dtype", "axes", "worse"),
    [
        (torch.float32, [FRAMES], 8),
        (torch.float32, [FRAMES, ROWS], 16),
        (torch.bfloat16, [FRAMES], 4),
        (torch.bfloat16, [FRAMES, ROWS], 10),
    ],
)
def test_rounds_little_more_than_the_plain_convolution(dtype, axes, worse):
    torch.manual_seed(0)
    x, weight = torch.relu(torch.randn(1, 64, 16, 8, 6)), torch.randn(32, 64, 3, 3, 3)
    assert rounding(x, weight, torch.randn(32), dtype, axes) < worse


@pytest.mark.parametrize("axes", [[FRAMES], [FRAMES, ROWS]])
def test_a_first_product_in_float32_rounds_less_than_a_plain_convolution_of_like_neighbours(axes):
    torch.manual_seed(0)
    x = F.interpolate(torch.rand(1, 64, 4, 3, 6), (16, 12, 6), mode="trilinear")
    weight, bias = torch.randn(32, 64, 3, 3, 3), torch.randn(32)
    assert rounding(x, weight, bias, torch.bfloat16, axes, first_in_float32=True) < 1
    assert rounding(x, weight, bias, torch.bfloat16, axes) > 1


def test_to_keep_precision_the_first_product_is_float32():
    torch.manual_seed(0)
    x = F.interpolate(torch.rand(1, 64, 4, 3, 6), (16, 12, 6), mode="trilinear")
    conv = Conv3d(64, 32, (3, 3, 3))
    weight, bias = conv.weight.detach(), torch.zeros(32)
    exact = F.conv3d(x.double(), weight.double(), padding=1)
    prepared = [conv.prepared(weight, bias, torch.bfloat16, keep) for keep in (True, False)]
    kept, fastest = (float((run(x).double() - exact).square().mean()) for run in prepared)
    assert kept < fastest / 1.2


@pytest.mark.parametrize("first_in_float32", [False, True])
@pytest.mark.parametrize(("dtype", "size"), [(torch.float32, 4), (torch.bfloat16, 2)])
@pytest.mark.parametrize(("kernel", "products"), [((3, 3, 1), 36), ((3, 3, 3), 3 * 36)])
def test_holds_no_more_weights_than_it_multiplies_by(
    kernel, products, dtype, size, first_in_float32
):
    weight = torch.randn(8, 16, *kernel)
    fast = Winograd(weight, None, dtype, [FRAMES, ROWS], first_in_float32)
    held = {part.untyped_storage().data_ptr(): part.untyped_storage().nbytes()
            for part in vars(fast).values() if isinstance(part, torch.Tensor)}  # fmt: skip
    wide = products // 36 if first_in_float32 else 0
    assert sum(held.values()) == 8 * 16 * (wide * 4 + (products - wide) * size)


def test_an_empty_batch_comes_out_empty():
    fast = Winograd(torch.randn(8, 16, 3, 3, 3), torch.zeros(8), torch.float32, [FRAMES, ROWS])
    assert fast(torch.empty(0, 16, 5, 6, 7)).shape == (0, 8, 5, 6, 7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kernel", [(3, 3, 3), (1, 1, 1)])
def test_what_comes_out_is_of_the_type_of_what_goes_in(dtype, kernel):
    conv = Conv3d(16, 8, kernel)
    weight, bias = conv.weight.detach(), torch.zeros(8)
    prepared = conv.prepared(weight, bias, torch.bfloat16, keep_precision=True)
    assert prepared(torch.rand(1, 16, 8, 4, 4, dtype=dtype)).dtype == dtype


def test_is_used_where_it_pays(monkeypatch):
    used = []
    monkeypatch.setattr(Winograd, "__call__", lambda self, x: used.append(self._axes) or x)

    def run(c, kernel, frames, keep_precision=False):
        conv = Conv3d(c, 64, kernel)
        prepared = conv.prepared(conv.weight.detach(), None, torch.float32, keep_precision)
        prepared(torch.rand(1, c, frames, 4, 4))

    run(64, (3, 1, 3), 8)
    run(128, (3, 3, 3), 8)
    run(256, (1, 3, 3), 5)
    run(128, (3, 3, 3), 8, keep_precision=True)
    run(256, (3, 1, 3), 8, keep_precision=True)
    assert used == [[FRAMES], [FRAMES, ROWS], [ROWS, COLUMNS], [FRAMES, ROWS], [FRAMES]]
    run(64, (3, 1, 3), 5)  # 8 outputs for 5
    run(8, (3, 3, 3), 8)  # few channels
    run(512, (1, 1, 1), 8)
    run(512, (1, 1, 3), 8, keep_precision=True)
    run(128, (5, 3, 3), 8)
    run(128, (7, 1, 3), 8)
    assert len(used) == 5
