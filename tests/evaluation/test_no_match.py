"""Probes without a match, and conditions without probes: said beside the published numbers."""

import json
import logging
import math

import numpy as np
import pytest

from nasgait.cli.eval import text_table
from nasgait.core.errors import DataError
from nasgait.evaluation.evaluation_set import evaluation_set
from nasgait.evaluation.protocols import PROTOCOLS, evaluate
from nasgait.evaluation.protocols.leave_one_out import leave_one_out


def on_a_line(*people):
    """Sequences (place, label, type, view) as a protocol takes them."""
    places, *names = zip(*people, strict=True)
    return np.array(places, np.float32).reshape(-1, 1, 1), *(list(column) for column in names)


def outcome_of(protocol, people, **settings):
    return PROTOCOLS[protocol].evaluate(evaluation_set(*on_a_line(*people), **settings))


GREW = (
    (0.0, "00001", "01", "x"), (0.1, "00001", "02", "y"), (0.2, "00001", "02", "z"),
    (5.0, "00002", "01", "x"), (5.1, "00002", "02", "y"), (9.0, "00003", "02", "y"),
)  # fmt: skip


def test_grew_counts_three_of_four_and_says_that_one_could_not_be_found(caplog):
    with caplog.at_level(logging.WARNING):
        table = evaluate("grew", *on_a_line(*GREW))
    assert (table["rank1_local"], table["map_local"]) == (75.0, 75.0), "as published"
    assert table["unmatched_probes_local"] == 1
    assert table["matched_local"]["rank1"] == table["matched_local"]["map"] == 100.0
    said = "1 of 4 probes have no match in the gallery and count as misses; without them rank-1 is"
    assert f"{said} 100.00 %, mAP 100.00 %" in caplog.text
    (note,) = outcome_of("grew", GREW).notes(rates=False)
    assert note.startswith("gallery 01 against probe 02: 1 of 4 ") and note.endswith("as misses")
    assert outcome_of("grew", GREW).coverage() == {
        "probes_local": 4,
        "unmatched_probes_local": 1,
        "rank1_matched_local": 100.0,
        "rank5_matched_local": 100.0,
        "map_matched_local": 100.0,
    }


def test_where_all_have_a_match_nothing_is_added():
    outcome = outcome_of("grew", GREW[:-1])
    assert outcome.notes() == []
    assert outcome.coverage() == {"probes_local": 3, "unmatched_probes_local": 0}
    assert not any("matched" in name for name in outcome.metrics())


def test_true_labels_that_are_not_in_the_gallery_are_counted():
    people = [
        (0.0, "1", "g", "d"), (4.0, "2", "g", "d"),
        (1.0, "probe", "p0", "d"), (1.9, "probe", "p1", "d"),
    ]  # fmt: skip
    outcome = outcome_of("hid", people, truth={"p0": "1", "p1": "7"})
    assert outcome.metrics()["rank1"] == 50.0 and outcome.metrics()["matched"]["rank1"] == 100.0
    assert outcome.coverage()["unmatched_probes"] == 1


def test_gait3d_says_whom_it_leaves_out():
    people = [
        (0.0, "a", "c", "1"), (1.0, "a", "c", "2"), (0.8, "b", "c", "1"),
        (5.0, "b", "c", "2"), (3.0, "z", "c", "1"),
    ]  # fmt: skip
    outcome = outcome_of("gait3d", people, probes=["a-c-1", "b-c-2", "z-c-1", "q-c-1"])
    table = outcome.metrics()
    assert table["rank5"] == table["matched"]["rank5"] == 100.0 and table["unmatched_probes"] == 1
    assert outcome.coverage()["probes"] == 3
    assert outcome.notes() == [
        "1 of 4 listed probes are not among the sequences, e.g. q-c-1",
        "1 of 3 probes have no match in the gallery; as published they are left out of the metrics",
    ]


def test_leave_one_out_says_who_is_alone():
    outcome = leave_one_out(np.array([0, 1, 0.4]).reshape(3, 1, 1), ["a", "a", "b"])
    assert outcome.metrics()["rank1"] == 0.0 and outcome.metrics()["unmatched_probes"] == 1
    (note,) = outcome.notes()
    assert note.startswith("1 of 3 sequences are the only one of their identity")


@pytest.mark.parametrize(("protocol", "kinds"), [("grew", ("01", "02")), ("oumvlp", ("01", "00"))])
def test_a_gallery_of_other_people_is_refused(protocol, kinds):
    people = [(i, f"{kind}{i}", kind, v) for i in range(2) for kind in kinds for v in ("0", "9")]
    with pytest.raises(DataError, match="the gallery has the identity of no probe"):
        evaluate(protocol, *on_a_line(*people))


def by_view():
    """a, b from two views each; the gallery lacks b from 090; b's probes stand at home."""
    people = []
    for label, home in (("a", 0.0), ("b", 10.0)):
        for view, aside in (("000", 0.0), ("090", 0.5)):
            people.append((home + aside + 0.1, label, "00", view))
            if (label, view) != ("b", "090"):
                people.append((home + aside, label, "01", view))
    return people


