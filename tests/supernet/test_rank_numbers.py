"""The agreement of supernet scores with retrained rates, by scipy and by hand."""

import json
from functools import partial
from itertools import permutations

import pytest
from scipy import stats

from search_spaces import load_space
from supernet import rank
from supernet.rank import LEAST, TOP, agreement, best, finite, read_table, words

SPACE = load_space("nano")


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    """What is resampled here is clear from few resamples."""
    for name in ("chance_level", "correlation_interval"):
        monkeypatch.setattr(rank, name, partial(getattr(rank, name), draws=400))


def truth(*rates):
    """Rates of as many architectures, 0-0-0-0, 0-0-0-1, ..."""
    archs = [f"0-0-{i // 6}-{i % 6}" for i in range(len(rates))]
    return {SPACE.parse(arch): float(rate) for arch, rate in zip(archs, rates, strict=True)}


def report(scores, rates, objective="map", seed=0):
    return agreement(truth(*rates), [float(score) for score in scores], objective, seed)


@pytest.mark.parametrize(
    ("scores", "rates"),
    [
        ([1, 2, 3, 4, 5], [2, 1, 4, 3, 5]),
        ([1, 1, 2, 2, 3, 3], [5, 4, 4, 2, 2, 1]),
        ([7, 7, 7, 1, 9], [1, 2, 2, 2, 3]),
    ],
)
def test_correlations_are_those_of_scipy(scores, rates):
    found = report(scores, rates)
    assert found["spearman"]["value"] == pytest.approx(stats.spearmanr(scores, rates).statistic)
    assert found["kendall"]["value"] == pytest.approx(stats.kendalltau(scores, rates).statistic)
    for name in ("spearman", "kendall"):
        assert found[name]["low"] <= found[name]["value"] <= found[name]["high"]


def test_full_agreement_is_one_and_improbable_by_chance():
    found = report(range(8), range(10, 18))
    for name in ("spearman", "kendall"):
        assert [found[name][key] for key in ("value", "low", "high")] == pytest.approx([1, 1, 1])
        assert found[name]["p"] < 0.01
    assert found["top3_overlap"] == 1


def test_the_opposite_order_is_minus_one_and_no_agreement():
    found = report(range(8), range(8, 0, -1))
    for name in ("spearman", "kendall"):
        assert [found[name][key] for key in ("value", "low", "high")] == pytest.approx([-1, -1, -1])
        assert found[name]["p"] == 1, "one-sided: every order agrees at least as well"
    assert found["top3_overlap"] == 0


def test_chance_is_the_share_of_orders_that_agree_as_well():
    scores, rates = [1, 2, 3, 4, 5], [2, 1, 3, 5, 4]
    given = stats.kendalltau(scores, rates).statistic - 1e-9
    as_well = [stats.kendalltau(scores, order).statistic >= given for order in permutations(rates)]
    expected = sum(as_well) / len(as_well)
    assert report(scores, rates)["kendall"]["p"] == pytest.approx(expected, abs=0.06)


def test_no_relation_has_zero_in_its_interval():
    found = report([1, 2, 3, 4, 5, 6, 7, 8], [4, 5, 3, 6, 6, 3, 5, 4])
    for name in ("spearman", "kendall"):
        assert found[name]["low"] < 0 < found[name]["high"] and found[name]["p"] > 0.2


@pytest.mark.parametrize(
    ("scores", "rates", "shared"),
    [
        ([9, 8, 7, 1, 2, 3], [7, 9, 8, 1, 2, 3], 3),
        ([9, 8, 7, 1, 2, 3], [9, 8, 1, 7, 2, 3], 2),
        ([9, 8, 7, 1, 2, 3], [1, 2, 9, 8, 7, 3], 1),
        ([9, 8, 7, 1, 2, 3], [1, 2, 3, 7, 8, 9], 0),
    ],
)
def test_the_overlap_of_the_best_three(scores, rates, shared):
    assert TOP == 3
    assert report(scores, rates)["top3_overlap"] == pytest.approx(shared / 3)


def test_the_best_are_the_largest_and_of_equal_ones_the_first():
    assert best([1.0, 9.0, 5.0, 7.0]) == [1, 3, 2]
    assert best([5.0, 9.0, 5.0, 5.0, 5.0]) == [1, 0, 2]


