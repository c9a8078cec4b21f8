"""Errors and correlations against scipy and simulation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import correlations
from scipy import stats

from nasgait.core.errors import DataError
from nasgait.evaluation.statistics import (
    chance_level,
    clustered_mean,
    correlation_interval,
    kendall,
    paired_difference,
    spearman,
)


def rng(seed=0):
    return np.random.default_rng(seed)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=12))
def test_correlations_are_those_of_their_definitions(pairs):
    a, b = np.array(pairs, dtype=float).T
    same = {"rel": 0, "abs": 1e-12, "nan_ok": True}
    assert spearman(a, b) == pytest.approx(correlations.spearman(a, b), **same)
    assert kendall(a, b) == pytest.approx(correlations.kendall(a, b), **same)
    assert math.isnan(kendall(a, b)) == (np.ptp(a) == 0 or np.ptp(b) == 0)


def test_single_member_clusters_give_the_plain_standard_error():
    values = rng().normal(3, 2, 200)
    result = clustered_mean(values, np.arange(200), rng(1))
    assert result.mean == pytest.approx(values.mean())
    assert result.se == pytest.approx(values.std() / math.sqrt(200), rel=0.05)
    low, high = stats.norm.interval(0.95, values.mean(), values.std() / math.sqrt(200))
    assert (result.low, result.high) == pytest.approx((low, high), abs=0.03)


def test_the_bootstrap_is_the_one_of_scipy():
    generator = rng()
    clusters = np.repeat(np.arange(25), generator.integers(1, 9, 25))
    values = generator.normal(size=25)[clusters] + generator.normal(size=len(clusters))
    sums, counts = np.bincount(clusters, values), np.bincount(clusters)
    theirs = stats.bootstrap(
        (sums, counts),
        lambda s, c, axis: s.sum(axis) / c.sum(axis),
        paired=True,
        vectorized=True,
        method="percentile",
        rng=rng(1),
    )
    ours = clustered_mean(values, clusters, rng(2))
    assert ours.mean == pytest.approx(values.mean())
    assert ours.se == pytest.approx(theirs.standard_error, rel=0.05)
    expected = theirs.confidence_interval
    assert (ours.low, ours.high) == pytest.approx((expected.low, expected.high), abs=0.03)


@pytest.mark.parametrize(("level", "tails"), [(0.95, (25, 975)), (0.8, (100, 900))])
def test_the_interval_cuts_equal_tails_of_the_sorted_resamples(level, tails):
    values, people = rng().normal(size=30), np.repeat(np.arange(10), 3)
    ours = clustered_mean(values, people, rng(3), level, draws=1001)
    times = rng(3).multinomial(10, [0.1] * 10, size=1001)
    means = sorted(np.concatenate([np.repeat(values[people == p], n) for p, n in enumerate(row)])
                   .mean() for row in times)  # fmt: skip
    assert (ours.low, ours.high) == pytest.approx((means[tails[0]], means[tails[1]]))
    assert ours.se == pytest.approx(np.std(means, ddof=1))


def test_copies_within_a_cluster_add_no_certainty():
    values = rng().normal(size=40)
    once = clustered_mean(values, np.arange(40), rng(1))
    often = clustered_mean(np.repeat(values, 6), np.repeat(np.arange(40), 6), rng(1))
    assert often == pytest.approx(once)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    generator = rng(5)
    clusters = np.repeat(np.arange(40), 5)
    covered = 0
    for _ in range(200):
        values = generator.normal(size=40)[clusters] + generator.normal(size=200)
        result = clustered_mean(values, clusters, generator, draws=400)
        covered += result.low <= 0 <= result.high
    assert 0.88 <= covered / 200 <= 0.99


def test_pairing_takes_the_common_part_away():
    common = rng().normal(0, 10, 300)
    a, b = common + 0.5, common + rng(1).normal(0, 0.1, 300)
    clusters = np.repeat(np.arange(100), 3)
    result = paired_difference(a, b, clusters, rng(2))
    assert result.mean == pytest.approx((a - b).mean())
    assert result.low > 0.45 and result.high < 0.55
    assert paired_difference(b, a, clusters, rng(2)).mean == pytest.approx(-result.mean)


def test_the_same_generator_gives_the_same_interval():
    values, clusters = rng().normal(size=30), np.arange(30) // 3
    assert clustered_mean(values, clusters, rng(7)) == clustered_mean(values, clusters, rng(7))


def test_clusters_may_be_names():
    result = clustered_mean([1.0, 3.0, 5.0], ["a", "b", "b"], rng())
    assert result.mean == 3 and result.low <= 3 <= result.high


def test_correlation_interval():
    generator = rng(3)
    a = generator.normal(size=60)
    b = a + generator.normal(size=60)
    ours = correlation_interval(spearman, a, b, rng(4))
    theirs = stats.bootstrap(
        (a, b),
        lambda x, y: stats.spearmanr(x, y).statistic,
        paired=True,
        vectorized=False,
        n_resamples=1000,
        method="percentile",
        rng=rng(5),
    )
    assert ours.mean == spearman(a, b)
    assert ours.se == pytest.approx(theirs.standard_error, rel=0.12)
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.05)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.05)


def test_few_pairs_with_ties_still_end():
    result = correlation_interval(kendall, [0, 0, 1], [0, 1, 1], rng(), draws=50)
    assert -1 <= result.low <= result.high <= 1


def test_chance_level_is_the_share_of_orders():
    # Of the 24 orders of four only one is perfect.
    assert chance_level(spearman, range(4), range(4), rng(), draws=4000) == pytest.approx(
        1 / 24, abs=0.012
    )
    assert chance_level(kendall, range(4), [3, 2, 1, 0], rng(), draws=100) == 1


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("correlation", [spearman, kendall])
def test_a_constant_side_correlates_with_nothing(correlation):
    assert math.isnan(correlation([1, 2, 3], [4, 4, 4]))
    assert math.isnan(correlation([4, 4, 4], [1, 2, 3]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: clustered_mean([1.0, 2.0], ["a"], rng()), "with 1 clusters"),
        (lambda: clustered_mean([1.0, math.nan], ["a", "b"], rng()), "finite"),
        (lambda: clustered_mean([[1.0], [2.0]], ["a", "b"], rng()), "values of shape \\[2, 1\\]"),
        (lambda: clustered_mean(1.0, "a", rng()), "values of shape \\[\\]"),
        (lambda: clustered_mean([1.0, 2.0], ["a", "a"], rng()), "at least two identities"),
        (lambda: paired_difference([1.0], [1.0, 2.0], ["a", "b"], rng()), "cannot be paired"),
        (lambda: spearman([1, 2], [1, 2, 3]), "cannot be correlated"),
        (lambda: spearman(1, 1), "cannot be correlated"),
        (lambda: spearman([[1, 2]], [[1, 2]]), "cannot be correlated"),
        (lambda: spearman([1, 2], [math.inf, 2]), "cannot be correlated"),
        (lambda: kendall([1, math.nan], [1, 2]), "cannot be correlated"),
        (lambda: correlation_interval(spearman, [1, 2], [1, 2], rng()), "needs three"),
        (lambda: correlation_interval(spearman, [1, 1, 1], [1, 2, 3], rng()), "constant"),
    ],
)
def test_wrong_input(call, message):
    with pytest.raises(DataError, match=message):
        call()
