"""Protocols against the published results and by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasgait.core.errors import ConfigError, DataError
from nasgait.evaluation import distance
from nasgait.evaluation.evaluation_set import evaluation_set, unembedded
from nasgait.evaluation.protocols import PROTOCOLS, evaluate
from nasgait.evaluation.protocols.leave_one_out import leave_one_out


@pytest.fixture(scope="module")
def grew(shared):
    stored = np.load(shared / "reference" / "evaluators.npz")
    columns = ("labels", "types", "views")
    return stored["grew/embeddings"], *(stored[f"grew/{name}"].tolist() for name in columns)


def test_grew_has_local_metrics_only(grew):
    keys = ["rank1", "rank5", "rank10", "rank20", "map", "minp"]
    assert list(evaluate("grew", *grew)) == [f"{key}_local" for key in keys]


def test_grew_gives_the_result_of_each_probe(grew):
    outcome = PROTOCOLS["grew"].evaluate(evaluation_set(*grew))
    types = np.array(grew[2])
    assert (types[outcome.probes] == "02").all() and len(outcome.probes) == 30
    assert outcome.labels.tolist() == [grew[1][i] for i in outcome.probes]
    assert len(outcome.retrieval) == 30


def test_blocks_do_not_change_the_outcome(grew, monkeypatch):
    whole = PROTOCOLS["grew"].evaluate(evaluation_set(*grew)).retrieval
    monkeypatch.setattr(distance, "_CELLS", 100)
    assert (
        PROTOCOLS["grew"].evaluate(evaluation_set(*grew)).retrieval.first_hit.tolist()
        == whole.first_hit.tolist()
    )


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


def test_leave_one_out_by_its_name():
    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((24, 4, 2)).astype("f4")
    labels = [f"{i // 3}" for i in range(24)]
    blank = [""] * 24
    named = PROTOCOLS["leave-one-out"].evaluate(
        evaluation_set(embeddings, labels, blank, blank, gallery_ids=4)
    )
    direct = leave_one_out(embeddings, labels, gallery_ids=4)
    assert named.metrics() == direct.metrics()
    assert set(named.metrics()) == {"rank1", "rank5", "rank10", "rank20", "map", "minp"}
    assert named.labels.tolist() == labels


def test_a_single_sequence_is_no_probe_but_stays_in_the_gallery():
    embeddings = np.array([0, 1, 0.4]).reshape(3, 1, 1)
    outcome = leave_one_out(embeddings, ["a", "a", "b"])
    assert outcome.probes.tolist() == [0, 1]
    assert outcome.retrieval.first_hit.tolist() == [1, 1]


def test_embeddings_apart_are_all_found():
    labels = [f"{i // 2}" for i in range(10)]
    embeddings = np.array([float(label) for label in labels]).reshape(-1, 1, 1)
    assert set(leave_one_out(embeddings, labels).metrics().values()) == {100.0}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"protocol": "gerw"},
            ConfigError,
            "protocol 'gerw': did you mean 'grew'\\? known are leave-one-out, casia-b,",
        ),
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
def test_wrong_input(change, error, message):
    given_ = {
        "protocol": "grew",
        "embeddings": np.zeros((4, 2, 1), np.float32),
        "labels": ["a", "b", "a", "b"],
        "types": ["01", "01", "02", "02"],
        "views": ["00"] * 4,
    }
    with pytest.raises(error, match=message):
        evaluate(**(given_ | change))


@pytest.mark.parametrize("labels", [["a", "a", "a"], ["a", "b", "c"]])
def test_leave_one_out_needs_two_identities_one_of_them_twice(labels):
    with pytest.raises(DataError, match="it needs two identities"):
        leave_one_out(np.zeros((3, 1, 1), np.float32), labels)


def test_leave_one_out_needs_galleries_of_two():
    with pytest.raises(ConfigError, match="gallery_ids: must be at least 2, not 1"):
        leave_one_out(np.zeros((3, 1, 1), np.float32), ["a", "a", "b"], gallery_ids=1)


def gait3d(seed=0, ids=6):
    """Random embeddings, and every third sequence a probe; identity 0 is no probe's match."""
    rng = np.random.default_rng(seed)
    labels = [f"{i // 3:04d}" for i in range(3 * ids)]
    types = [f"camid{i % 3}_videoid{i % 2}" for i in range(3 * ids)]
    views = [f"seq{i % 2}" for i in range(3 * ids)]
    labels[1] = labels[2] = "9999"
    embeddings = rng.standard_normal((3 * ids, 4, 2)).astype("f4")
    keys = ["-".join(names) for names in zip(labels, types, views, strict=True)]
    return (embeddings, labels, types, views), keys[::3]