def test_the_report_holds_both_columns_in_the_order_given():
    found = report([30, 10, 20, 40], [3, 1, 2, 4], "rank1")
    assert (found["objective"], found["architectures"]) == ("rank1", 4)
    assert found["table"][0] == {"arch": "nano:0-0-0-0", "supernet": 30.0, "retrained": 3.0}
    assert [row["supernet"] for row in found["table"]] == [30, 10, 20, 40]
    assert [row["retrained"] for row in found["table"]] == [3, 1, 2, 4]


def test_the_seed_decides_the_interval_and_nothing_else():
    scores, rates = range(9), [3, 1, 4, 2, 6, 5, 9, 7, 8]
    first, again, other = (report(scores, rates, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first["kendall"]["value"] == other["kendall"]["value"]
    assert first["spearman"] != other["spearman"]


def test_the_report_in_print_by_hand():
    said = words(
        {
            "objective": "map",
            "table": [
                {"arch": "nano:0-0-0-0", "supernet": 30.125, "retrained": 50.5},
                {"arch": "nano:0-0-0-1", "supernet": 31.0, "retrained": 60.25},
            ],
            "spearman": {"value": 0.816, "low": -0.1, "high": 0.957, "p": 0.0154},
            "kendall": {"value": -0.333, "low": -1.0, "high": 0.2, "p": 0.8},
            "top3_overlap": 2 / 3,
        }
    )
    assert said[0].split() == ["architecture", "supernet", "retrained", "(map,", "%)"]
    assert [line.split() for line in said[1:3]] == [
        ["nano:0-0-0-1", "31.00", "60.25"],
        ["nano:0-0-0-0", "30.12", "50.50"],
    ]
    assert said[3:] == [
        "spearman +0.82, 95 % interval -0.10 to +0.96, by chance alone with p = 0.015",
        "kendall -0.33, 95 % interval -1.00 to +0.20, by chance alone with p = 0.800",
        "of the best 3, both agree on 67%",
    ]


def test_the_searched_network_is_no_witness(tmp_path):
    """With it the order would be whole; the rates of the others come from the column asked for."""
    networks = [
        {"arch": f"0-0-0-{i}", "kind": kind, "map": rate, "rank1": 100 - rate}
        for i, (kind, rate) in enumerate(
            [("random", 10.0), ("searched", 90.0), ("uniform", 30.0), ("random", 20.0),
             ("random", 40.0)]
        )
    ]  # fmt: skip
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"networks": networks}))
    found = read_table(path, SPACE, "map")
    assert {str(arch): rate for arch, rate in found.items()} == {
        "nano:0-0-0-0": 10.0,
        "nano:0-0-0-2": 30.0,
        "nano:0-0-0-3": 20.0,
        "nano:0-0-0-4": 40.0,
    }
    assert list(read_table(path, SPACE, "rank1").values()) == [90.0, 70.0, 80.0, 60.0]


def test_four_architectures_are_enough(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("arch,map\n" + "".join(f"0-0-0-{i},{i}\n" for i in range(LEAST)))
    assert LEAST == 4 and len(read_table(path, SPACE, "map")) == 4


def test_what_is_a_rate():
    assert [finite(value) for value in (3, "3.5", "nan", "inf", None, "x")] == [
        3.0, 3.5, None, None, None, None,
    ]  # fmt: skip


def test_unequal_retraining_is_told_with_the_order(tmp_path):
    networks = [
        {"name": f"random-{i}", "arch": f"nano:0-0-0-{i}", "kind": "random"} for i in range(4)
    ]
    networks.append({"name": "gaitset", "arch": None, "kind": "baseline"})
    steps = {"gaitset": 9, **{f"random-{i}": 600 for i in range(4)}}
    seeds = {**steps, "random-0": [0], "random-1": [0, 1], "random-2": [0, 1], "random-3": [0, 1]}
    found = [{"key": "steps", "values": steps}, {"key": "seeds", "values": seeds}]
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"networks": networks, "differences": found}))
    archs = {f"nano:0-0-0-{i}" for i in range(4)}
    assert rank.unequal(path, archs) == [
        "Not trained with the same seeds: 0: random-0; 0 1: random-1, random-2, random-3."
    ], "the baseline is not ranked"
    path.write_text(json.dumps({"networks": networks}))
    assert rank.unequal(path, archs) == []
    (note,) = rank.unequal(tmp_path / "t.csv", archs)
    assert "is not recorded" in note
    assert words(report([1, 2, 3], [1, 2, 3]) | {"notes": ["N."]})[-1] == "N."
