"""The input and output transforms against numpy and torch."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from nasgait.kernels import winograd_numba
from nasgait.kernels.winograd_numba import (
    _weighted_sum,
    compiled,
    transform_inputs,
    transform_outputs,
)

RNG = np.random.default_rng(0)
INPUT, OUTPUT = RNG.normal(size=(6, 6)), RNG.normal(size=(4, 6))
AXES = [[-4], [-3], [-2], [-4, -3], [-4, -2], [-3, -2]]
SHAPES = st.tuples(
    *[st.integers(1, most) for most in (3, 9, 9, 9)],
    st.sampled_from([1, 5, winograd_numba.CHUNK + 3]),
)


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def inputs_by_numpy(x, axis):
    """[6, ...] from windows that are cut out of x with zeros around it."""
    length = x.shape[axis]
    margins = [(0, 0)] * x.ndim
    margins[axis] = 1, 1 + -length % 4
    windows = sliding_window_view(np.pad(x, margins), 6, axis)
    every = np.take(windows, range(0, windows.shape[axis - 1], 4), axis - 1)
    return np.einsum("...w,mw->m...", every, INPUT)


def outputs_by_numpy(y, axis, length):
    """[...] from y [6, ...]."""
    outputs = np.moveaxis(np.einsum("m...,om->o...", y, OUTPUT), 0, axis)
    shape = list(y.shape[1:])
    shape[axis] *= 4
    return np.take(outputs.reshape(shape), range(length), axis)


@given(axes=st.sampled_from(AXES), shape=SHAPES)
def test_inputs_are_transformed_as_by_numpy(axes, shape):
    x = np.random.default_rng(1).normal(size=shape)
    found = transform_inputs(torch.from_numpy(x), axes, INPUT, torch.float64).numpy()
    expected = x
    for axis in axes:
        expected = inputs_by_numpy(expected, axis)
    if len(axes) == 2:
        expected = np.swapaxes(expected, 0, 1).reshape(36, *expected.shape[2:])
    np.testing.assert_allclose(found, expected, atol=1e-12)


@given(axes=st.sampled_from(AXES), shape=SHAPES, first_by_itself=st.booleans())
def test_outputs_are_transformed_as_by_numpy(axes, shape, first_by_itself):
    tiles = [-(-n // 4) if axis in axes else n for axis, n in zip(range(-5, 0), shape, strict=True)]
    y = np.random.default_rng(2).normal(size=[6 ** len(axes), *tiles])
    expected = y.reshape([6] * len(axes) + tiles)
    for axis in reversed(axes):
        expected = np.moveaxis(expected, len(expected.shape) - 6, 0)
        expected = outputs_by_numpy(expected, axis, shape[axis])
    found, first = torch.full(shape, torch.nan, dtype=torch.float64), None
    if first_by_itself:
        first, y[0] = torch.from_numpy(y[0].copy()), np.nan
    assert transform_outputs(torch.from_numpy(y), axes, OUTPUT, found, first) is found
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)


def test_threads_get_as_many_tiles_each(threads, monkeypatch):
    shares = []

    class Pool:
        def submit(self, kernel, begin, end, *arguments):
            assert kernel.targetoptions["nogil"]
            shares.append((begin, end))
            return ThreadPoolExecutor(1).submit(kernel, begin, end, *arguments)

    monkeypatch.setattr(winograd_numba, "_pool", lambda count: Pool() if count == 3 else None)
    threads(3)
    transform_inputs(torch.randn(1, 29, 2, 2, 5), [-4], INPUT.astype(np.float32), torch.float32)
    assert shares == [(0, 2), (2, 5), (5, 8)]


@pytest.mark.parametrize("axes", AXES)
def test_threads_share_the_work_and_change_nothing(axes, threads):
    x = torch.randn(2, 9, 8, 7, 5)
    forward, back = INPUT.astype(np.float32), OUTPUT.astype(np.float32)
    found = []
    for number in (1, 2, 5, 1000):
        threads(number)
        y = transform_inputs(x, axes, forward, torch.bfloat16)
        found.append((y, transform_outputs(y, axes, back, torch.empty_like(x))))
    for y, z in found[1:]:
        assert torch.equal(y, found[0][0]) and torch.equal(z, found[0][1])


def test_rounds_to_bfloat16_as_torch_does():
    x = torch.randn(60_000) * torch.logspace(-30, 30, 60_000)
    x[:4] = torch.tensor([torch.inf, -torch.inf, torch.nan, 0])
    x[4:20_000].view(torch.int32).bitwise_and_(-1 << 16).bitwise_or_(1 << 15)  # ties
    one = np.eye(6, dtype=np.float32)
    found = torch.empty(60_000, dtype=torch.bfloat16)
    zeros = np.zeros(60_000, np.float32)
    _weighted_sum(
        x.numpy(), 0, zeros, (0,) * 5, one, 0, found.view(torch.uint16).numpy(), 0, len(x)
    )
    assert torch.equal(found[:2], x[:2].bfloat16()) and found[2].isnan()
    assert torch.equal(found[3:], x[3:].bfloat16())


def test_widens_every_bfloat16_as_torch_does():
    numbers = torch.arange(1 << 16, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
    one, found = np.eye(6, dtype=np.float32), np.empty(1 << 16, np.float32)
    zeros = np.zeros(1 << 16, np.float32)
    bits = numbers.view(torch.uint16).numpy()
    _weighted_sum(bits, 0, zeros, (0,) * 5, one, 0, found, 0, len(found))
    np.testing.assert_array_equal(found, numbers.float().numpy())


def test_compiles_where_nothing_can_be_kept(monkeypatch):
    njit = winograd_numba.njit

    def without_a_place(cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(**options)

    monkeypatch.setattr(winograd_numba, "njit", without_a_place)
    assert compiled(lambda: 7)() == 7