def test_a_search_without_a_match_is_told_for_each_pair_of_views():
    outcome = outcome_of("oumvlp", by_view())
    table = outcome.metrics()["nm"]
    # Probes of 000 against the gallery of 090: a is found, b cannot be.
    assert table["per_view"] == {"000": 50.0, "090": 100.0} and table["rank1"] == 75.0
    assert table["rank1_with_identical_view"] == 75.0
    assert (table["unmatched_probes"], table["unmatched_searches"]) == (2, 2)
    assert table["matched"]["per_view"] == {"000": 100.0, "090": 100.0}
    assert table["matched"]["rank1"] == table["matched"]["rank1_with_identical_view"] == 100.0
    assert outcome.summary() == {"rank1": 75.0, "rank5": 75.0, "map": 75.0}
    coverage = outcome.coverage()
    assert (coverage["probes"], coverage["unmatched_probes"]) == (4, 2)
    assert (coverage["rank1_matched"], coverage["map_matched"]) == (100.0, 100.0)
    (note,) = outcome.notes()
    assert note == (
        "nm: 2 of 4 probes have no match in the gallery of one view or more (2 of 8 searches of a "
        "probe in a view) and count as misses; without them rank-1 is 100.00 %, mAP 100.00 %"
    )
    assert outcome.notes(rates=False) == [note.partition(";")[0]], "true of every network"


def test_a_cell_without_any_match_is_a_miss_as_published_and_no_cell_without_them():
    """Only b is looked for from 000, and the gallery of 090 lacks b."""
    people = [row for row in by_view() if row[1:] != ("a", "00", "000")]
    table = evaluate("oumvlp", *on_a_line(*people))["nm"]
    assert table["per_view"] == {"000": 0.0, "090": 100.0} and table["rank1"] == 50.0
    assert table["matched"]["per_view"] == {"090": 100.0} and table["matched"]["rank1"] == 100.0


def test_matches_from_the_own_view_alone_leave_no_rate_without_the_others():
    """Nobody could be found in the other view: no number is better than NaN."""
    people = [
        (0.0, "a", "01", "000"), (0.1, "a", "00", "000"),
        (9.0, "b", "01", "090"), (9.1, "b", "00", "090"),
    ]  # fmt: skip
    outcome = outcome_of("oumvlp", people)
    table = outcome.metrics()["nm"]
    assert (table["rank1"], table["rank1_with_identical_view"]) == (0.0, 50.0)
    assert "matched" not in table and table["unmatched_searches"] == 2
    assert "rank1_matched" not in outcome.coverage()
    assert outcome.notes()[0].endswith("count as misses")


def test_cross_view_without_a_match_counts_in_the_ranks():
    people = [
        (0.0, "a", "01", "000"), (0.1, "a", "00", "090"), (0.2, "a", "01", "090"),
        (0.3, "a", "00", "000"), (9.0, "b", "00", "000"), (9.1, "b", "00", "090"),
    ]  # fmt: skip
    outcome = outcome_of("oumvlp-cross-view", people)
    table = outcome.metrics()["nm"]
    assert (table["rank1"], table["map"]) == (50.0, 100.0)
    assert (table["unmatched_probes"], table["matched"]["rank1"]) == (2, 100.0)
    assert (
        "2 of 4 probes have no match in the gallery and count as misses in the ranks"
        in (outcome.notes()[0])
    )


def some_conditions(*probes):
    """Two people from two views with gallery and probes of these types, all at home."""
    kinds = ("nm-01", "nm-02", "nm-03", "nm-04", *probes)
    people = [("a", 0.0), ("b", 9.0)]
    return [
        (home + 0.1 * i + 0.01 * v, label, kind, f"{90 * v:03d}")
        for label, home in people
        for i, kind in enumerate(kinds)
        for v in range(2)
    ]


def test_casia_b_with_normal_walks_alone():
    outcome = outcome_of("casia-b", some_conditions("nm-05", "nm-06"))
    table = outcome.metrics()
    assert list(table) == ["nm", "missing_conditions"]
    assert table["missing_conditions"] == ["bg", "cl"] and table["nm"]["rank1"] == 100.0
    assert outcome.summary() == {"rank1": 100.0, "rank5": 100.0, "map": 100.0, "rank1_nm": 100.0}
    assert outcome.notes() == [
        "missing_conditions: no probes of bg (bg-01, bg-02), cl (cl-01, cl-02) among the "
        "sequences; means are over nm"
    ]


def test_one_of_two_types_is_told_as_well():
    outcome = outcome_of("casia-b", some_conditions("nm-05", "bg-01", "bg-02"))
    assert outcome.metrics()["missing_conditions"] == ["cl"]
    assert outcome.notes()[0].startswith("missing_conditions: ")
    assert "also uses sequences of type nm-06; there are none" in outcome.notes()[1]


def test_conditions_missing_across_views():
    kinds = ("nm-01", "nm-02")
    people = [
        (home + i + 0.1 * v, label, kind, f"{v:03d}")
        for label, home in (("a", 0.0), ("b", 9.0))
        for i, kind in enumerate(kinds)
        for v in range(2)
    ]
    table = evaluate("casia-b-cross-view", *on_a_line(*people))
    assert list(table) == ["nm", "missing_conditions"]
    assert table["missing_conditions"] == ["bg", "cl"] and table["nm"]["rank1"] == 100.0


def test_the_table_in_print_has_it_all():
    outcome = outcome_of("casia-b", some_conditions("nm-05", "nm-06"))
    table = outcome.metrics() | outcome.coverage() | {"notes": outcome.notes(), "cmc": [1.0]}
    lines = text_table(table)
    assert "missing_conditions  bg, cl" in lines and lines[-1] == outcome.notes()[0]
    assert "probes              8" in lines
    assert not any(isinstance(v, float) and math.isnan(v) for v in json.loads(json.dumps(table)))


def test_a_broken_embedding_is_named_by_its_sequence():
    embeddings, *names = on_a_line(*GREW)
    embeddings[4] = math.nan
    with pytest.raises(DataError, match="1 of 6 sequences, first in sequence 00002-02-y;"):
        evaluate("grew", embeddings, *names)


def test_a_copied_sequence_is_told():
    copied = [*GREW[:-1], (0.0, "00001", "02", "copy")]
    (note,) = outcome_of("grew", copied).notes()
    assert note.startswith("2 of 6 sequences have the embedding of another one")
