"""Sentences and limits in print: every number with its unit, by hand."""

import pytest
from small_run import entry, network, run_of

from nasgait.report import formatting


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ({}, "none"),
        ({"macs": 62_000_000}, "MACs ≤ 62.0 M"),
        ({"macs": 5e9}, "MACs ≤ 5.00 G"),
        ({"params": 420_000}, "params ≤ 420 K"),
        ({"params": 1_500_000}, "params ≤ 1.50 M"),
        ({"latency": 0.05}, "latency ≤ 50 ms"),
        ({"latency": 0.0125}, "latency ≤ 12.5 ms"),
        ({"latency": 0.0004}, "latency ≤ 0.4 ms"),
        ({"latency": 1.5}, "latency ≤ 1500 ms"),
        ({"latency": 12.0}, "latency ≤ 12000 ms"),
        ({"macs": 2e9, "params": None, "latency": 0.1}, "MACs ≤ 2.00 G, latency ≤ 100 ms"),
    ],
)
def test_budget(limits, text):
    assert formatting.budget(run_of(results={"budget": limits})) == text


def test_before_the_comparison_the_limits_are_those_of_the_settings():
    search = {"max_macs": 40_000_000.0, "max_params": None, "max_latency": 0.02}
    assert formatting.limits_of(run_of(config={"search": search})) == {"macs": 4e7, "latency": 0.02}
    found = run_of(config={"search": search}, results={"budget": {"macs": 3e7}})
    assert formatting.limits_of(found) == {"macs": 3e7}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"),
        (999, "999"),
        (999.4, "999.4"),
        (1000, "1.00 K"),
        (9_994, "9.99 K"),
        (9_996, "10.0 K"),
        (99_940, "99.9 K"),
        (99_960, "100 K"),
        (999_400, "999 K"),
        (999_500, "1.00 M"),
        (1e6, "1.00 M"),
        (12_345_678, "12.3 M"),
        (1e9, "1.00 G"),
        (1e12, "1.00 T"),
    ],
)
def test_amounts_have_three_digits_and_the_right_letter(value, text):
    assert formatting.amount(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (60, "1 min 00 s"),
        (61, "1 min 01 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 00 min"),
        (5400, "1 h 30 min"),
        (90_000, "25 h 00 min"),
    ],
)
def test_durations_change_their_units_where_they_should(seconds, text):
    assert formatting.duration(seconds) == text


def test_the_spread_goes_from_the_worst_to_the_best_seed():
    assert formatting.spread([62.36, 58.04, 60.0]) == "58.0 to 62.4"
    assert formatting.spread([None, 58.0, 62.0]) == "58.0 to 62.0"
    assert formatting.spread([60.0, 60.0]) == "60.0 to 60.0"
    assert formatting.spread([]) is None


def test_one_and_many():
    assert formatting.count(1, "seed") == "1 seed"
    assert formatting.count(0, "seed") == "0 seeds" and formatting.count(2, "seed") == "2 seeds"


def test_a_shape_is_frames_height_width():
    assert formatting.shape({"frames": 30, "size": [64, 44]}) == "30 × 64 × 44"
    assert formatting.shape({"frames": None, "size": [64, 44]}) == "–"
    assert formatting.shape({"frames": 30}) == "–"


def test_macs_of_different_inputs_are_not_told_as_of_one():
    same, other = network("a"), network("b", frames=30)
    one = "MACs are those of one sequence of 16 × 32 × 22 (frames × height × width)"
    several = "MACs are those of one sequence at the network's own input size"
    assert formatting.costed([same, network("c"), network("d", frames=None)]) == one
    assert formatting.costed([same, other]) == formatting.costed([]) == several


def final(seed, **evaluation):
    usual = {"protocol": "leave-one-out", "metric": "euc", "gallery_ids": 50, "max_frames": None}
    return {"seed": seed, "evaluation": {**usual, **evaluation}}


def judged(*finals, **parts):
    return formatting.judged(run_of(networks=(network("a", finals=finals),), **parts))


