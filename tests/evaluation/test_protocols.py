"""Protocols against the published results and by hand."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasgait.errors import ConfigError, DataError
from nasgait.evaluation import distance
from nasgait.evaluation.protocols import evaluate, judge, leave_one_out


@pytest.fixture(scope="module")
def grew(shared):
    stored = np.load(shared / "reference" / "evaluators.npz")
    columns = ("labels", "types", "views")
    return stored["grew/embeddings"], *(stored[f"grew/{name}"].tolist() for name in columns)


@pytest.mark.parametrize("metric", ["euc", "cos"])
@pytest.mark.parametrize("source", ["evaluators", "evaluators_sposgait"])
def test_grew_as_published(shared, grew, metric, source):
    record = json.loads((shared / "reference" / f"{source}.json").read_text())
    expected = record["results"][f"grew/{metric}/real_scene"]
    outcome = judge("grew", *grew, metric)
    table = outcome.rates()
    assert table == evaluate("grew", *grew, metric)
    assert table["rank1_local"] == expected["result"]["scalar/test_accuracy/Rank-1"]
    assert table["rank5_local"] == expected["result"]["scalar/test_accuracy/Rank-5"]
    assert outcome.cmc().round(2).tolist() == expected["cmc_rank1_to_20"]
    keys = ["rank1", "rank5", "rank10", "rank20", "map", "minp"]
    assert list(table) == [f"{key}_local" for key in keys]


def test_grew_tells_each_probe(grew):
    outcome = judge("grew", *grew)
    types = np.array(grew[2])
    assert (types[outcome.probes] == "02").all() and len(outcome.probes) == 30
    assert outcome.labels.tolist() == [grew[1][i] for i in outcome.probes]
    assert len(outcome.retrieval) == 30


def test_blocks_do_not_change_the_outcome(grew, monkeypatch):
    whole = judge("grew", *grew).retrieval
    monkeypatch.setattr(distance, "_CELLS", 100)
    assert judge("grew", *grew).retrieval.first_hit.tolist() == whole.first_hit.tolist()


def by_hand(embeddings, labels, members):
    """Average precision of each member among the other members, by sorting."""
    scores = {}
    for i in members:
        others = [j for j in members if j != i]
        gaps = np.linalg.norm(embeddings[others] - embeddings[i], axis=1).mean(1)
        hits = [labels[others[k]] == labels[i] for k in np.argsort(gaps)]
        right = [place for place, hit in enumerate(hits, 1) if hit]
        if right:
            scores[i] = np.mean([(k + 1) / place for k, place in enumerate(right)])
    return scores


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 6), st.integers(2, 5), st.integers(0, 10**6))
def test_leave_one_out_by_hand(ids, gallery_ids, seed):
    rng = np.random.default_rng(seed)
    labels = np.repeat([f"{i:02d}" for i in range(ids)], rng.integers(1, 4, ids)).tolist()
    labels += ["00"] * 2
    rng.shuffle(labels)
    embeddings = rng.standard_normal((len(labels), 3, 2)).astype("f4")
    outcome = leave_one_out(embeddings, labels, gallery_ids=gallery_ids)
    names = sorted(set(labels))
    expected = {}
    for group in np.array_split(names, -(-len(names) // gallery_ids)):
        members = [i for i, label in enumerate(labels) if label in group]
        expected |= by_hand(embeddings, labels, members)
    assert outcome.probes.tolist() == sorted(expected)
    np.testing.assert_allclose(outcome.retrieval.ap, [expected[i] for i in outcome.probes])


def test_leave_one_out_through_judge():
    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((24, 4, 2)).astype("f4")
    labels = [f"{i // 3}" for i in range(24)]
    blank = [""] * 24
    judged = judge("leave-one-out", embeddings, labels, blank, blank, gallery_ids=4)
    direct = leave_one_out(embeddings, labels, gallery_ids=4)
    assert judged.rates() == direct.rates()
    assert set(judged.rates()) == {"rank1", "rank5", "rank10", "rank20", "map", "minp"}
    assert judged.labels.tolist() == labels


def test_a_single_sequence_is_no_probe_but_stays_in_the_gallery():
    embeddings = np.array([0, 1, 0.4]).reshape(3, 1, 1)
    outcome = leave_one_out(embeddings, ["a", "a", "b"])
    assert outcome.probes.tolist() == [0, 1]
    assert outcome.retrieval.first_hit.tolist() == [1, 1]


def test_embeddings_apart_are_all_found():
    labels = [f"{i // 2}" for i in range(10)]
    embeddings = np.array([float(label) for label in labels]).reshape(-1, 1, 1)
    assert set(leave_one_out(embeddings, labels).rates().values()) == {100.0}


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        ({"protocol": "gerw"}, ConfigError, "protocol 'gerw' is unknown, known are grew"),
        ({"metric": "l1"}, ConfigError, "metric 'l1'"),
        ({"labels": ["a"]}, DataError, "1 labels for 4 embeddings"),
        ({"types": ["01"]}, DataError, "1 types for 4 embeddings"),
        ({"views": []}, DataError, "0 views for 4 embeddings"),
        ({"types": ["01"] * 4}, DataError, "no probe among 4 sequences, whose types are 01"),
        ({"types": ["02"] * 4}, DataError, "no gallery sequence among 4"),
        ({"embeddings": np.full((4, 2, 1), np.nan)}, DataError, "NaN"),
        ({"embeddings": np.zeros((4, 2))}, DataError, "is not"),
    ],
)
def test_wrong_input(change, error, told):
    given_ = {
        "protocol": "grew",
        "embeddings": np.zeros((4, 2, 1), np.float32),
        "labels": ["a", "b", "a", "b"],
        "types": ["01", "01", "02", "02"],
        "views": ["00"] * 4,
    }
    with pytest.raises(error, match=told):
        evaluate(**(given_ | change))


@pytest.mark.parametrize("labels", [["a", "a", "a"], ["a", "b", "c"]])
def test_leave_one_out_needs_two_identities_one_of_them_twice(labels):
    with pytest.raises(DataError, match="it needs two identities"):
        leave_one_out(np.zeros((3, 1, 1), np.float32), labels)


def test_leave_one_out_needs_galleries_of_two():
    with pytest.raises(ConfigError, match="gallery_ids: must be at least 2, not 1"):
        leave_one_out(np.zeros((3, 1, 1), np.float32), ["a", "a", "b"], gallery_ids=1)
