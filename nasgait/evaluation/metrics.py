"""Metrics of a ranked gallery: rank-k, average precision, inverse negative penalty."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nasgait.core.errors import DataError

RANKS = (1, 5, 10, 20)
"""The k for which rank-k is reported."""


@dataclass(frozen=True)
class Retrieval:
    """How well each of n probes retrieved its identity from the gallery."""

    first_hit: NDArray[np.int64]
    """[n] place of the first match in the ranked gallery, from 0; -1 if there is none."""
    ap: NDArray[np.float64]
    """[n] average precision: mean over the matches of the precision at their places."""
    inp: NDArray[np.float64]
    """[n] inverse negative penalty: matches over the place, from 1, of the last one."""

    def __len__(self) -> int:
        return len(self.first_hit)

    def __getitem__(self, chosen: NDArray[np.int64]) -> "Retrieval":
        return Retrieval(self.first_hit[chosen], self.ap[chosen], self.inp[chosen])


def retrieve(
    distance: NDArray[np.floating],
    probe_labels: Sequence[str] | NDArray[np.generic],
    gallery_labels: Sequence[str] | NDArray[np.generic],
    excluded: NDArray[np.bool_] | None = None,
) -> Retrieval:
    """Rank the gallery for each probe; equal distances keep the gallery's order.

    Args:
        distance: [n, m] of n probes to m gallery samples.
        probe_labels: identities [n].
        gallery_labels: identities [m].
        excluded: bool [n, m], pairs to leave out, as if that sample were not in the gallery.

    Raises:
        DataError: labels or mask that do not fit the distances, no probe, an empty
            gallery, or NaN among the distances.
    """
    if distance.ndim != 2 or distance.shape != (len(probe_labels), len(gallery_labels)):
        raise DataError(
            f"distances of shape {list(distance.shape)} do not fit {len(probe_labels)} probe "
            f"and {len(gallery_labels)} gallery labels"
        )
    if not distance.size:
        missing = "empty gallery" if len(probe_labels) else "no probes"
        raise DataError(f"{missing}: at least one sequence is needed")
    if np.isnan(distance).any():
        raise DataError("NaN among the distances; the embeddings are broken")
    left_out = np.zeros(distance.shape, dtype=bool) if excluded is None else excluded
    if left_out.shape != distance.shape:
        raise DataError(
            f"excluded pairs of shape {list(left_out.shape)} do not fit distances of shape "
            f"{list(distance.shape)}"
        )
    n = len(distance)
    names = np.concatenate([np.asarray(probe_labels), np.asarray(gallery_labels)])
    _, codes = np.unique(names, return_inverse=True)
    rows, columns = np.nonzero((codes[:n, None] == codes[n:]) & ~left_out)
    places = _places(distance, left_out, rows, columns)
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
    left_out: NDArray[np.bool_],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Places, from 0, of the pairs (rows, columns) in the rankings of their rows.

    Sorting the distances and looking a few up is several times faster than sorting places.
    """
    far = np.where(left_out, np.inf, distance)
    values = far[rows, columns]
    far.sort(axis=1)
    closer, upto = np.empty_like(rows), np.empty_like(rows)
    bounds = np.searchsorted(rows, np.arange(len(far) + 1))
    for row, start, stop in zip(far, bounds[:-1], bounds[1:], strict=True):
        closer[start:stop] = row.searchsorted(values[start:stop], side="left")
        upto[start:stop] = row.searchsorted(values[start:stop], side="right")
    for pair in np.flatnonzero(upto - closer > 1):
        i, j = rows[pair], columns[pair]
        equal = (distance[i, :j] == values[pair]) & ~left_out[i, :j]
        closer[pair] += np.count_nonzero(equal)
    return closer


def join(parts: Sequence[Retrieval]) -> Retrieval:
    """Concatenate the probes of several retrievals."""
    return Retrieval(
        first_hit=np.concatenate([part.first_hit for part in parts]),
        ap=np.concatenate([part.ap for part in parts]),
        inp=np.concatenate([part.inp for part in parts]),
    )


def retrieval_metrics(retrieval: Retrieval) -> dict[str, float]:
    """Return rank1, rank5, rank10, rank20, map and minp in percent of all probes.

    A probe without a match counts as a miss everywhere.
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
