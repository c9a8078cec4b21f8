"""Each protocol on a handful of people who stand on a line: the nearest is read off."""

import numpy as np
import pytest

from nasgait.evaluation.distance import distances
from nasgait.evaluation.evaluation_set import evaluation_set
from nasgait.evaluation.protocols import PROTOCOLS, evaluate
from nasgait.evaluation.protocols.leave_one_out import leave_one_out
from nasgait.evaluation.rerank import reranked


def on_a_line(*people):
    """Sequences (place, label, type, view) as a protocol takes them."""
    places, *names = zip(*people, strict=True)
    return np.array(places, np.float32).reshape(-1, 1, 1), *(list(column) for column in names)


def percent(*shares):
    return pytest.approx([100 * share for share in shares])


def test_leave_one_out():
    """a at 0 and 1, b at 1.4 and 9, c alone at 8."""
    outcome = leave_one_out(
        np.array([0, 1, 1.4, 9, 8], np.float32).reshape(-1, 1, 1), list("aabbc")
    )
    assert outcome.probes.tolist() == [0, 1, 2, 3]
    # 0: a b c b.  1: b a c b.  1.4: a a c b.  9: c b a a.
    assert outcome.retrieval.first_hit.tolist() == [0, 1, 3, 1]
    assert outcome.ap.tolist() == pytest.approx([1, 1 / 2, 1 / 4, 1 / 2])
    assert outcome.hits.tolist() == [1, 0, 0, 0]
    table = outcome.metrics()
    assert [table["rank1"], table["rank5"], table["map"]] == percent(1 / 4, 1, 2.25 / 4)


def test_leave_one_out_in_galleries_of_two():
    """a and b are a gallery, c and d another: only b at 5 finds its own among all."""
    places = np.array([0, 1, 5, 6, 0.1, 0.4, 6.5, 0.3], np.float32).reshape(-1, 1, 1)
    found = leave_one_out(places, list("aabbccdd"), gallery_ids=2)
    assert found.hits.tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    everyone = leave_one_out(places, list("aabbccdd"))
    assert everyone.hits.tolist() == [0, 0, 1, 0, 0, 0, 0, 0]


def casia_b():
    """Two people, two views; b's nm-05 from 090 stands beside a, the rest at home."""
    people = []
    for label, home in (("a", 0.0), ("b", 10.0)):
        for view, aside in (("000", 0.0), ("090", 0.5)):
            people.append((home + aside, label, "nm-01", view))
            for kind in ("nm-05", "bg-01", "cl-01"):
                place = home + aside + 0.1
                if (label, kind, view) == ("b", "nm-05", "090"):
                    place = 1.0
                if kind == "cl-01":
                    place = 10.0 - home  # in the other one's place
                people.append((place, label, kind, view))
    return on_a_line(*people)


def test_casia_b():
    tables = evaluate("casia-b", *casia_b())
    nm, bg, cl = tables["nm"], tables["bg"], tables["cl"]
    # nm: of the cells 000-090 and 090-000 the first is whole, the second lacks b.
    assert nm["per_view"] == {"000": 100.0, "090": 50.0}
    assert (nm["rank1"], nm["rank1_with_identical_view"]) == (75.0, 75.0)
    assert nm["map"] == 87.5, "the right one of two comes second: one half"
    assert (bg["rank1"], bg["map"]) == (100.0, 100.0)
    assert (cl["rank1"], cl["rank5"], cl["map"]) == (0.0, 100.0, 50.0)
    summary = PROTOCOLS["casia-b"].evaluate(evaluation_set(*casia_b())).summary()
    assert summary == {
        "rank1": pytest.approx(175 / 3),
        "rank5": 100.0,
        "map": pytest.approx(237.5 / 3),
        "rank1_nm": 75.0,
        "rank1_bg": 100.0,
        "rank1_cl": 0.0,
    }


def test_oumvlp_leaves_the_identical_view_out():
    """From its own view everybody is found, from the other nobody."""
    people = []
    for label, home, other in (("a", 0.0, 10.0), ("b", 10.0, 0.0)):
        people += [(home, label, "00", "000"), (home, label, "01", "000")]
        people += [(other, label, "00", "090"), (other, label, "01", "090")]
    (table,) = evaluate("oumvlp", *on_a_line(*people)).values()
    assert (table["rank1"], table["rank1_with_identical_view"]) == (0.0, 50.0)
    assert table["per_view"] == {"000": 0.0, "090": 0.0} and table["map"] == 50.0


def test_cross_view_takes_the_own_identity_from_other_views_only():
    people = [
        (0.0, "a", "00", "000"),
        (0.1, "a", "01", "000"),  # the nearest, but of a's own view
        (3.0, "a", "01", "090"),
        (2.0, "b", "01", "000"),  # b from the probe's view counts
        (9.0, "b", "01", "090"),
        (8.0, "b", "00", "000"),
        (3.1, "a", "00", "090"),
        (2.2, "b", "00", "090"),
    ]
    (table,) = evaluate("oumvlp-cross-view", *on_a_line(*people)).values()
    # a 000: b, a, b.  b 000: b first.  a 090: b 2.0, a 0.1, b 9.  b 090: b 2.0, a, a.
    assert table["per_view"] == {"000": 50.0, "090": 50.0}
    assert table["map_per_view"] == {"000": 75.0, "090": 75.0}
    assert (table["rank1"], table["map"], table["rank5"]) == (50.0, 75.0, 100.0)


