"""Distances against the published ones and float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasgait.core.errors import ConfigError, DataError
from nasgait.evaluation import distance
from nasgait.evaluation.distance import blocks, check_embeddings, distances


def exact(x, y, metric):
    """Mean over parts in float64, pair by pair."""
    x, y = x.astype(float), y.astype(float)
    if metric == "euc":
        return np.linalg.norm(x[:, None] - y[None], axis=2).mean(2)
    x, y = x / np.linalg.norm(x, axis=1)[:, None], y / np.linalg.norm(y, axis=1)[:, None]
    return 1 - np.einsum("ncp,mcp->nmp", x, y).mean(2)


@pytest.mark.parametrize("metric", ["euc", "cos"])
def test_published_distances(shared, metric):
    stored = np.load(shared / "reference" / "evaluators.npz")
    ours = distances(stored["dist/x"], stored["dist/y"], metric)
    assert ours.dtype == np.float32
    published = stored[f"dist/{metric}"].copy()
    if metric == "euc":
        # The first pair is equal: there is the root of rounding noise, 3e-4 as published.
        assert max(ours[0, 0], published[0, 0]) < 1e-3
        published[0, 0] = ours[0, 0]
    np.testing.assert_allclose(ours, published, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("metric", ["euc", "cos"])
@settings(deadline=None, max_examples=30)
@given(
    st.integers(1, 9), st.integers(1, 9), st.integers(1, 5), st.integers(1, 4), st.integers(0, 99)
)
def test_against_float64(metric, n, m, c, p, seed):
    rng = np.random.default_rng(seed)
    x, y = (rng.standard_normal((k, c, p)).astype("f4") + 1 for k in (n, m))
    np.testing.assert_allclose(distances(x, y, metric), exact(x, y, metric), atol=2e-5)


def test_a_large_common_offset_cancels():
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((k, 8, 2)) for k in (5, 300))
    x, y = (x + 1000).astype("f4"), (y + 1000).astype("f4")
    np.testing.assert_allclose(distances(x, y), exact(x, y, "euc"), rtol=1e-4)


def test_blocks_are_the_whole(monkeypatch):
    rng = np.random.default_rng(1)
    x, y = (rng.standard_normal((k, 4, 3)).astype("f4") for k in (10, 7))
    whole = distances(x, y)
    monkeypatch.setattr(distance, "_CELLS", 21)
    parts = list(blocks(x, y))
    assert [part for part, _ in parts] == [slice(0, 3), slice(3, 6), slice(6, 9), slice(9, 10)]
    np.testing.assert_allclose(np.concatenate([block for _, block in parts]), whole, atol=1e-6)


@pytest.mark.parametrize(
    ("embeddings", "message"),
    [
        (np.zeros((3, 4)), r"shape \[3, 4\] is not"),
        (np.zeros((0, 4, 2)), "each at least 1"),
        (np.full((3, 4, 2), np.nan), "NaN or infinite in 3 of 3 sequences, first in number 0"),
        (np.pad([[[np.inf]]], ((2, 0), (0, 0), (0, 0))), "in 1 of 3 sequences, first in number 2"),
    ],
)
def test_broken_embeddings(embeddings, message):
    with pytest.raises(DataError, match=message):
        check_embeddings(embeddings)


def test_what_does_not_fit():
    x = np.ones((2, 3, 4), np.float32)
    with pytest.raises(ConfigError, match="metric 'l1' is unknown, known are euc, cos"):
        distances(x, x, "l1")
    with pytest.raises(DataError, match="same network"):
        distances(x, np.ones((2, 3, 5), np.float32))
