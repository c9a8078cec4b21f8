"""Re-ranking of nasgait.evaluation.rerank with sparse matrices written out in numpy."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nasgait.evaluation.distance import blocks

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """A sparse matrix by rows: row i holds entries ``start[i]`` to ``start[i + 1]``."""

    start: Ints
    columns: Ints
    values: Floats

    def take(self, rows: Ints) -> tuple[Ints, Ints]:
        """Entries of the given rows, concatenated, and the number of entries of each row."""
        first = self.start[rows]
        counts = self.start[rows + 1] - first
        shift = np.repeat(first - (counts.cumsum() - counts), counts)
        return shift + np.arange(counts.sum()), counts


def reranked(
    probe: Floats, gallery: Floats, metric: str, k1: int, k2: int, own_share: float
) -> Iterator[tuple[slice, Floats]]:
    """Yield slices of the probes with their re-ranked distances [rows, m]."""
    everyone = np.concatenate([probe, gallery])
    near, furthest = _nearest(everyone, metric, max(k1 + 1, k2))
    chosen = _expanded(near[:, : k1 + 1], near[:, : round(k1 / 2) + 1])
    weights = _weights(everyone, metric, chosen, furthest)
    if k2 > 1:
        weights = _averaged(weights, near[:, :k2])
    described = _by_column(weights, len(probe))
    for part, block in blocks(probe, gallery, metric):
        own = block / furthest[part, None]
        rows = range(part.start, part.stop)
        jaccard = np.stack([_jaccard(weights, described, i, len(gallery)) for i in rows])
        yield part, (1 - own_share) * jaccard + own_share * own


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


def _reciprocal(near: Ints) -> NDArray[np.bool_]:
    """Whether i is among the neighbours of its own neighbours, [n, k]."""
    return (near[near] == np.arange(len(near))[:, None, None]).any(axis=2)


def _expanded(near: Ints, half: Ints) -> list[Ints]:
    """Reciprocal neighbours of each sequence, and theirs where most of them are shared."""
    own = [row[mutual] for row, mutual in zip(near, _reciprocal(near), strict=True)]
    others = [row[mutual] for row, mutual in zip(half, _reciprocal(half), strict=True)]
    expanded = []
    for members in own:
        known = set(members.tolist())
        joined = set(known)
        for candidate in members:
            theirs = others[candidate].tolist()
            if 3 * len(known.intersection(theirs)) > 2 * len(theirs):
                joined.update(theirs)
        expanded.append(np.array(sorted(joined), dtype=np.int64))
    return expanded


def _weights(everyone: Floats, metric: str, chosen: list[Ints], furthest: Floats) -> Rows:
    """Description of each sequence: softmax of the negative distances to its neighbours."""
    values = []
    for part, block in blocks(everyone, everyone, metric):
        for i, row in zip(range(part.start, part.stop), block, strict=True):
            weight = np.exp(-row[chosen[i]] / furthest[i])
            values.append(weight / weight.sum())
    start = np.cumsum([0, *map(len, chosen)])
    return Rows(start, np.concatenate(chosen), np.concatenate(values))


def _averaged(weights: Rows, near: Ints) -> Rows:
    """Mean of the rows of each sequence's nearest neighbours, itself included."""
    n, k = near.shape
    entries, counts = weights.take(near.reshape(-1))
    rows = np.repeat(np.arange(n).repeat(k), counts)
    cells, place = np.unique(rows * n + weights.columns[entries], return_inverse=True)
    values = np.bincount(place, weights.values[entries] / k).astype(np.float32)
    start = np.searchsorted(cells, np.arange(n + 1) * n)
    return Rows(start, cells % n, values)


def _by_column(weights: Rows, probes: int) -> Rows:
    """For each sequence, the gallery sequences whose description has it, numbered from 0."""
    n = len(weights.start) - 1
    rows = np.repeat(np.arange(n), np.diff(weights.start))
    gallery = rows >= probes
    columns, rows, values = weights.columns[gallery], rows[gallery], weights.values[gallery]
    order = np.argsort(columns, kind="stable")
    start = np.searchsorted(columns[order], np.arange(n + 1))
    return Rows(start, rows[order] - probes, values[order])


def _jaccard(weights: Rows, described: Rows, i: int, gallery: int) -> Floats:
    """Jaccard distances [m] of sequence i to the gallery; every description sums to 1."""
    mine = slice(weights.start[i], weights.start[i + 1])
    entries, counts = described.take(weights.columns[mine])
    shared = np.minimum(np.repeat(weights.values[mine], counts), described.values[entries])
    common = np.bincount(described.columns[entries], shared, minlength=gallery)
    return (1 - common / (2 - common)).astype(np.float32)
