"""Winograd's convolutions beside plain ones."""

from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from nasgait.nn.convolution import Conv3d
from nasgait.nn.winograd import INPUTS, OUTPUTS, WEIGHTS, Winograd

KERNELS = [(3, 3, 3), (3, 1, 3), (3, 3, 1), (3, 1, 1), (1, 3, 3), (1, 3, 1)]


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
    kernel=st.sampled_from(KERNELS),
    shape=st.tuples(*[st.integers(1, n) for n in (3, 9, 13, 9, 7)]),
    bias=st.booleans(),
)
def test_equals_the_plain_convolution(kernel, shape, bias):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator)
    weight = torch.randn(5, shape[1], *kernel, generator=generator)
    b = torch.randn(5, generator=generator) if bias else None
    y = Winograd(weight, b, torch.float32)(x)
    padding = [side // 2 for side in kernel]
    exact = F.conv3d(x.double(), weight.double(), None if b is None else b.double(), 1, padding)
    torch.testing.assert_close(y.double(), exact, rtol=0, atol=1e-5 * float(exact.abs().max() + 1))
    assert y.movedim(1, -1).is_contiguous()


@pytest.mark.parametrize(("dtype", "worse"), [(torch.float32, 8), (torch.bfloat16, 4)])
def test_rounds_little_more_than_the_plain_convolution(dtype, worse):
    torch.manual_seed(0)
    x, weight = torch.relu(torch.randn(1, 64, 16, 8, 6)), torch.randn(32, 64, 3, 3, 3)
    x = x.to(dtype)
    exact = F.conv3d(x.double(), weight.double(), padding=1)
    gaps = [
        float((y.double() - exact).square().mean().sqrt())
        for y in (
            Winograd(weight, None, dtype)(x),
            F.conv3d(x, weight.to(dtype), padding=1),
        )
    ]
    assert gaps[0] < worse * gaps[1]


def test_is_used_where_it_pays(monkeypatch):
    used = []
    monkeypatch.setattr(Winograd, "__call__", lambda self, x: used.append(x.shape) or x)
    wide = Conv3d(64, 64, (3, 1, 3))
    by = wide.by(wide.weight.detach(), None, torch.float32)
    by(torch.rand(1, 64, 8, 2, 2))
    assert len(used) == 1
    by(torch.rand(1, 64, 5, 2, 2))
    narrow = Conv3d(8, 64, (3, 3, 3))
    narrow.by(narrow.weight.detach(), None, torch.float32)(torch.rand(1, 8, 8, 2, 2))
    flat = Conv3d(512, 4, (1, 1, 3))
    flat.by(flat.weight.detach(), None, torch.float32)(torch.rand(1, 512, 8, 4, 2))
    assert len(used) == 1
