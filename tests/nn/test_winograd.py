"""Winograd's convolutions beside plain ones."""

from fractions import Fraction
from unittest.mock import patch

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from nasgait.nn import winograd
from nasgait.nn.convolution import Conv3d
from nasgait.nn.winograd import COLUMNS, FRAMES, INPUTS, OUTPUTS, ROWS, WEIGHTS, Winograd

SPLITS = [
    ((3, 3, 3), [FRAMES]),
    ((3, 3, 3), [FRAMES, ROWS]),
    ((3, 3, 3), [FRAMES, ROWS, COLUMNS]),
    ((3, 1, 3), [FRAMES]),
    ((3, 1, 3), [FRAMES, COLUMNS]),
    ((3, 3, 1), [FRAMES, ROWS]),
    ((3, 1, 1), [FRAMES]),
    ((1, 3, 3), [ROWS]),
    ((1, 3, 3), [ROWS, COLUMNS]),
    ((1, 3, 1), [ROWS]),
    ((1, 1, 3), [COLUMNS]),
]


def test_the_mixes_are_an_exact_correlation():
    exact = [[[Fraction(v).limit_denominator(60) for v in row] for row in m]
             for m in (INPUTS, WEIGHTS, OUTPUTS)]  # fmt: skip
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
    at_once=st.sampled_from([1, 4000, winograd.AT_ONCE]),
)
def test_equals_the_plain_convolution(split, shape, bias, at_once):
    kernel, axes = split
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator)
    weight = torch.randn(5, shape[1], *kernel, generator=generator)
    b = torch.randn(5, generator=generator) if bias else None
    with patch.object(winograd, "AT_ONCE", at_once):
        y = Winograd(weight, b, torch.float32, axes)(x)
    padding = [side // 2 for side in kernel]
    exact = F.conv3d(x.double(), weight.double(), None if b is None else b.double(), 1, padding)
    torch.testing.assert_close(y.double(), exact, rtol=0, atol=1e-5 * float(exact.abs().max() + 1))
    assert y.movedim(1, -1).is_contiguous()


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
    x = x.to(dtype)
    exact = F.conv3d(x.double(), weight.double(), padding=1)
    gaps = [
        float((y.double() - exact).square().mean().sqrt())
        for y in (
            Winograd(weight, None, dtype, axes)(x),
            F.conv3d(x, weight.to(dtype), padding=1),
        )
    ]
    assert gaps[0] < worse * gaps[1]


def test_is_used_where_it_pays(monkeypatch):
    used = []
    monkeypatch.setattr(Winograd, "__call__", lambda self, x: used.append(self._axes) or x)

    def run(c, kernel, frames, split=2):
        conv = Conv3d(c, 64, kernel)
        conv.by(conv.weight.detach(), None, torch.float32, split)(torch.rand(1, c, frames, 4, 4))

    run(64, (3, 1, 3), 8)
    run(64, (3, 3, 3), 8)
    run(128, (3, 3, 3), 8)
    run(128, (3, 3, 3), 8, split=1)
    run(256, (1, 3, 3), 5)
    assert used == [[FRAMES], [FRAMES], [FRAMES, ROWS], [FRAMES], [ROWS, COLUMNS]]
    run(64, (3, 1, 3), 5)  # 8 outputs for 5
    run(8, (3, 3, 3), 8)  # few channels
    run(512, (1, 1, 1), 8)
    assert len(used) == 5