def test_how_networks_were_judged():
    assert judged(final(0)) == (
        "leave-one-out: each test sequence is a probe against all others of its gallery of 50 "
        "identities; Euclidean distance, mean over parts; all frames of each sequence; "
        "one seed (0)"
    )
    assert judged(final(16, gallery_ids=None, metric="cos", max_frames=100), final(9)) == (
        "leave-one-out: each test sequence is a probe against all others of the test identities; "
        "Euclidean or cosine distance, as each network is set, mean over parts; "
        "at most 100 frames of each sequence; seeds 9, 16"
    )


@pytest.mark.parametrize(
    ("evaluation", "text"),
    [
        ({"protocol": "casia-b"}, "protocol casia-b; "),
        (
            {"protocol": "grew", "truth": None},
            "GREW without its hidden labels: gallery 01 against probe 02 of each test identity; ",
        ),
        (
            {"protocol": "grew", "truth": "labels.csv"},
            "GREW: each unlabelled probe against the whole gallery, scored by the labels given; ",
        ),
        ({"protocol": None}, "protocol not recorded; "),
    ],
)
def test_every_protocol_has_its_sentence(evaluation, text):
    assert judged(final(0, **evaluation)).startswith(text)


def test_what_no_network_noted_comes_from_the_settings_or_is_not_recorded():
    nothing = "protocol not recorded; distance not recorded, mean over parts; all frames of each"
    assert formatting.judged(run_of()).startswith(nothing)
    settings = {"evaluation": {"protocol": "gait3d", "metric": "cos", "max_frames": 60}}
    assert formatting.judged(run_of(config=settings)) == (
        "protocol gait3d; cosine distance, mean over parts; at most 60 frames of each sequence"
    )
    assert formatting.judged(run_of(results={"protocol": "hid"})).startswith("protocol hid; ")


def test_how_the_search_scored():
    search = {"calibration": {"sequences": 128}, "max_sequences": 500, "max_frames": 40}
    assert formatting.scored(run_of(config={"search": search})) == (
        "leave-one-out mAP on search-val identities, which are no test identities, with the "
        "supernet's shared weights; BatchNorm recalibrated on 128 training sequences; "
        "at most 500 sequences; at most 40 frames of each sequence"
    )
    search = {"calibration": {"sequences": 0}, "objectives": ["macs", "rank1", "map"]}
    assert formatting.scored(run_of(config={"search": search})) == (
        "leave-one-out rank-1 on search-val identities, which are no test identities, with the "
        "supernet's shared weights; all frames of each sequence"
    )


@pytest.mark.parametrize(("scored", "early"), [(11, True), (12, False), (13, False)])
def test_a_search_ended_early_when_it_scored_fewer_than_asked_for(scored, early):
    ledger = tuple(entry((i,)) for i in range(scored))
    config = {"search": {"population": 4, "max_epochs": 2}}
    said = formatting.ended_early(run_of(config=config, ledger=ledger, front=()))
    assert ("ended before the 12 scores asked for" in said) == early
    assert formatting.ended_early(run_of(config=config, ledger=ledger)) == "", "it still goes on"


@pytest.mark.parametrize(
    ("objectives", "rate", "goals", "sides"),
    [
        (None, "map", "mAP, MACs and params", (("map",), ("macs", "params"))),
        (["rank1"], "rank1", "rank-1, MACs and params", (("rank1",), ("macs", "params"))),
        (["map", "latency"], "map", "mAP and latency", (("map",), ("latency",))),
        (
            ["params", "rank1", "macs", "map"],
            "rank1",
            "rank-1, mAP, params and MACs",
            (("rank1", "map"), ("params", "macs")),
        ),
    ],
)
def test_what_the_front_is_over(objectives, rate, goals, sides):
    run = run_of(config={"search": {"objectives": objectives}})
    assert formatting.objective(run) == rate
    assert formatting.goals(run) == goals
    assert formatting.objectives(run) == sides


def test_the_study_as_aligned_text():
    study = {
        "columns": ["network", "mAP %"],
        "rows": [["a", "60.0 ± 1.4"], ["longer name", "–"]],
        "notes": ["One.", "Two."],
    }
    assert formatting.text_table(study) == [
        "network      mAP %",
        "a            60.0 ± 1.4",
        "longer name  –",
        "",
        "One.",
        "Two.",
    ]