def test_casia_b_cross_view_has_a_table_for_each_condition():
    people = [(0.0, "a", "nm-02", "090"), (10.0, "b", "nm-02", "090"),
              (1.0, "a", "bg-02", "000"), (11.0, "b", "cl-02", "000")]  # fmt: skip
    for kind, shift in (("nm-01", 0.2), ("bg-01", 9.0), ("cl-01", 5.8)):
        for label, home in (("a", 0.0), ("b", 10.0)):
            for view in ("000", "090"):
                people.append((abs(home - shift), label, kind, view))
    tables = evaluate("casia-b-cross-view", *on_a_line(*people))
    assert tables["nm"]["rank1"] == 100.0
    # bg: a stands at 9 and b at 1, beside the other one.  cl: a at 5.8, b at 4.2.
    assert tables["bg"]["rank1"] == tables["cl"]["rank1"] == 0.0


def test_grew_without_labels_searches_01_for_02():
    people = [
        (0.0, "a", "01", "x"), (5.0, "b", "01", "x"), (1.0, "a", "02", "x"),
        (1.5, "b", "02", "x"), (6.0, "b", "02", "y"), (1.0, "z", "03", "v"),
        (1.1, "d", "04", "x"),
    ]  # fmt: skip
    found = evaluate("grew", *on_a_line(*people))
    assert found["rank1_local"] == 66.67 and found["rank5_local"] == 100.0
    assert found["map_local"] == pytest.approx(100 * 2.5 / 3)
    crowded = evaluate("grew", *on_a_line(*people), distractors=True)
    # The distractor at 1.1 is nearest to 1.0 and 1.5; b at 5.0 is third for 1.5.
    assert crowded["rank1_local"] == 33.33
    assert crowded["map_local"] == pytest.approx(100 * (1 / 2 + 1 / 3 + 1) / 3)


def test_grew_with_labels_searches_01_and_02_for_03():
    people = [
        (0.0, "00001", "01", "x"), (2.0, "00002", "02", "x"), (9.0, "00002", "01", "x"),
        (1.2, "probe", "03", "v1"), (0.1, "probe", "03", "v2"), (8.0, "probe", "03", "v3"),
    ]  # fmt: skip
    known = evaluation_set(*on_a_line(*people), truth={"v1": "2", "v2": "00002", "v3": "1"})
    found = PROTOCOLS["grew"].submission.evaluate(known)
    # v1: 2 1 2.  v2: 1 2 2.  v3: 2 2 1.
    assert found.retrieval.first_hit.tolist() == [0, 1, 2]
    assert found.ap.tolist() == pytest.approx([(1 + 2 / 3) / 2, (1 / 2 + 2 / 3) / 2, 1 / 3])


def test_gait3d_counts_no_probe_without_a_match():
    people = [
        (0.0, "a", "c", "1"), (1.0, "a", "c", "2"), (0.8, "b", "c", "1"),
        (5.0, "b", "c", "2"), (3.0, "z", "c", "1"),
    ]  # fmt: skip
    found = evaluate("gait3d", *on_a_line(*people), probes=["a-c-1", "b-c-2", "z-c-1"])
    # a at 0: b 0.8, a 1.  b at 5: a 1, b 0.8.  z has nobody.
    assert (found["rank1"], found["rank5"]) == (0.0, 100.0)
    assert found["map"] == pytest.approx(50) and found["minp"] == pytest.approx(50)


def test_hid_names_the_nearest():
    people = [
        (0.0, "1", "g", "d"), (4.0, "2", "g", "d"),
        (1.0, "probe", "p0", "d"), (1.9, "probe", "p1", "d"), (2.1, "probe", "p2", "d"),
    ]  # fmt: skip
    truth = {"p0": "1", "p1": "2", "p2": "2"}
    found = PROTOCOLS["hid"].evaluate(evaluation_set(*on_a_line(*people), truth=truth))
    assert found.hits.tolist() == [1, 0, 1]
    assert found.metrics()["rank1"] == pytest.approx(200 / 3)
    assert found.metrics()["map"] == pytest.approx(100 * 2.5 / 3)


def test_distances_on_a_line_are_gaps_and_their_mean_over_parts():
    probe = np.array([[[0.0, 10.0]]], np.float32)
    gallery = np.array([[[3.0, 14.0]], [[-1.0, 10.0]]], np.float32)
    assert distances(probe, gallery).tolist() == [[3.5, 0.5]]
    # Cosines along one channel are 1 or -1: 1 - mean(1, 1) and, with 0 as 0, 1 - mean(0, 1).
    assert distances(probe[..., 1:], gallery[..., 1:], "cos").tolist() == [[0.0, 0.0]]
    assert distances(probe[..., 1:], -gallery[..., 1:], "cos").tolist() == [[2.0, 2.0]]


def test_reranking_leaves_those_far_away_behind_and_takes_its_share_of_the_own_distance():
    probe = np.array([0.0], np.float32).reshape(-1, 1, 1)
    gallery = np.array([-1.0, 1.0, 1.2, -9.0, -9.2, -9.1], np.float32).reshape(-1, 1, 1)
    ((_, block),) = reranked(probe, gallery, "euc", 2, 2, 0.3)
    assert set(np.argsort(block[0])[:3].tolist()) == {0, 1, 2}
    ((_, plain),) = reranked(probe, gallery, "euc", 2, 2, 1.0)
    # Its own distances, over the largest, which is 9.2.
    assert plain[0].tolist() == pytest.approx(
        [gap / 9.2 for gap in (1.0, 1.0, 1.2, 9.0, 9.2, 9.1)], abs=1e-5
    )
