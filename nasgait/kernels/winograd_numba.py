"""Weighted sums of neighbours along one axis or two, compiled by numba.

:mod:`nasgait.kernels.winograd` adds up rows of numbers that overlap and lie apart.  torch copies
them together first and then multiplies tiny matrices, at a fifth of the speed that memory allows.
Here each row is read where it lies, and what leads from the first axis to the second stays in a
cache.
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
"""Neighbours that are computed together."""

MIXED = 6
"""Neighbours that are mixed for them, and as many mixtures there are."""

PIECE = 512
"""Numbers of a row that are worked on at once, so that those of all rows stay in a cache."""

bits, float32, unsigned = np.uint32, np.float32, np.uintp  # numba widens what is not named


def mix(x: Tensor, axes: Sequence[int], by: NDArray[Any], dtype: torch.dtype) -> Tensor:
    """Mix each six neighbours along one axis or two.

    Sixes begin four apart, the first one before the beginning; beyond the ends are zeros.

    Args:
        x: [...], contiguous.
        axes: in their order, counted from the last.
        by: [6, 6], a row for each mixture; float32, or float64 for float64 numbers.
        dtype: of the mixtures.

    Returns:
        [6 or 36, ...] with a number in the place of each four along the axes, rounded up.  The
        mixtures of the second axis follow upon each other.
    """
    sizes, shape = _sizes(x, axes), list(x.shape)
    for axis in axes:
        shape[axis] = -(-shape[axis] // TILE)
    found = x.new_empty(MIXED ** len(axes), *shape, dtype=dtype)
    _share_out(_mix, sizes, _flat(x), by, len(axes), _flat(found))
    return found


def unmix(
    y: Tensor, axes: Sequence[int], by: NDArray[Any], found: Tensor, first: Tensor | None = None
) -> Tensor:
    """Add up what has become of six mixtures to four neighbours, along one axis or two.

    Args:
        y: [6 or 36, ...] as :func:`mix` returns them.
        axes: as there.
        by: [4, 6], a row for each neighbour; float32, or float64 for float64 numbers.
        found: [...], contiguous; what to write to.
        first: stands in for y[0], as wide as ``by``, contiguous.

    Returns:
        ``found``.
    """
    stand_in = np.empty(0, by.dtype) if first is None else _flat(first)
    _share_out(_unmix, _sizes(found, axes), _flat(y), stand_in, by, len(axes), _flat(found))
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


def _share_out(kernel: Any, sizes: tuple[int, ...], *arguments: Any) -> None:
    """Have as many threads do some tiles each as torch would use."""
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
    return ThreadPoolExecutor(threads, "mixing")


def compiled(function: Any) -> Any:
    """A function in machine code, which the next process finds on disk if anything can be kept.

    It lies in ``__pycache__``, in the user's cache, or in ``NUMBA_CACHE_DIR``.  What a full disk
    has left of it there may be deleted.
    """
    options: dict[str, Any] = {"nogil": True, "fastmath": {"contract"}, "error_model": "numpy"}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # neither beside the source nor in the user's cache
        return njit(**options)(function)


def widened(number: Any) -> Any:
    """A bfloat16, given as uint16, as float32; other numbers as they are."""
    raise NotImplementedError("numba compiles this; unset NUMBA_DISABLE_JIT")


@overload(widened)
def _widened(number: Any) -> Any:
    def same(number: Any) -> Any:
        return number

    def shifted(number: Any) -> Any:
        return bits(bits(number) << bits(16)).view(float32)

    return shifted if number is types.uint16 else same


def put(row: Any, place: Any, number: Any) -> Any:
    """Write a number to a row, rounded to bfloat16 (nearest, ties to even) if it is of uint16."""
    raise NotImplementedError("numba compiles this; unset NUMBA_DISABLE_JIT")


@overload(put)
def _put(row: Any, place: Any, number: Any) -> Any:
    def write(row: Any, place: Any, number: Any) -> None:
        row[place] = number

    def rounded(row: Any, place: Any, number: Any) -> None:
        exact = float32(number).view(bits)
        even = (exact >> bits(16)) & bits(1)
        row[place] = np.uint16((exact + bits(0x7FFF) + even) >> bits(16))

    return rounded if row.dtype is types.uint16 else write


@compiled
def _add_up(x: Any, x0: Any, y: Any, at: Any, by: Any, m: Any, found: Any, to: Any, n: Any) -> None:
    """Add up n numbers of x from x0 on and of y from five places on, by row m of the weights."""
    # Numbers without a sign count from the beginning only: nothing is asked in the loop.
    i, o1, o2, o3, o4, o5 = (
        unsigned(x0),
        unsigned(at[0]),
        unsigned(at[1]),
        unsigned(at[2]),
        unsigned(at[3]),
        unsigned(at[4]),
    )
    w0, w1, w2, w3, w4, w5 = by[m, 0], by[m, 1], by[m, 2], by[m, 3], by[m, 4], by[m, 5]
    o = unsigned(to)
    for j in range(unsigned(n)):
        number = w0 * widened(x[i + j]) + w1 * widened(y[o1 + j]) + w2 * widened(y[o2 + j])
        number += w3 * widened(y[o3 + j]) + w4 * widened(y[o4 + j]) + w5 * widened(y[o5 + j])
        put(found, o + j, number)


@compiled
def _six(tile: int, length: int, by: Any, inside: Any) -> Any:
    """The six of a tile, and weights that are zero for those beyond the ends."""
    begin, last = TILE * tile - 1, length - 1
    for m in range(MIXED):
        for row in range(MIXED):
            inside[m, row] = by[m, row] if 0 <= begin + row <= last else 0
    return (
        max(begin, 0),
        begin + 1,
        min(begin + 2, last),
        min(begin + 3, last),
        min(begin + 4, last),
        min(begin + 5, last),
    )


@compiled
def _others(rows: Any, each: int, begin: int) -> Any:
    """Where the last five of six rows begin."""
    _, r1, r2, r3, r4, r5 = rows
    return (
        r1 * each + begin,
        r2 * each + begin,
        r3 * each + begin,
        r4 * each + begin,
        r5 * each + begin,
    )


@compiled
def _mix(begin: int, end: int, sizes: Any, x: Any, by: Any, axes: int, found: Any) -> None:
    """:func:`mix` for some tiles of x [a, l, m, k, b]."""
    _, along, middle, across, numbers = sizes
    tiles_l, tiles_k = -(-along // TILE), -(-across // TILE)
    piece = min(PIECE, numbers)
    # Of each mixture, the last six rows: no tile needs others.
    ring = np.zeros(MIXED * MIXED * piece, by.dtype)
    inside_l, inside_k = np.empty_like(by), np.empty_like(by)
    stride, mixture = middle * across * numbers, found.size // MIXED**axes
    for tile in range(begin, end):
        i, t, q = tile // middle // tiles_l, tile // middle % tiles_l, tile % middle
        six = _six(t, along, by, inside_l)
        x0, to = (i * along * middle + q) * across * numbers, tile * tiles_k * numbers
        for j in range(0, numbers, piece):
            n, done = min(piece, numbers - j), 0
            for u in range(tiles_k):
                until = min(TILE * u + TILE + 1, across)
                for k in range(done, until):
                    at = x0 + k * numbers + j
                    first, others = at + six[0] * stride, _others(six, stride, at)
                    for m in range(MIXED):
                        if axes == 1:
                            place = m * mixture + to + j
                            _add_up(x, first, x, others, inside_l, m, found, place, n)
                        else:
                            place = (m * MIXED + k % MIXED) * piece
                            _add_up(x, first, x, others, inside_l, m, ring, place, n)
                done = until
                if axes == 1:
                    continue
                r0, r1, r2, r3, r4, r5 = _six(u, across, by, inside_k)
                rows = r0 % MIXED, r1 % MIXED, r2 % MIXED, r3 % MIXED, r4 % MIXED, r5 % MIXED
                for m in range(MIXED):
                    at = m * MIXED * piece
                    first, others = at + rows[0] * piece, _others(rows, piece, at)
                    for p in range(MIXED):
                        place = (m * MIXED + p) * mixture + to + u * numbers + j
                        _add_up(ring, first, ring, others, inside_k, p, found, place, n)


@compiled
def _unmix(
    begin: int, end: int, sizes: Any, y: Any, stand_in: Any, by: Any, axes: int, found: Any
) -> None:
    """:func:`unmix` for some tiles of found [a, l, m, k, b]."""
    _, along, middle, across, numbers = sizes
    tiles_l, tiles_k = -(-along // TILE), -(-across // TILE)
    piece = min(PIECE, numbers)
    sums = np.empty(TILE * MIXED * piece, by.dtype)
    stride, mixture = middle * across * numbers, y.size // MIXED**axes
    every = (0, 1, 2, 3, 4, 5)
    for tile in range(begin, end):
        i, t, q = tile // middle // tiles_l, tile // middle % tiles_l, tile % middle
        outputs_l = min(TILE, along - TILE * t)
        for u in range(tiles_k):
            outputs_k = min(TILE, across - TILE * u)
            to = (((i * along + TILE * t) * middle + q) * across + TILE * u) * numbers
            for j in range(0, numbers, piece):
                n, at = min(piece, numbers - j), (tile * tiles_k + u) * numbers + j
                if axes == 1:
                    for o in range(outputs_l):
                        place, others = to + o * stride + j, _others(every, mixture, at)
                        if stand_in.size:
                            _add_up(stand_in, at, y, others, by, o, found, place, n)
                        else:
                            _add_up(y, at, y, others, by, o, found, place, n)
                    continue
                for m in range(MIXED):
                    y0 = at + m * MIXED * mixture
                    others = _others(every, mixture, y0)
                    for p in range(outputs_k):
                        place = (p * MIXED + m) * piece
                        if m == 0 and stand_in.size:
                            _add_up(stand_in, at, y, others, by, p, sums, place, n)
                        else:
                            _add_up(y, y0, y, others, by, p, sums, place, n)
                for p in range(outputs_k):
                    s0 = p * MIXED * piece
                    others = _others(every, piece, s0)
                    for o in range(outputs_l):
                        place = to + o * stride + p * numbers + j
                        _add_up(sums, s0, sums, others, by, o, found, place, n)
