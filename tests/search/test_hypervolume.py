"""Hypervolume against pymoo's indicator and against counting cells."""

from itertools import product

import numpy as np
import pytest
from cost_tables import TOY
from hypothesis import given, settings
from hypothesis import strategies as st
from pymoo.indicators.hv import HV

from nasgait.config.schema import SearchConfig
from nasgait.search.budget import Budget
from nasgait.search.evolution import Evolution
from nasgait.search.hypervolume import RelativeHypervolume, hypervolume
from nasgait.search.ledger import LedgerEntry


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 4).flatmap(lambda m: st.lists(st.tuples(*[st.integers(0, 7)] * m))))
def test_equals_the_cells_that_are_covered(vectors):
    """Whole numbers: count the unit cells of the box that some vector dominates."""
    m = len(vectors[0]) if vectors else 2
    reference = (5, 6, 5, 4)[:m]
    cells = product(*map(range, reference))
    covered = sum(
        any(all(x <= c for x, c in zip(v, cell, strict=True)) for v in vectors) for cell in cells
    )
    assert hypervolume(vectors, reference) == covered


@pytest.mark.parametrize("m", [2, 3, 4, 5])
def test_equals_pymoos(m):
    for seed in range(12):
        rng = np.random.default_rng([m, seed])
        vectors = rng.random((rng.integers(1, 60), m)) * 1.2
        expected = HV(ref_point=np.ones(m))(vectors)
        assert hypervolume(map(tuple, vectors), (1.0,) * m) == pytest.approx(expected, rel=1e-9)


def test_of_a_large_front_equals_pymoos():
    """All on a sphere, so that none dominates another."""
    vectors = np.abs(np.random.default_rng(0).normal(size=(150, 3)))
    vectors = 1 - vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    expected = HV(ref_point=np.ones(3))(vectors)
    assert hypervolume(map(tuple, vectors), (1.0,) * 3) == pytest.approx(expected, rel=1e-9)


def test_at_the_reference_counts_for_nothing():
    assert hypervolume([], (1.0, 1.0)) == 0
    assert hypervolume([(1.0, 0.0), (0.5, 2.0)], (1.0, 1.0)) == 0


def coverage(limits, names):
    config = SearchConfig(objectives=names)
    return RelativeHypervolume(Evolution(Budget(TOY, limits), config))


def test_reference_is_no_rate_at_the_limit_or_the_largest_cost():
    # TOY costs from 135 to 225 MACs and from 18 to 24 params.
    assert coverage({}, ("map", "macs", "params")).reference == (0, 225, 24)
    assert coverage({"macs": 180}, ("macs", "map")).reference == (180, 0)


def test_share_of_all_that_could_be_wanted():
    share = coverage({"macs": 200}, ("map", "macs")).share
    assert share([LedgerEntry((0,), 0, {"map": 100.0, "macs": 0})]) == 1
    half = [LedgerEntry((0,), 0, {"map": 50.0, "macs": 100})]
    assert share(half) == 0.25
    assert share([*half, LedgerEntry((1,), 0, {"map": 75.0, "macs": 200})]) == 0.25
    assert share([*half, LedgerEntry((1,), 0, {"map": 75.0, "macs": 150})]) == 0.25 + 0.25**2
