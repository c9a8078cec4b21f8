"""Re-ranking by k-reciprocal neighbours (Zhong et al., CVPR 2017), as OpenGait does for HID.

Two sequences are similar if they have the same neighbours.  Each sequence is described by
its reciprocal neighbours among probes and gallery, weighted by their distances and averaged
over its nearest neighbours.  The result is a weighted mean of the Jaccard distance of two
descriptions and the original distance of the embeddings.

Distances are computed three times, twice among all n sequences.  Beside a block of distances,
memory grows as n times the neighbours of a sequence (a few dozen), never as n x n.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nasgait.evaluation.distance import blocks

if TYPE_CHECKING:
    from scipy.sparse import csr_array  # at run time in functions, so that ``--help`` is light

K1, K2, OWN_SHARE = 6, 6, 0.3
"""OpenGait's settings for HID; :func:`reranked` says what they are."""

_ROWS = 32
"""Probes whose descriptions are compared at once."""

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


def reranked(
    probe: Floats,
    gallery: Floats,
    metric: str = "euc",
    k1: int = K1,
    k2: int = K2,
    own_share: float = OWN_SHARE,
) -> Iterator[tuple[slice, Floats]]:
    """Yield slices of the probes with their re-ranked distances [rows, m].

    Args:
        probe: [n, c, p].
        gallery: [m, c, p].
        metric: ``euc`` or ``cos``, the original distance.
        k1: neighbours that must be reciprocal.
        k2: neighbours, the sequence itself included, whose descriptions are averaged.
        own_share: weight of the original distance, 0..1; the rest is Jaccard distance.

    Raises the same errors as :func:`nasgait.evaluation.distance.blocks`.
    """
    everyone = np.concatenate([probe, gallery])
    near, furthest = _nearest(everyone, metric, max(k1 + 1, k2))
    chosen = _expanded(_reciprocal(near[:, : k1 + 1]), _reciprocal(near[:, : round(k1 / 2) + 1]))
    weights = _weights(everyone, metric, chosen, furthest)
    if k2 > 1:
        weights = _averaged(weights, near[:, :k2])
    described = weights[len(probe) :].T.tocsr()  # by sequence, the gallery that has it
    for part, block in blocks(probe, gallery, metric):
        mine, mixed = weights[part], own_share * (block / furthest[part, None])
        for start in range(0, len(mixed), _ROWS):
            rows = slice(start, start + _ROWS)
            mixed[rows] += (1 - own_share) * _jaccard(mine[rows], described)
        yield part, mixed


def _nearest(everyone: Floats, metric: str, count: int) -> tuple[Ints, Floats]:
    """The ``count`` nearest sequences of each, nearest first, [n, count], and its largest
    distance, [n]."""
    count = min(count, len(everyone))
    near = np.empty((len(everyone), count), dtype=np.int64)
    furthest = np.empty(len(everyone), dtype=np.float32)
    for part, block in blocks(everyone, everyone, metric):
        few = np.argpartition(block, count - 1, axis=1)[:, :count]
        order = np.argsort(np.take_along_axis(block, few, 1), axis=1, kind="stable")
        near[part] = np.take_along_axis(few, order, 1)
        furthest[part] = block.max(axis=1)
    # Where all embeddings are equal the largest distance is 0; distances are divided by it.
    return near, np.maximum(furthest, np.finfo(np.float32).tiny)


def _ones(near: Ints, chosen: NDArray[np.bool_]) -> csr_array:
    """A matrix [n, n]: in each row 1 for the chosen ones of a sequence's neighbours."""
    from scipy.sparse import csr_array

    start = np.concatenate([[0], chosen.sum(1).cumsum()])
    return csr_array((np.ones(start[-1]), near[chosen], start), (len(near), len(near)))


def _reciprocal(near: Ints) -> csr_array:
    """The neighbours of each sequence that have it among their own, 1 each, [n, n]."""
    return _ones(near, (near[near] == np.arange(len(near))[:, None, None]).any(axis=2))


def _expanded(own: csr_array, half: csr_array) -> csr_array:
    """Reciprocal neighbours of each sequence, and theirs where most of them are shared."""
    shared = (own @ half.T).multiply(own)
    shared.data = 1.0 * (3 * shared.data > 2 * half.sum(1)[shared.indices])
    shared.eliminate_zeros()
    expanded = own + shared @ half
    expanded.sort_indices()
    return expanded


def _weights(everyone: Floats, metric: str, chosen: csr_array, furthest: Floats) -> csr_array:
    """Description of each sequence: softmax of the negative distances to its neighbours."""
    weights = chosen.astype(np.float32)
    for part, block in blocks(everyone, everyone, metric):
        for i, row in zip(range(part.start, part.stop), block, strict=True):
            entries = slice(chosen.indptr[i], chosen.indptr[i + 1])
            weight = np.exp(-row[chosen.indices[entries]] / furthest[i])
            weights.data[entries] = weight / weight.sum()
    return weights


def _averaged(weights: csr_array, near: Ints) -> csr_array:
    """Mean of the rows of each sequence's nearest neighbours, itself included."""
    weights.data /= near.shape[1]
    return (_ones(near, near >= 0) @ weights).astype(np.float32)


def _jaccard(weights: csr_array, described: csr_array) -> Floats:
    """Jaccard distances [rows, m] of some sequences to the gallery; a description sums to 1."""
    from scipy.sparse import csr_array

    pairs = described[weights.indices]  # a row for each entry of ``weights``
    entries = np.repeat(weights.data, np.diff(pairs.indptr))
    shared = np.minimum(entries, pairs.data, dtype=np.float64)
    start, shape = pairs.indptr[weights.indptr], (weights.shape[0], described.shape[1])
    common = csr_array((shared, pairs.indices, start), shape).toarray()  # equal cells are summed
    return (1 - common / (2 - common)).astype(np.float32)
