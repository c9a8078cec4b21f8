"""Non-domination against comparing all pairs, as pymoo uses moocore too; crowding against pymoo."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from oracles import nondominated as oracle
from pymoo.operators.survival.rank_and_crowding.metrics import calc_crowding_distance

from nasgait.search.nondominated import crowding, fronts
from nasgait.search.pareto import minima

COARSE = st.integers(0, 6).map(float)  # many ties and equal vectors
FINE = st.floats(-1e6, 1e6, width=32)
WHOLE = st.integers(2**53 - 9, 2**53).map(float)  # the largest that floats tell apart


def populations(values):
    shapes = st.tuples(st.integers(1, 60), st.integers(1, 4))
    return arrays(np.float64, shapes, elements=values)


@settings(max_examples=200, deadline=None)
@given(st.one_of(populations(COARSE), populations(FINE)))
def test_fronts_equal_those_by_all_pairs(vectors):
    assert list(fronts(vectors)) == list(oracle.fronts(vectors))


def test_fronts_of_a_thousand_equal_those_by_all_pairs():
    for seed in range(10):
        vectors = np.random.default_rng(seed).normal(size=(1000, 3)).round(1)
        assert list(fronts(vectors)) == list(oracle.fronts(vectors))


@settings(max_examples=200, deadline=None)
@given(st.one_of(populations(COARSE), populations(FINE), populations(WHOLE)))
def test_minima_equal_those_by_all_pairs(vectors):
    vectors = list(map(tuple, vectors.astype(int).tolist() + vectors.tolist()))
    assert minima(vectors) == oracle.minima(vectors)


def test_minima_of_none_and_of_vectors_without_values():
    assert minima([]) == []
    assert minima([(), ()]) == [()]


@settings(max_examples=200, deadline=None)
@given(st.one_of(populations(COARSE), populations(FINE)))
def test_crowding_equals_pymoos(vectors):
    """In sorted order, because ties within an objective are broken by the order."""
    front = np.unique(vectors[next(fronts(vectors))], axis=0)
    expected = calc_crowding_distance(front) * front.shape[1]
    np.testing.assert_allclose(crowding(front), expected, rtol=1e-12)


def test_crowding_by_hand():
    # Ranges are 10 and 5; the third is the less crowded of the inner two.
    front = [(0, 5), (1, 4), (4, 2), (10, 0)]
    expected = [np.inf, 4 / 10 + 3 / 5, 9 / 10 + 4 / 5, np.inf]
    np.testing.assert_allclose(crowding(front), expected)
    order = [2, 0, 3, 1]
    np.testing.assert_allclose(crowding([front[i] for i in order]), [expected[i] for i in order])


def test_crowding_of_equal_vectors_counts_the_first():
    front = [(0, 5), (1, 4), (1, 4), (4, 2), (10, 0)]
    np.testing.assert_allclose(crowding(front), [np.inf, 1.0, 0, 1.7, np.inf])
    np.testing.assert_allclose(crowding([(3, 1), (3, 1), (3, 2)]), [np.inf, 0, np.inf])


def test_objective_without_differences_counts_for_nothing():
    assert list(crowding([(3, 3), (3, 3)])) == [0, 0]
    np.testing.assert_allclose(crowding([(1, 7), (2, 7), (4, 7)]), [np.inf, 1, np.inf])


def test_nothing_has_no_fronts():
    assert list(fronts([])) == []
