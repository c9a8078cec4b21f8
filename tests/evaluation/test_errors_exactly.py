"""Bootstrap errors against all resamples counted one by one; ranks against scipy and by hand."""

from itertools import permutations, product

import numpy as np
import pytest
from scipy import stats

from nasgait.evaluation.statistics import (
    Interval,
    chance_level,
    clustered_mean,
    correlation_interval,
    kendall,
    paired_difference,
    spearman,
)

UNEQUAL = {
    "one against many": [[0.0], [9.0, 9.0, 9.0, 9.0, 9.0]],
    "three": [[1.0, 2.0, 6.0], [10.0], [4.0, 4.0]],
    "four": [[0.0, 0.0, 0.0, 0.0], [1.0], [1.0, 0.0], [5.0, 7.0]],
}


def rng(seed=0):
    return np.random.default_rng(seed)


def every_resample(groups):
    """The mean of every draw of as many identities as there are, with repetition."""
    return [
        float(np.mean([value for group in drawn for value in group]))
        for drawn in product(groups, repeat=len(groups))
    ]


def flat(groups):
    values = [value for group in groups for value in group]
    return values, [f"id{i}" for i, group in enumerate(groups) for _ in group]


@pytest.mark.parametrize("groups", UNEQUAL.values(), ids=UNEQUAL)
@pytest.mark.parametrize("level", [0.6, 0.8, 0.95])
def test_the_error_is_that_of_all_resamples(groups, level):
    values, names = flat(groups)
    expected = every_resample(groups)
    found = clustered_mean(values, names, rng(), level, draws=100_000)
    assert found.mean == pytest.approx(np.mean(values))
    assert found.se == pytest.approx(np.std(expected), rel=0.02)
    tails = [(1 - level) / 2, 1 - (1 - level) / 2]
    assert [found.low, found.high] == pytest.approx(
        np.quantile(expected, tails, method="inverted_cdf")
    )


def test_two_identities_by_hand():
    """Means of resamples: 0, 7.5 (twice) and 9, so the variance is 12.375."""
    found = clustered_mean([0.0, 9.0, 9.0, 9.0, 9.0, 9.0], list("abbbbb"), rng(), draws=100_000)
    assert found.mean == 7.5 and (found.low, found.high) == (0.0, 9.0)
    assert found.se == pytest.approx(12.375**0.5, rel=0.02)


def test_a_wider_level_is_a_wider_interval():
    values, names = rng(1).normal(size=60), np.arange(60) // 2
    half, most = (clustered_mean(values, names, rng(2), level) for level in (0.5, 0.99))
    assert most.low < half.low < half.mean < half.high < most.high
    assert half.se == most.se


def test_one_probe_more_in_an_identity_weighs_by_its_number():
    """The estimate is over probes; identities of one probe do not weigh as much as those of two."""
    assert clustered_mean([0.0, 3.0, 3.0], ["a", "b", "b"], rng()).mean == 2.0
    assert clustered_mean([0.0, 0.0, 3.0], ["a", "a", "b"], rng()).mean == 1.0


def test_the_sign_of_a_paired_difference():
    labels = ["a", "a", "b", "b"]
    better = paired_difference([5.0, 5.0, 7.0, 7.0], [1.0, 1.0, 1.0, 1.0], labels, rng())
    assert (better.mean, better.low, better.high) == (5.0, 4.0, 6.0)
    worse = paired_difference([1.0, 1.0, 1.0, 1.0], [5.0, 5.0, 7.0, 7.0], labels, rng())
    assert (worse.mean, worse.low, worse.high) == (-5.0, -6.0, -4.0)


def test_no_difference_is_certain():
    same = paired_difference([3.0, 4.0], [3.0, 4.0], ["a", "b"], rng())
    assert same == Interval(0.0, 0.0, 0.0, 0.0)


TIED = [
    ([1, 2, 2, 3], [1, 2, 3, 4]),
    ([1, 1, 2, 2], [4, 3, 3, 1]),
    ([5, 5, 5, 1, 9], [2, 2, 1, 1, 1]),
]


@pytest.mark.parametrize(("a", "b"), TIED)
def test_ranks_with_ties(a, b):
    assert spearman(a, b) == pytest.approx(stats.spearmanr(a, b).statistic)
    assert kendall(a, b) == pytest.approx(stats.kendalltau(a, b, variant="b").statistic)


def test_correlations_by_hand():
    # Of six pairs one is turned round: (5 - 1) / 6; squared rank gaps sum to 2: 1 - 12 / 60.
    assert kendall([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx(4 / 6)
    assert spearman([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx(0.8)
    # Two pairs agree and one is tied on one side: 2 / sqrt(2 * 3).
    assert kendall([1, 1, 2], [1, 2, 3]) == pytest.approx(2 / 6**0.5)
    assert kendall([1, 2, 3], [3, 2, 1]) == spearman([1, 2, 3], [30, 20, 10]) == -1


def every_order(statistic, a, b):
    """The share of all orders of b that correlate as much as the one given."""
    given = statistic(a, b).statistic - 1e-9
    return np.mean([statistic(a, order).statistic >= given for order in permutations(b)])


@pytest.mark.parametrize(
    ("a", "b"), [((1, 2, 3, 4, 5), (1, 3, 2, 5, 4)), ((1, 2, 3, 4), (2, 2, 5, 5))]
)
def test_chance_is_the_share_of_all_orders(a, b):
    for ours, theirs in ((spearman, stats.spearmanr), (kendall, stats.kendalltau)):
        expected = every_order(theirs, a, b)
        assert chance_level(ours, a, b, rng(), draws=4000) == pytest.approx(expected, abs=0.03)


def test_the_smallest_chance_counts_the_order_given():
    """Of 8! orders none drawn here is as good, so one of 100 is left: the one given."""
    assert chance_level(spearman, range(8), range(8), rng(), draws=99) == 0.01


def test_agreement_that_is_clear():
    rising = np.arange(20.0)
    certain = correlation_interval(spearman, rising, 3 * rising + 1, rng(), draws=200)
    assert certain.mean == pytest.approx(1) and certain.low == pytest.approx(1)
    assert certain.high == pytest.approx(1) and certain.se == pytest.approx(0, abs=1e-9)
    against = correlation_interval(kendall, rising, -rising, rng(), draws=200)
    assert (against.mean, against.low, against.high) == pytest.approx((-1, -1, -1))
    unrelated = correlation_interval(kendall, rising, np.tile([1.0, 2.0], 10), rng(), draws=500)
    assert unrelated.low < 0 < unrelated.high


def test_the_interval_of_a_correlation_is_that_of_all_resamples():
    a, b = np.array([1.0, 2.0, 3.0, 4.0]), np.array([2.0, 1.0, 4.0, 3.0])
    values = []
    for chosen in product(range(4), repeat=4):
        x, y = a[list(chosen)], b[list(chosen)]
        if np.ptp(x) and np.ptp(y):
            values.append(stats.kendalltau(x, y).statistic)
    found = correlation_interval(kendall, a, b, rng(), level=0.8, draws=8000)
    assert found.mean == pytest.approx(1 / 3)
    assert found.se == pytest.approx(np.std(values), rel=0.03)
    tails = np.quantile(values, [0.1, 0.9], method="inverted_cdf")
    assert [found.low, found.high] == pytest.approx(tails, abs=0.03)
