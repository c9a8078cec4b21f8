"""Re-ranking against the steps of the paper, taken one by one on whole matrices."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import rerank as oracle

from nasgait.core.errors import ConfigError, DataError
from nasgait.evaluation import distance
from nasgait.evaluation.rerank import reranked


def by_hand(probe, gallery, k1, k2, share):
    """Zhong et al., in float64, with sets and full matrices."""
    x = np.concatenate([probe, gallery]).astype(float)
    gaps = np.linalg.norm(x[:, None] - x[None], axis=2).mean(2)
    gaps = gaps / gaps.max(1, keepdims=True)
    order = np.argsort(gaps, axis=1, kind="stable")
    n = len(x)

    def mutual(i, k):
        return {j for j in order[i, : k + 1] if i in order[j, : k + 1]}

    weights = np.zeros((n, n))
    for i in range(n):
        members = mutual(i, k1)
        for j in mutual(i, k1):
            theirs = mutual(j, round(k1 / 2))
            if len(theirs & mutual(i, k1)) > 2 / 3 * len(theirs):
                members |= theirs
        for j in members:
            weights[i, j] = np.exp(-gaps[i, j])
    weights /= weights.sum(1, keepdims=True)
    weights = np.stack([weights[order[i, :k2]].mean(0) for i in range(n)])
    common = np.minimum(weights[:, None], weights[None]).sum(2)
    union = np.maximum(weights[:, None], weights[None]).sum(2)
    mixed = (1 - share) * (1 - common / union) + share * gaps
    return mixed[: len(probe), len(probe) :]


def joined(*args):
    return np.concatenate([block for _, block in reranked(*args)])


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 8),
    st.integers(1, 20),
    st.integers(1, 8),
    st.integers(1, 8),
    st.sampled_from([0.0, 0.3, 1.0]),
    st.integers(0, 10**6),
)
def test_the_steps_of_the_paper(probes, others, k1, k2, share, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((probes + others, 5, 2)).astype("f4")
    ours = joined(x[:probes], x[probes:], "euc", k1, k2, share)
    assert ours.shape == (probes, others)
    np.testing.assert_allclose(ours, by_hand(x[:probes], x[probes:], k1, k2, share), atol=2e-4)


@pytest.mark.parametrize("metric", ["euc", "cos"])
@pytest.mark.parametrize("k1, k2", [(6, 6), (1, 1), (9, 3), (4, 12)])
def test_equals_sparse_matrices_written_out(metric, k1, k2):
    rng = np.random.default_rng([k1, k2])
    x = rng.standard_normal((30, 5, 2))[rng.integers(0, 30, 150)]
    x = (x + 0.5 * rng.standard_normal((150, 5, 2))).astype("f4")
    blocks = oracle.reranked(x[:70], x[70:], metric, k1, k2, 0.3)
    expected = np.concatenate([block for _, block in blocks])
    np.testing.assert_array_equal(joined(x[:70], x[70:], metric, k1, k2, 0.3), expected)


@pytest.mark.parametrize("metric", ["euc", "cos"])
def test_blocks_do_not_change_the_distances(metric, monkeypatch):
    x = np.random.default_rng(0).standard_normal((60, 5, 2)).astype("f4")
    whole = joined(x[:20], x[20:], metric)
    monkeypatch.setattr(distance, "_CELLS", 250)
    slices = [part for part, _ in reranked(x[:20], x[20:], metric)]
    assert len(slices) > 1 and slices[-1].stop == 20
    np.testing.assert_allclose(joined(x[:20], x[20:], metric), whole, atol=1e-5)


def test_the_own_distance_alone_keeps_the_order():
    x = np.random.default_rng(1).standard_normal((30, 5, 2)).astype("f4")
    plain = distance.distances(x[:8], x[8:])
    again = joined(x[:8], x[8:], "euc", 6, 6, 1.0)
    assert np.argsort(again, 1).tolist() == np.argsort(plain, 1).tolist()


def test_equal_embeddings_have_finite_distances():
    x = np.ones((6, 3, 2), np.float32)
    assert np.isfinite(joined(x[:2], x[2:])).all()
    # With more equal ones than neighbours, most have no reciprocal neighbour at all.
    x = np.ones((100, 3, 2), np.float32)
    assert np.isfinite(joined(x[:50], x[50:], "euc", 6, 1)).all()


def test_wrong_input():
    x = np.ones((4, 3, 2), np.float32)
    with pytest.raises(ConfigError, match="metric 'l1'"):
        joined(x[:2], x[2:], "l1")
    with pytest.raises(DataError, match="NaN"):
        joined(x[:2] * np.nan, x[2:])
