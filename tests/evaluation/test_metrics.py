"""Rank-k and mean average precision against counting by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasgait.core.errors import DataError
from nasgait.evaluation.metrics import Retrieval, cmc, join, retrieval_metrics, retrieve


def count(row, probe, gallery, admitted):
    """First hit, AP and INP of one probe, going down its ranked list."""
    ranked = sorted((d, j) for j, d in enumerate(row) if admitted[j])
    right = [place for place, (_, j) in enumerate(ranked, 1) if gallery[j] == probe]
    if not right:
        return -1, 0.0, 0.0
    precisions = [(k + 1) / place for k, place in enumerate(right)]
    return right[0] - 1, sum(precisions) / len(right), len(right) / right[-1]


@st.composite
def questions(draw):
    n, m = draw(st.integers(1, 6)), draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    # Few distinct distances, so that there are ties.
    distance = rng.integers(0, 6, (n, m)).astype(np.float32)
    probe, gallery = (rng.choice(["a", "b", "c"], k) for k in (n, m))
    return distance, probe, gallery, rng.random((n, m)) < 0.3


@settings(deadline=None)
@given(questions())
def test_against_counting(question):
    distance, probe, gallery, excluded = question
    found = retrieve(distance, probe, gallery, excluded=excluded)
    for i in range(len(probe)):
        expected = count(distance[i], probe[i], gallery, ~excluded[i])
        assert (found.first_hit[i], found.ap[i], found.inp[i]) == pytest.approx(expected)


@settings(deadline=None)
@given(st.integers(2, 10), st.integers(0, 10**6))
def test_a_sample_is_no_match_of_itself(n, seed):
    rng = np.random.default_rng(seed)
    distance = rng.random((n, n))
    labels = rng.choice(["a", "b", "c"], n)
    found = retrieve(distance, labels, labels, excluded=np.eye(n, dtype=bool))
    for i in range(n):
        expected = count(distance[i], labels[i], labels, np.arange(n) != i)
        assert (found.first_hit[i], found.ap[i], found.inp[i]) == pytest.approx(expected)


def test_published_ranking(shared):
    import json

    stored = np.load(shared / "reference" / "evaluators.npz")
    record = json.loads((shared / "reference" / "evaluators.json").read_text())["results"]["rank"]
    expected = record["evaluate_rank"]
    found = retrieve(stored["rank/dist"], stored["rank/p_lbl"], stored["rank/g_lbl"])
    # The published function leaves out the probes that have no match.
    found = found[np.flatnonzero(found.first_hit >= 0)]
    np.testing.assert_allclose(found.ap, expected["AP"])
    np.testing.assert_allclose(found.inp, expected["INP"])
    np.testing.assert_allclose(cmc(found, 25) / 100, expected["cmc"], rtol=1e-6)


def test_published_ranking_across_cameras(shared):
    import json

    stored = np.load(shared / "reference" / "evaluators.npz")
    record = json.loads((shared / "reference" / "evaluators.json").read_text())["results"]["rank"]
    same_camera = stored["rank/p_cam"][:, None] == stored["rank/g_cam"]
    same_label = stored["rank/p_lbl"][:, None] == stored["rank/g_lbl"]
    found = retrieve(
        stored["rank/dist"],
        stored["rank/p_lbl"],
        stored["rank/g_lbl"],
        excluded=same_camera & same_label,
    )
    expected = record["evaluate_many"]
    matched = found[np.flatnonzero(found.first_hit >= 0)]
    np.testing.assert_allclose(cmc(matched, 10) / 100, expected["cmc"], rtol=1e-6)
    np.testing.assert_allclose(matched.ap.mean(), expected["mAP"])
    np.testing.assert_allclose(matched.inp.mean(), expected["mINP"])


def test_metrics_and_cmc_by_hand():
    found = Retrieval(
        np.array([0, 4, 19, 20, -1]),
        np.array([1.0, 0.2, 0.05, 0.04, 0.0]),
        np.array([1.0, 0.2, 0.05, 0.04, 0.0]),
    )
    table = retrieval_metrics(found)
    assert list(table) == ["rank1", "rank5", "rank10", "rank20", "map", "minp"]
    assert [table[key] for key in list(table)[:4]] == [20, 40, 40, 60]
    assert table["map"] == pytest.approx(25.8)
    curve = cmc(found)
    assert curve.shape == (20,) and curve[[0, 3, 4, 18, 19]].tolist() == [20, 20, 40, 40, 60]


def test_join_and_choose():
    one = Retrieval(np.array([0, 1]), np.array([1.0, 0.5]), np.array([1.0, 0.5]))
    both = join([one, one])
    assert len(both) == 4
    assert both[np.array([3, 0])].first_hit.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("shape", "probes", "gallery", "message"),
    [
        ((2, 3), "ab", "abcd", "do not fit 2 probe and 4 gallery labels"),
        ((0, 3), "", "abc", "no probes"),
        ((2, 0), "ab", "", "empty gallery"),
    ],
)
def test_wrong_shapes(shape, probes, gallery, message):
    with pytest.raises(DataError, match=message):
        retrieve(np.zeros(shape), list(probes), list(gallery))


def test_other_wrong_input():
    with pytest.raises(DataError, match="NaN among the distances"):
        retrieve(np.array([[np.nan]]), ["a"], ["a"])
    with pytest.raises(DataError, match="excluded pairs of shape"):
        retrieve(np.zeros((1, 2)), ["a"], ["a", "b"], excluded=np.zeros((2, 1), bool))
