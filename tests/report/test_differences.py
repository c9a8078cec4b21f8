"""In what trainings and evaluations differ: every kind, seed by seed."""

import pytest

from nasgait.report.differences import differences, sentences
from nasgait.report.results import evaluation_notes, ordered, summary


def result(seed=0, **changes):
    usual = {
        "seed": seed,
        "steps": 600,
        "recipe": {"steps": 600, "optimizer": {"lr": 0.1}, "keep": 2},
        "label_rate": 1.0,
        "freeze": "nothing",
        "init": None,
        "data": "f" * 64,
        "left_out": [],
        "probes": 20,
        "threads": 2,
        "ranks": 1,
        "device": "cpu",
        "evaluation": {"protocol": "casia-b", "metric": "euc", "max_frames": None},
    }
    return {**usual, **changes}


def found(*pair):
    return {line["key"]: line["values"] for line in differences(dict(zip("ab", pair, strict=True)))}


def test_alike_in_all_but_what_does_not_matter():
    other = result(recipe={"steps": 600, "optimizer": {"lr": 0.1}, "keep": 9})
    assert found([result()], [other]) == {} and sentences([]) == []


@pytest.mark.parametrize(
    ("changes", "key", "said"),
    [
        ({"steps": 90}, "steps", "Not trained alike: steps (600: a; 90: b)"),
        (
            {"left_out": ["s1-nm-090", "s2-nm-090"]},
            "left_out",
            "Not trained alike: left_out (none: a; 2, s1-nm-090 first: b)",
        ),
        ({"probes": 16}, "evaluation.probes", "Not evaluated alike: probes (20: a; 16: b)"),
        ({"init": "x.pt"}, "init", "Not trained alike: init (none: a; x.pt: b)"),
        ({"freeze": "norms"}, "freeze", "Not trained alike: freeze (nothing: a; norms: b)"),
        ({"label_rate": 0.1}, "label_rate", "Not trained alike: label_rate (1: a; 0.1: b)"),
        ({"device": "H100"}, "device", "Not trained alike: device (cpu: a; H100: b)"),
        ({"threads": 1}, "threads", "Not trained alike: threads (2: a; 1: b)"),
        ({"data": "0" * 64}, "data", "Not trained alike: training data (fff"),
        (
            {"evaluation": {"protocol": "casia-b", "metric": "euc", "max_frames": 60}},
            "evaluation.max_frames",
            "Not evaluated alike: max_frames (none: a; 60: b).",
        ),
    ],
)
def test_one_thing_that_differs(changes, key, said):
    pair = [result()], [result(**changes)]
    assert list(found(*pair)) == [key]
    (sentence,) = sentences(differences(dict(zip("ab", pair, strict=True))))
    assert sentence.startswith(said)


def test_steps_count_as_taken_not_as_planned():
    keys = found([result()], [result(steps=90)])
    assert keys == {"steps": {"a": 600, "b": 90}}


def test_a_seed_that_was_trained_otherwise_is_told():
    shorter = result(1, steps=90, recipe={"steps": 90, "optimizer": {"lr": 0.1}})
    lines = differences({"a": [result(0), result(1)], "b": [result(0), shorter]})
    (line,) = lines
    assert line == {"key": "steps", "values": {"a": 600, "b": {"seed-0": 600, "seed-1": 90}}}
    assert "steps (600: a; 600 with seed-0, 90 with seed-1: b)" in sentences(lines)[0]


def test_the_labels_that_a_seed_draws_are_compared_seed_by_seed():
    first, second = result(0, data="one"), result(1, data="two")
    assert found([first, second], [first, second]) == {}
    assert list(found([first, second], [first, result(1, data="other")])) == ["data"]


def test_recipes_of_earlier_versions_are_not_taken_as_equal():
    old = {k: v for k, v in result().items() if k not in ("recipe", "threads", "device", "ranks")}
    lines = differences({"a": [result()], "b": [old]})
    assert [line["key"] for line in lines] == ["recipe"]
    assert sentences(lines) == ["Recipes are not recorded: b."]
    both = differences({"a": [old], "b": [old]})
    assert sentences(both) == ["Recipes are not recorded: any network."]


def test_one_network_alone_is_unequal_only_to_itself():
    assert differences({"a": [result()]}) == []
    change = {"step": 3, "key": "optimizer.lr", "before": 0.1, "after": 0.01}
    (line,) = differences({"a": [result(recipe_changes=[change])]})
    assert line["values"] == {"a": [{"seed": 0, **change}]}


def test_many_that_agree_are_the_others():
    many = {f"n{i}": [result()] for i in range(5)} | {"x": [result(steps=90)]}
    (said,) = sentences([line for line in differences(many) if line["key"] == "steps"])
    assert said.startswith("Not trained alike: steps (90: x; 600: the others);")


def test_a_metric_that_one_seed_lacks_has_no_mean():
    full = {"rank1": 50.0, "map": 40.0, "rank1_matched": 60.0, "train_seconds": 2.0}
    entry = summary("a", [result(**full), result(1, **{**full, "rank1_matched": None})])
    assert entry["rank1"] == 50.0 and "rank1_matched" not in entry
    assert entry["seed_numbers"] == [0, 1] and entry["kind"] == ""


def test_ties_go_by_the_other_metric_then_by_cost():
    rows = [
        {"name": "dear", "map": 50.0, "rank1": 60.0, "macs": 9},
        {"name": "cheap", "map": 50.0, "rank1": 60.0, "macs": 3},
        {"name": "better", "map": 50.0, "rank1": 61.0, "macs": 9},
        {"name": "none", "map": None},
    ]
    assert [row["name"] for row in ordered(rows, "map")] == ["better", "cheap", "dear"]


def test_damaged_sequences_left_out_by_all_are_told_once():
    networks = [{"name": n, "notes": [], "left_out": ["s1-nm-090", "s2-nm-000"]} for n in "ab"]
    note = "2 damaged sequences of the store left out, s1-nm-090 first."
    assert evaluation_notes(networks) == [note]
    networks[1]["left_out"] = []
    assert evaluation_notes(networks) == [f"a: {note}"]
