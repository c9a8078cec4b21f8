"""Rank-k, average precision, inverse negative penalty and CMC on rankings one can read off."""

import numpy as np
import pytest

from nasgait.evaluation.metrics import cmc, join, retrieval_metrics, retrieve

# A gallery in the order of its distance, so that its labels are the ranking.
RANKINGS = [
    # ranking, first hit from 0, average precision, inverse negative penalty
    ("a", 0, 1, 1),
    ("b", -1, 0, 0),
    ("ab", 0, 1, 1),
    ("ba", 1, 1 / 2, 1 / 2),
    ("aab", 0, 1, 1),
    ("aba", 0, (1 + 2 / 3) / 2, 2 / 3),
    ("baa", 1, (1 / 2 + 2 / 3) / 2, 2 / 3),
    ("bbba", 3, 1 / 4, 1 / 4),
    ("abba", 0, (1 + 2 / 4) / 2, 2 / 4),
    ("babab", 1, (1 / 2 + 2 / 4) / 2, 2 / 4),
    ("bbabaa", 2, (1 / 3 + 2 / 5 + 3 / 6) / 3, 3 / 6),
    ("aaaaa", 0, 1, 1),
]


def found_in(ranking, **settings):
    distance = np.arange(len(ranking), dtype=float)[None]
    return retrieve(distance, ["a"], list(ranking), **settings)


@pytest.mark.parametrize(("ranking", "first", "precision", "penalty"), RANKINGS)
def test_a_ranking_by_hand(ranking, first, precision, penalty):
    found = found_in(ranking)
    assert found.first_hit.tolist() == [first]
    assert found.ap.tolist() == pytest.approx([precision])
    assert found.inp.tolist() == pytest.approx([penalty])


@pytest.mark.parametrize(("ranking", "first", "precision", "penalty"), RANKINGS)
def test_the_order_of_the_gallery_says_nothing(ranking, first, precision, penalty):
    order = np.random.default_rng(len(ranking)).permutation(len(ranking))
    labels = [ranking[place] for place in order]
    found = retrieve(order[None].astype(float), ["a"], labels)
    assert found.first_hit.tolist() == [first]
    assert (found.ap[0], found.inp[0]) == pytest.approx((precision, penalty))


@pytest.mark.parametrize(
    ("labels", "distances", "first", "precision"),
    [
        ("ab", [1, 1], 0, 1),
        ("ba", [1, 1], 1, 1 / 2),
        ("aab", [1, 1, 1], 0, 1),
        ("aba", [1, 1, 1], 0, (1 + 2 / 3) / 2),
        ("bba", [2, 1, 1], 1, 1 / 2),
        ("baab", [3, 3, 3, 1], 2, (1 / 3 + 2 / 4) / 2),
    ],
)
def test_of_equal_distances_the_earlier_in_the_gallery_is_nearer(
    labels, distances, first, precision
):
    found = retrieve(np.array([distances], float), ["a"], list(labels))
    assert found.first_hit.tolist() == [first]
    assert found.ap.tolist() == pytest.approx([precision])


@pytest.mark.parametrize(
    ("ranking", "barred", "first", "precision", "penalty"),
    [
        ("ba", [0], 0, 1, 1),
        ("aba", [0], 1, 1 / 2, 1 / 2),
        ("aba", [2], 0, 1, 1),
        ("aba", [1], 0, 1, 1),
        ("aba", [0, 2], -1, 0, 0),
        ("bbaba", [0, 3], 1, (1 / 2 + 2 / 3) / 2, 2 / 3),
        ("aa", [0, 1], -1, 0, 0),
    ],
)
def test_what_is_excluded_takes_no_place(ranking, barred, first, precision, penalty):
    excluded = np.zeros((1, len(ranking)), bool)
    excluded[0, barred] = True
    found = found_in(ranking, excluded=excluded)
    assert found.first_hit.tolist() == [first]
    assert (found.ap[0], found.inp[0]) == pytest.approx((precision, penalty))
    assert excluded.sum() == len(barred), "the mask is left as it was"


def test_excluded_pairs_at_a_tie_take_no_place_either():
    excluded = np.array([[True, False, False, False]])
    found = retrieve(np.full((1, 4), 2.0), ["a"], list("bbab"), excluded=excluded)
    assert found.first_hit.tolist() == [1] and found.ap.tolist() == [1 / 2]


def test_a_sequence_does_not_find_itself_but_others_at_its_place():
    distance = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    found = retrieve(distance, list("aab"), list("aab"), excluded=np.eye(3, dtype=bool))
    # 0 sees b before a; 1 sees a and b at one distance, a first; b has none of its own.
    assert found.first_hit.tolist() == [1, 0, -1]
    assert found.ap.tolist() == [1 / 2, 1, 0] and found.inp.tolist() == [1 / 2, 1, 0]


def test_whoever_is_excluded_counts_nowhere():
    distance = np.array([[0.0, 1.0, 2.0, 3.0]] * 4)
    excluded = np.eye(4, dtype=bool)
    excluded[0, 1] = True
    found = retrieve(distance, list("aaba"), list("aaba"), excluded=excluded)
    # 0 is left with b, a; 1 with a, b, a; 2 with none; 3 with a, a, b.
    assert found.first_hit.tolist() == [1, 0, -1, 0]
    assert found.ap.tolist() == pytest.approx([1 / 2, (1 + 2 / 3) / 2, 0, 1])


def test_a_gallery_of_one():
    found = retrieve(np.array([[5.0], [5.0]]), ["a", "b"], ["a"])
    assert found.first_hit.tolist() == [0, -1]
    assert retrieval_metrics(found) == dict.fromkeys(
        ["rank1", "rank5", "rank10", "rank20", "map", "minp"], 50
    )


def test_several_probes_by_hand():
    distance = np.array([[1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0], [1.0, 2.0, 3.0, 4.0]])
    found = retrieve(distance, list("aac"), list("aabb"))
    # aabb, then bbaa, then a probe without a match.
    assert found.first_hit.tolist() == [0, 2, -1]
    second = (1 / 3 + 2 / 4) / 2
    assert found.ap.tolist() == pytest.approx([1, second, 0])
    assert found.inp.tolist() == pytest.approx([1, 2 / 4, 0])
    table = retrieval_metrics(found)
    assert table["rank1"] == pytest.approx(100 / 3)
    assert table["rank5"] == table["rank10"] == table["rank20"] == pytest.approx(200 / 3)
    assert table["map"] == pytest.approx(100 * (1 + second) / 3)
    assert table["minp"] == pytest.approx(50)
    assert cmc(found, 4).tolist() == pytest.approx([100 / 3, 100 / 3, 200 / 3, 200 / 3])


def test_each_rank_counts_the_hit_at_its_own_place_and_not_the_next():
    places = (1, 2, 5, 6, 10, 11, 20, 21)
    parts = [found_in("b" * (place - 1) + "a" + "b" * (30 - place)) for place in places]
    table = retrieval_metrics(join(parts))
    eighth = 100 / 8
    assert [table[f"rank{k}"] / eighth for k in (1, 5, 10, 20)] == [1, 3, 5, 7]
    curve = cmc(join(parts)) / eighth
    assert curve.tolist() == [1, 2, 2, 2, 3, 4, 4, 4, 4, 5, *[6] * 9, 7]


def test_labels_of_probes_and_gallery_meet_by_name():
    found = retrieve(np.array([[1.0, 2.0]]), ["10"], ["1", "10"])
    assert found.first_hit.tolist() == [1]