@pytest.mark.parametrize("seed", range(3))
def test_gait3d_by_hand(seed):
    known, probes = gait3d(seed)
    embeddings, labels = known[0].astype(float), known[1]
    chosen = range(0, len(labels), 3)
    gallery = [i for i in range(len(labels)) if i not in chosen]
    scores = {}
    for i in chosen:
        gaps = np.linalg.norm(embeddings[gallery] - embeddings[i], axis=1).mean(1)
        hits = [labels[gallery[k]] == labels[i] for k in np.argsort(gaps)]
        right = [place for place, hit in enumerate(hits, 1) if hit]
        if right:
            precision = np.mean([(k + 1) / place for k, place in enumerate(right)])
            scores[i] = (right[0], precision, len(right) / right[-1])
    outcome = PROTOCOLS["gait3d"].evaluate(evaluation_set(*known, probes=probes))
    assert outcome.probes.tolist() == list(scores) and 0 not in scores
    first, precision, penalty = map(np.array, zip(*scores.values(), strict=True))
    table = outcome.metrics()
    assert table["rank1"] == pytest.approx(100 * np.mean(first <= 1))
    assert table["rank5"] == pytest.approx(100 * np.mean(first <= 5))
    assert table["map"] == pytest.approx(100 * precision.mean())
    assert table["minp"] == pytest.approx(100 * penalty.mean())
    assert outcome.summary() == table


def test_gait3d_needs_its_probes(caplog):
    known, probes = gait3d()
    for missing in (None, []):
        with pytest.raises(ConfigError, match="gait3d needs the list of its probes"):
            evaluate("gait3d", *known, probes=missing)
    with pytest.raises(DataError, match=r"none of the 1 listed probes \(e.g. x-y-z\)"):
        evaluate("gait3d", *known, probes=["x-y-z"])
    with pytest.raises(DataError, match="has the identity of no probe"):
        evaluate("gait3d", *known, probes=probes[:1])
    everyone = ["-".join(names) for names in zip(*known[1:], strict=True)]
    with pytest.raises(DataError, match="no gallery sequence"):
        evaluate("gait3d", *known, probes=everyone)
    assert evaluate("gait3d", *known, probes=[*probes, "a-b-c"]) == evaluate(
        "gait3d", *known, probes=probes
    )
    assert "1 of 7 listed probes are not among the sequences, e.g. a-b-c" in caplog.text


def test_reranking_changes_the_order_only(grew):
    plain, again = (
        PROTOCOLS["grew"].evaluate(evaluation_set(*grew)),
        PROTOCOLS["grew"].evaluate(evaluation_set(*grew, rerank=True)),
    )
    assert plain.probes.tolist() == again.probes.tolist()
    assert plain.retrieval.ap.tolist() != again.retrieval.ap.tolist()
    with pytest.raises(ConfigError, match="rerank: protocol leave-one-out has no re-ranking"):
        PROTOCOLS["leave-one-out"].evaluate(evaluation_set(*grew, rerank=True))


def test_a_store_without_test_identities_is_told_from_one_with_other_types():
    empty = unembedded(())
    nobody = np.zeros(0, np.int64)
    with pytest.raises(DataError, match="0 sequences: nobody in the store is of subset test"):
        empty.require(nobody, nobody, "leave-one-out")
