"""What a ranked gallery is worth: rank-k, average precision, inverse negative penalty."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nasgait.core.errors import DataError

RANKS = (1, 5, 10, 20)
"""The k for which rank-k is reported."""


@dataclass(frozen=True)
class Retrieval:
    """How well each of n probes found its identity in the gallery."""

    first_hit: NDArray[np.int64]
    """[n] place of the first right gallery sample, from 0; -1 if the gallery has none."""
    ap: NDArray[np.float64]
    """[n] average precision: mean over the right samples of the precision at their places."""
    inp: NDArray[np.float64]
    """[n] inverse negative penalty: right samples over the place, from 1, of the last one."""

    def __len__(self) -> int:
        return len(self.first_hit)

    def __getitem__(self, chosen: NDArray[np.int64]) -> "Retrieval":
        return Retrieval(self.first_hit[chosen], self.ap[chosen], self.inp[chosen])


def retrieve(
    distance: NDArray[np.floating],
    probe_labels: Sequence[str] | NDArray[np.generic],
    gallery_labels: Sequence[str] | NDArray[np.generic],
    exclude_self: bool = False,
    excluded: NDArray[np.bool_] | None = None,
) -> Retrieval:
    """Rank the gallery for each probe; equal distances keep the gallery's order.

    Args:
        distance: [n, m] of n probes to m gallery samples.
        probe_labels: identities [n].
        gallery_labels: identities [m].
        exclude_self: probe i and gallery sample i are the same and never meet (n = m).
        excluded: bool [n, m], further pairs that do not count, as if not in the gallery.

    Raises:
        DataError: labels or mask that do not fit the distances, no probe, an empty
            gallery, or NaN among the distances.
    """
    _check(distance, probe_labels, gallery_labels, exclude_self, excluded)
    n = len(distance)
    names = np.concatenate([np.asarray(probe_labels), np.asarray(gallery_labels)])
    _, codes = np.unique(names, return_inverse=True)
    barred = np.zeros(distance.shape, dtype=bool) if excluded is None else excluded
    if exclude_self:
        barred = barred | np.eye(n, dtype=bool)
    rows, columns = np.nonzero((codes[:n, None] == codes[n:]) & ~barred)
    places = _places(distance, barred, rows, columns)
    places = places[np.lexsort((places, rows))]
    right = np.bincount(rows, minlength=n)
    end = right.cumsum()
    before = np.arange(len(rows)) - (end - right)[rows]
    any_right = np.maximum(right, 1)
    first, last = np.full(n, -1), np.zeros(n, dtype=np.int64)
    found = right > 0
    first[found], last[found] = places[(end - right)[found]], places[end[found] - 1]
    return Retrieval(
        first_hit=first,
        ap=np.bincount(rows, (before + 1) / (places + 1), minlength=n) / any_right,
        inp=right / (last + 1),
    )


def _places(
    distance: NDArray[np.floating],
    barred: NDArray[np.bool_],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Places, from 0, of the pairs (rows, columns) among the pairs of their row not barred.

    To sort plain numbers and look a few up is several times faster than to sort places.
    """
    far = np.where(barred, np.inf, distance)
    values = far[rows, columns]
    far.sort(axis=1)
    closer, upto = np.empty_like(rows), np.empty_like(rows)
    bounds = np.searchsorted(rows, np.arange(len(far) + 1))
    for row, start, stop in zip(far, bounds[:-1], bounds[1:], strict=True):
        closer[start:stop] = row.searchsorted(values[start:stop], side="left")
        upto[start:stop] = row.searchsorted(values[start:stop], side="right")
    for pair in np.flatnonzero(upto - closer > 1):
        i, j = rows[pair], columns[pair]
        equal = (distance[i, :j] == values[pair]) & ~barred[i, :j]
        closer[pair] += np.count_nonzero(equal)
    return closer


def join(parts: Sequence[Retrieval]) -> Retrieval:
    """Put the probes of several retrievals one after another."""
    return Retrieval(
        first_hit=np.concatenate([part.first_hit for part in parts]),
        ap=np.concatenate([part.ap for part in parts]),
        inp=np.concatenate([part.inp for part in parts]),
    )


def retrieval_metrics(retrieval: Retrieval) -> dict[str, float]:
    """Return rank1, rank5, rank10, rank20, map and minp in percent of all probes.

    A probe whose identity the gallery lacks counts as a miss everywhere.
    """
    curve = cmc(retrieval, max(RANKS))
    table = {f"rank{k}": float(curve[k - 1]) for k in RANKS}
    table["map"] = 100 * float(retrieval.ap.mean())
    table["minp"] = 100 * float(retrieval.inp.mean())
    return table


def cmc(retrieval: Retrieval, top: int = 20) -> NDArray[np.float64]:
    """Return rank-1 to rank-``top`` in percent, [top]: the cumulative match curve."""
    first = retrieval.first_hit
    counts = np.bincount(first[(first >= 0) & (first < top)], minlength=top)
    return 100 * counts.cumsum() / len(first)


def _check(
    distance: NDArray[np.floating],
    probe_labels: Sequence[str] | NDArray[np.generic],
    gallery_labels: Sequence[str] | NDArray[np.generic],
    exclude_self: bool,
    excluded: NDArray[np.bool_] | None,
) -> None:
    """Raise DataError for a question without an answer."""
    if distance.ndim != 2 or distance.shape != (len(probe_labels), len(gallery_labels)):
        raise DataError(
            f"distances of shape {list(distance.shape)} do not fit {len(probe_labels)} probe "
            f"and {len(gallery_labels)} gallery labels"
        )
    if not len(probe_labels):
        raise DataError("no probes: at least one sequence must be looked for")
    if not len(gallery_labels):
        raise DataError("empty gallery: at least one sequence must be there to be found")
    if np.isnan(distance).any():
        raise DataError("NaN among the distances; the embeddings are broken")
    if exclude_self and distance.shape[0] != distance.shape[1]:
        raise DataError("exclude_self: probes and gallery must be the same sequences")
    if excluded is not None and excluded.shape != distance.shape:
        raise DataError(
            f"excluded pairs of shape {list(excluded.shape)} do not fit distances of shape "
            f"{list(distance.shape)}"
        )
