"""Errors clustered by identity, paired comparisons, rank correlations.

Results of one identity's probes are correlated, so identities are resampled, not probes.
Networks evaluated on the same probes are compared probe by probe.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nasgait.core.errors import DataError


class Interval(NamedTuple):
    """An estimate with its bootstrap error, in the unit of the values."""

    mean: float
    """The estimate from the values themselves."""
    se: float
    """Standard error."""
    low: float
    """Lower end of the interval (percentile bootstrap)."""
    high: float
    """Upper end."""


def clustered_mean(
    values: ArrayLike,
    clusters: Sequence[object] | NDArray[np.generic],
    rng: np.random.Generator,
    level: float = 0.95,
    draws: int = 4000,
) -> Interval:
    """Mean of values [n] that are correlated within a cluster [n] (an identity).

    Raises:
        DataError: not one cluster for each value, NaN, or fewer than two different clusters.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or len(clusters) != len(x) or not np.isfinite(x).all():
        raise DataError(
            f"values of shape {list(x.shape)} with {len(clusters)} clusters: one finite value "
            "for each cluster entry is needed"
        )
    names, codes = np.unique(np.asarray(clusters), return_inverse=True)
    if len(names) < 2:
        raise DataError(f"{len(names)} cluster: an error needs at least two identities")
    sums = np.bincount(codes, weights=x)
    counts = np.bincount(codes)
    # A resample is fully described by how often each cluster occurs in it.
    times = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    return _interval(float(x.mean()), (times @ sums) / (times @ counts), level)


def paired_difference(
    a: ArrayLike,
    b: ArrayLike,
    clusters: Sequence[object] | NDArray[np.generic],
    rng: np.random.Generator,
    level: float = 0.95,
    draws: int = 4000,
) -> Interval:
    """Mean of a - b [n], two networks' results on the same n probes, clustered by identity.

    For a network trained several times, pass each probe's mean over the trainings.

    Raises:
        DataError: a and b of unequal shape, or as :func:`clustered_mean`.
    """
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if x.shape != y.shape:
        raise DataError(f"{list(x.shape)} and {list(y.shape)} results cannot be paired")
    return clustered_mean(x - y, clusters, rng, level, draws)


def spearman(a: ArrayLike, b: ArrayLike) -> float:
    """Spearman's rank correlation of a and b [n]; ties share their mean rank.

    NaN if either is constant.
    """
    from scipy import stats  # takes a second, which only correlations need

    return _correlation(stats.spearmanr, a, b)


def kendall(a: ArrayLike, b: ArrayLike) -> float:
    """Kendall's tau-b of a and b [n], which corrects for ties; NaN if either is constant."""
    from scipy import stats

    return _correlation(stats.kendalltau, a, b)


def _correlation(test: Callable[..., Any], a: ArrayLike, b: ArrayLike) -> float:
    x, y = _pair(a, b)
    if len(np.unique(x)) < 2 or len(np.unique(y)) < 2:
        return float("nan")  # scipy would warn
    return float(test(x, y).statistic)


def correlation_interval(
    statistic: Callable[[ArrayLike, ArrayLike], float],
    a: ArrayLike,
    b: ArrayLike,
    rng: np.random.Generator,
    level: float = 0.95,
    draws: int = 2000,
) -> Interval:
    """Bootstrap ``spearman`` or ``kendall`` over the pairs.

    Resamples in which either side is constant are drawn again.

    Raises:
        DataError: fewer than three pairs, or a constant side.
    """
    x, y = _pair(a, b)
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        raise DataError(f"{len(x)} pairs: a correlation needs three, neither side constant")
    resampled: list[float] = []
    while len(resampled) < draws:
        chosen = rng.integers(len(x), size=len(x))
        value = statistic(x[chosen], y[chosen])
        if np.isfinite(value):
            resampled.append(value)
    return _interval(statistic(x, y), np.array(resampled), level)


def chance_level(
    statistic: Callable[[ArrayLike, ArrayLike], float],
    a: ArrayLike,
    b: ArrayLike,
    rng: np.random.Generator,
    draws: int = 4000,
) -> float:
    """One-sided p-value: share of shuffles, the given order included, that correlate as much."""
    x, y = _pair(a, b)
    # Equal correlations may differ by rounding.
    observed = statistic(x, y) - 1e-12
    as_much = sum(statistic(x, rng.permutation(y)) >= observed for _ in range(draws))
    return (as_much + 1) / (draws + 1)


def _interval(estimate: float, resampled: NDArray[np.float64], level: float) -> Interval:
    """Standard error and percentile interval of resampled estimates."""
    tail = 50 * (1 - level)
    low, high = np.percentile(resampled, [tail, 100 - tail])
    return Interval(estimate, float(resampled.std(ddof=1)), float(low), float(high))


def _pair(a: ArrayLike, b: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape or not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise DataError(
            f"values of shape {list(x.shape)} and {list(y.shape)} cannot be correlated: "
            "two finite rows of equal length are needed"
        )
    return x, y
