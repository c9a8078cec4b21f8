"""Winograd's input and output transforms along one axis or two, compiled by numba.

They are weighted sums of rows that overlap and lie apart in memory.  torch copies the rows together
first and then multiplies tiny matrices, at a fifth of the speed that memory allows.  Here each row
is read where it lies, and what the first axis gives to the second stays in a cache.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
import torch
from numba import njit, types
from numba.extending import overload
from numpy.typing import NDArray
from torch import Tensor

TILE = 4
"""Neighbouring outputs that are computed together."""

POINTS = 6
"""Neighbouring inputs that a tile depends on, and points that these are transformed to."""

CHUNK = 512
"""Numbers of a row that are worked on at once, so that those of all rows stay in a cache."""

uint32, float32, unsigned = np.uint32, np.float32, np.uintp  # numba widens what is not named


def transform_inputs(
    x: Tensor, axes: Sequence[int], matrix: NDArray[Any], dtype: torch.dtype
) -> Tensor:
    """The input transform: each tile of six neighbours, along one axis or two, to six points.

    Tiles begin four apart, the first one before the first number; beyond the ends are zeros.

    Args:
        x: [...], contiguous.
        axes: in their order, counted from the last.
        matrix: B^T [6, 6], a row for each point; float32, or float64 for float64 numbers.
        dtype: of the points.

    Returns:
        [6 or 36, ...] with a number for each tile along the axes.  The points of the second axis
        are next to each other.
    """
    sizes, shape = _sizes(x, axes), list(x.shape)
    for axis in axes:
        shape[axis] = -(-shape[axis] // TILE)
    found = x.new_empty(POINTS ** len(axes), *shape, dtype=dtype)
    _run_in_threads(_input_tiles, sizes, _flat(x), matrix, len(axes), _flat(found))
    return found


def transform_outputs(
    y: Tensor, axes: Sequence[int], matrix: NDArray[Any], found: Tensor, first: Tensor | None = None
) -> Tensor:
    """The output transform: six products to four neighbours, along one axis or two.

    Args:
        y: [6 or 36, ...] as :func:`transform_inputs` returns them.
        axes: as there.
        matrix: A^T [4, 6], a row for each neighbour; float32, or float64 for float64 numbers.
        found: [...], contiguous; what to write to.
        first: used in place of y[0]; of the type of ``matrix``, contiguous.

    Returns:
        ``found``.
    """
    first_product = np.empty(0, matrix.dtype) if first is None else _flat(first)
    sizes = _sizes(found, axes)
    _run_in_threads(_output_tiles, sizes, _flat(y), first_product, matrix, len(axes), _flat(found))
    return found


def _sizes(x: Tensor, axes: Sequence[int]) -> tuple[int, ...]:
    """The sizes of x as [a, l, m, k, b], neighbours lying along l and, if two axes are given, k."""
    shape, (along, across) = x.shape, (axes[0], axes[-1])
    outer, inner = prod(shape[:along]), prod(shape[across + 1 :])
    if len(axes) == 1:
        return outer, shape[along], 1, 1, inner
    return outer, shape[along], prod(shape[along + 1 : across]), shape[across], inner


def _flat(x: Tensor) -> NDArray[Any]:
    """The same memory in one dimension, bfloat16 as uint16."""
    numbers = x.view(-1)
    return (numbers.view(torch.uint16) if x.dtype == torch.bfloat16 else numbers).numpy()


def _run_in_threads(kernel: Any, sizes: tuple[int, ...], *arguments: Any) -> None:
    """Share the tiles among as many threads as torch would use."""
    outer, along, middle, *_ = sizes
    tiles = outer * -(-along // TILE) * middle
    threads = min(torch.get_num_threads(), tiles)
    if threads <= 1:
        kernel(0, tiles, sizes, *arguments)
        return
    ends = [tiles * part // threads for part in range(threads + 1)]
    pool = _pool(torch.get_num_threads())
    parts = [pool.submit(kernel, begin, end, sizes, *arguments) for begin, end in pairwise(ends)]
    for part in parts:
        part.result()


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "winograd")


def compiled(function: Any) -> Any:
    """Compile a function, and cache the machine code on disk for the next process where possible.

    The cache is in ``__pycache__``, in the user's cache, or in ``NUMBA_CACHE_DIR``.  It may be
    deleted, for instance when a full disk cut it short.
    """
    options: dict[str, Any] = {"nogil": True, "fastmath": {"contract"}, "error_model": "numpy"}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # neither beside the source nor in the user's cache
        return njit(**options)(function)


def widened(number: Any) -> Any:
    """A bfloat16, given as uint16, widened to float32; other numbers as they are."""
    raise NotImplementedError("numba compiles this; unset NUMBA_DISABLE_JIT")


@overload(widened)
def _widened(number: Any) -> Any:
    def same(number: Any) -> Any:
        return number

    def shifted(number: Any) -> Any:
        return uint32(uint32(number) << uint32(16)).view(float32)

    return shifted if number is types.uint16 else same


def put(row: Any, place: Any, number: Any) -> Any:
    """Write a number to a row, rounded to bfloat16 (nearest, ties to even) if the row is uint16."""
    raise NotImplementedError("numba compiles this; unset NUMBA_DISABLE_JIT")


@overload(put)
def _put(row: Any, place: Any, number: Any) -> Any:
    def write(row: Any, place: Any, number: Any) -> None:
        row[place] = number

    def rounded(row: Any, place: Any, number: Any) -> None:
        exact = float32(number).view(uint32)
        even = (exact >> uint32(16)) & uint32(1)
        row[place] = np.uint16((exact + uint32(0x7FFF) + even) >> uint32(16))

    return rounded if row.dtype is types.uint16 else write


@compiled
def _weighted_sum(
    x: Any, x0: Any, y: Any, at: Any, w: Any, m: Any, found: Any, to: Any, n: Any
) -> None:
    """Add up n numbers of x from x0 on and of y from five offsets on, weighted by row m of w."""
    # Unsigned offsets cannot count from the end, so that the loop has nothing to check.
    i, o1, o2 = unsigned(x0), unsigned(at[0]), unsigned(at[1])
    o3, o4, o5 = unsigned(at[2]), unsigned(at[3]), unsigned(at[4])
    w0, w1, w2, w3, w4, w5 = w[m, 0], w[m, 1], w[m, 2], w[m, 3], w[m, 4], w[m, 5]
    o = unsigned(to)
    for j in range(unsigned(n)):
        number = w0 * widened(x[i + j]) + w1 * widened(y[o1 + j]) + w2 * widened(y[o2 + j])
        number += w3 * widened(y[o3 + j]) + w4 * widened(y[o4 + j]) + w5 * widened(y[o5 + j])
        put(found, o + j, number)


@compiled
def _tile_rows(tile: int, length: int, matrix: Any, inside: Any) -> Any:
    """The six rows of a tile; ``inside`` gets the weights, zero for rows beyond the ends."""
    begin, last = TILE * tile - 1, length - 1
    for m in range(POINTS):
        for row in range(POINTS):
            inside[m, row] = matrix[m, row] if 0 <= begin + row <= last else 0
    return (
        max(begin, 0),
        begin + 1,
        min(begin + 2, last),
        min(begin + 3, last),
        min(begin + 4, last),
        min(begin + 5, last),
    )


@compiled
def _offsets(rows: Any, each: int, begin: int) -> Any:
    """Offsets of the last five of six rows."""
    _, r1, r2, r3, r4, r5 = rows
    return (
        r1 * each + begin,
        r2 * each + begin,
        r3 * each + begin,
        r4 * each + begin,
        r5 * each + begin,
    )


@compiled
def _input_tiles(
    begin: int, end: int, sizes: Any, x: Any, matrix: Any, axes: int, found: Any
) -> None:
    """:func:`transform_inputs` for some tiles of x [a, l, m, k, b]."""
    _, along, middle, across, numbers = sizes
    tiles_l, tiles_k = -(-along // TILE), -(-across // TILE)
    chunk = min(CHUNK, numbers)
    # The last six rows of each point: no tile needs others.
    ring = np.zeros(POINTS * POINTS * chunk, matrix.dtype)
    inside_l, inside_k = np.empty_like(matrix), np.empty_like(matrix)
    stride, point = middle * across * numbers, found.size // POINTS**axes
    for tile in range(begin, end):
        i, t, q = tile // middle // tiles_l, tile // middle % tiles_l, tile % middle
        six = _tile_rows(t, along, matrix, inside_l)
        x0, to = (i * along * middle + q) * across * numbers, tile * tiles_k * numbers
        for j in range(0, numbers, chunk):
            n, done = min(chunk, numbers - j), 0
            for u in range(tiles_k):
                until = min(TILE * u + TILE + 1, across)
                for k in range(done, until):
                    at = x0 + k * numbers + j
                    first, offsets = at + six[0] * stride, _offsets(six, stride, at)
                    for m in range(POINTS):
                        if axes == 1:
                            place = m * point + to + j
                            _weighted_sum(x, first, x, offsets, inside_l, m, found, place, n)
                        else:
                            place = (m * POINTS + k % POINTS) * chunk
                            _weighted_sum(x, first, x, offsets, inside_l, m, ring, place, n)
                done = until
                if axes == 1:
                    continue
                r0, r1, r2, r3, r4, r5 = _tile_rows(u, across, matrix, inside_k)
                rows = r0 % POINTS, r1 % POINTS, r2 % POINTS, r3 % POINTS, r4 % POINTS, r5 % POINTS
                for m in range(POINTS):
                    at = m * POINTS * chunk
                    first, offsets = at + rows[0] * chunk, _offsets(rows, chunk, at)
                    for p in range(POINTS):
                        place = (m * POINTS + p) * point + to + u * numbers + j
                        _weighted_sum(ring, first, ring, offsets, inside_k, p, found, place, n)


@compiled
def _output_tiles(
    begin: int, end: int, sizes: Any, y: Any, first: Any, matrix: Any, axes: int, found: Any
) -> None:
    """:func:`transform_outputs` for some tiles of found [a, l, m, k, b]."""
    _, along, middle, across, numbers = sizes
    tiles_l, tiles_k = -(-along // TILE), -(-across // TILE)
    chunk = min(CHUNK, numbers)
    sums = np.empty(TILE * POINTS * chunk, matrix.dtype)
    stride, point = middle * across * numbers, y.size // POINTS**axes
    every = (0, 1, 2, 3, 4, 5)
    for tile in range(begin, end):
        i, t, q = tile // middle // tiles_l, tile // middle % tiles_l, tile % middle
        outputs_l = min(TILE, along - TILE * t)
        for u in range(tiles_k):
            outputs_k = min(TILE, across - TILE * u)
            to = (((i * along + TILE * t) * middle + q) * across + TILE * u) * numbers
            for j in range(0, numbers, chunk):
                n, at = min(chunk, numbers - j), (tile * tiles_k + u) * numbers + j
                if axes == 1:
                    for o in range(outputs_l):
                        place, offsets = to + o * stride + j, _offsets(every, point, at)
                        if first.size:
                            _weighted_sum(first, at, y, offsets, matrix, o, found, place, n)
                        else:
                            _weighted_sum(y, at, y, offsets, matrix, o, found, place, n)
                    continue
                for m in range(POINTS):
                    y0 = at + m * POINTS * point
                    offsets = _offsets(every, point, y0)
                    for p in range(outputs_k):
                        place = (p * POINTS + m) * chunk
                        if m == 0 and first.size:
                            _weighted_sum(first, at, y, offsets, matrix, p, sums, place, n)
                        else:
                            _weighted_sum(y, y0, y, offsets, matrix, p, sums, place, n)
                for p in range(outputs_k):
                    s0 = p * POINTS * chunk
                    offsets = _offsets(every, chunk, s0)
                    for o in range(outputs_l):
                        place = to + o * stride + p * numbers + j
                        _weighted_sum(sums, s0, sums, offsets, matrix, o, found, place, n)
