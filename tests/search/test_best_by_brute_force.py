"""Which architectures are best, non-dominated, lonely or covered: by going through all of them.

Rates go up and costs go down; each test turns one of them round to see that it matters.
"""

import json
from itertools import product

import numpy as np
import pytest
from cost_tables import TOY

from nasgait.config.objectives import Objectives
from nasgait.config.schema import SearchConfig
from nasgait.search.budget import Budget
from nasgait.search.evolution import Evolution
from nasgait.search.hypervolume import RelativeHypervolume
from nasgait.search.ledger import LedgerEntry
from nasgait.search.nondominated import crowding, fronts
from nasgait.search.pareto import pareto, write_pareto
from nasgait.search.predictor import Predictor
from nasgait.search.selection import NSGA2

UP, DOWN = ("map", "rank1"), ("macs", "params", "latency")


def population(seed, count=14, levels=5):
    """Architectures with few different values, so that many are equal in something."""
    rng = np.random.default_rng(seed)
    names = (*UP, *DOWN)
    return [
        LedgerEntry(
            (number,), 0, dict(zip(names, map(float, rng.integers(0, levels, 5)), strict=True))
        )
        for number in range(count)
    ]


def beats(one, other, names):
    """At least as good in everything and better in something, written out."""
    better = False
    for name in names:
        mine, theirs = one.values[name], other.values[name]
        if (mine < theirs) if name in UP else (mine > theirs):
            return False
        better = better or mine != theirs
    return better


def layers(entries, names):
    """Front after front: what nothing that is left beats."""
    left, found = list(entries), []
    while left:
        front = [e for e in left if not any(beats(other, e, names) for other in left)]
        found.append([e.choices[0] for e in front])
        left = [e for e in left if e not in front]
    return found


CASES = [
    ("map", "macs"),
    ("macs", "map"),
    ("rank1", "params"),
    ("map", "macs", "params"),
    ("map", "rank1"),
    ("map", "latency", "rank1", "macs"),
]


@pytest.mark.parametrize("names", CASES)
@pytest.mark.parametrize("seed", range(6))
def test_fronts_of_metrics_and_costs(names, seed):
    entries = population(seed)
    found = list(fronts(Objectives(names).vectors(entries)))
    assert found == layers(entries, names)
    metrics = [name for name in names if name in UP]
    costs = [name for name in names if name in DOWN]
    front = pareto(entries, metrics, costs)
    assert sorted(e.choices[0] for e in front) == layers(entries, names)[0]
    order = [[*(e.values[n] for n in costs), *(-e.values[n] for n in metrics)] for e in front]
    assert order == sorted(order), "the cheapest first, of equal cost the better"


def test_a_front_by_hand():
    points = {"a": (90, 9), "b": (80, 5), "c": (85, 6), "d": (80, 6), "e": (70, 5), "f": (90, 9)}
    entries = [
        LedgerEntry((i,), 0, {"map": float(rate), "macs": cost})
        for i, (rate, cost) in enumerate(points.values())
    ]

    def names(found):
        return "".join(list(points)[e.choices[0]] for e in found)

    assert names(pareto(entries, ["map"], ["macs"])) == "bcaf"
    assert names(pareto(entries, ["macs"], ["map"])) == "edaf"
    assert names(pareto(entries, ["map"], [])) == "af"
    assert names(pareto(entries, [], ["macs"])) == "be"


def test_the_file_of_the_front_names_the_directions(tmp_path):
    entries = population(3)
    write_pareto(tmp_path / "p.json", entries, ["map"], ["latency"])
    text = (tmp_path / "p.json").read_text()
    document = json.loads(text)
    assert (document["up"], document["down"]) == (["map"], ["latency"])
    keys = sorted(int(line["key"]) for line in document["front"])
    assert keys == layers(entries, ("map", "latency"))[0]


def loneliness(points):
    """Crowding by the definition, one objective and one point at a time; points are distinct."""
    found = []
    for point in points:
        total = 0.0
        for axis in range(len(point)):
            column = sorted(other[axis] for other in points)
            place = column.index(point[axis])
            if column[0] == column[-1]:
                continue
            if place in (0, len(column) - 1):
                total = float("inf")
                break
            total += (column[place + 1] - column[place - 1]) / (column[-1] - column[0])
        found.append(total)
    return found


@pytest.mark.parametrize("objectives", [2, 3, 4])
@pytest.mark.parametrize("seed", range(5))
def test_crowding_by_the_definition(objectives, seed):
    rng = np.random.default_rng(seed)
    points = np.stack([rng.permutation(9) for _ in range(objectives)], axis=1)
    points = [tuple(map(float, row)) for row in points]
    np.testing.assert_allclose(crowding(points), loneliness(points))


@pytest.mark.parametrize("count", [1, 3, 6, 10])
@pytest.mark.parametrize("seed", range(6))
def test_survivors_are_front_by_front_and_the_loneliest_within_the_last(count, seed):
    rng = np.random.default_rng(seed)
    entries = [
        LedgerEntry((i,), 0, {"map": float(rate), "macs": float(cost)})
        for i, (rate, cost) in enumerate(zip(rng.permutation(12), rng.permutation(12), strict=True))
    ]
    kept = [c[0] for c in NSGA2(Objectives(("map", "macs")), count).pool(entries).members]
    expected = []
    for front in layers(entries, ("map", "macs")):
        points = [(-entries[i].values["map"], entries[i].values["macs"]) for i in front]
        lonely = dict(zip(front, loneliness(points), strict=True))
        expected += sorted(front, key=lambda i: -lonely[i])
    assert kept == expected[:count]


def share_by_cells(points, limit):
    """Of all whole percents and costs up to the limit, the share that some point covers."""
    covered = sum(
        any(percent < rate and cost >= mine for rate, mine in points)
        for percent, cost in product(range(100), range(limit))
    )
    return covered / (100 * limit)


@pytest.mark.parametrize("seed", range(8))
def test_coverage_counts_what_is_below_a_rate_and_above_a_cost(seed):
    rng = np.random.default_rng(seed)
    points = [(int(rng.integers(0, 101)), int(rng.integers(100, 230))) for _ in range(6)]
    entries = [
        LedgerEntry((i,), 0, {"map": float(r), "macs": c}) for i, (r, c) in enumerate(points)
    ]
    config = SearchConfig(objectives=("map", "macs"))
    found = RelativeHypervolume(Evolution(Budget(TOY, {"macs": 200}), config)).share(entries)
    assert found == pytest.approx(share_by_cells(points, 200))


def test_more_rate_and_less_cost_cover_more():
    config = SearchConfig(objectives=("map", "macs"))
    share = RelativeHypervolume(Evolution(Budget(TOY, {"macs": 200}), config)).share

    def of(rate, macs):
        return share([LedgerEntry((0,), 0, {"map": rate, "macs": macs})])

    assert (of(50.0, 150), of(60.0, 150), of(50.0, 140)) == pytest.approx((0.125, 0.15, 0.15))
    assert of(0.0, 150) == of(50.0, 200) == of(50.0, 201) == 0


@pytest.mark.parametrize("rate", ["map", "rank1"])
def test_the_winner_has_the_highest_rate_and_ties_go_to_macs_then_params_then_choices(rate):
    values = [
        ((0, 1, 0, 0), 50.0, 145, 23),
        ((0, 0, 2, 0), 60.0, 165, 22),
        ((0, 2, 0, 0), 60.0, 165, 22),
        ((0, 1, 1, 0), 60.0, 155, 22),
        ((0, 0, 1, 1), 60.0, 155, 21),
        ((0, 0, 0, 0), 59.9, 135, 24),
        ((0, 0, 0, 2), 60.0, 154, 24),
    ]
    other = {"map": "rank1", "rank1": "map"}[rate]
    entries = [
        LedgerEntry(choices, 0, {rate: score, other: 100 - score, "macs": macs, "params": params})
        for choices, score, macs, params in values
    ]
    evolution = Evolution(Budget(TOY), SearchConfig(objectives=(rate,)))
    for order in (entries, entries[::-1]):
        assert [e.choices for e in evolution.rank(order)] == [
            (0, 0, 0, 2), (0, 0, 1, 1), (0, 1, 1, 0), (0, 0, 2, 0), (0, 2, 0, 0), (0, 0, 0, 0),
            (0, 1, 0, 0),
        ]  # fmt: skip


@pytest.mark.parametrize("sign", [1, -1])
def test_a_forecast_puts_the_highest_rate_first(sign):
    """The rate is a sum of effects, so a regression knows it: its order is that of the sums."""
    everything = list(product(range(3), range(3), range(3)))
    scored = [
        LedgerEntry(c, 0, {"map": 50.0 + sign * (9 * c[0] + 3 * c[1] + c[2])})
        for c in everything[::2]
    ]
    predictor = Predictor(scored, Objectives(("map",)), (3, 3, 3), lambda choices: {})
    rest = everything[1::2]
    assert predictor.best_first(rest) == sorted(rest, reverse=sign > 0)


def test_a_forecast_prefers_the_cheaper_of_equally_good_ones():
    scored = [LedgerEntry((c,), 0, {"map": 50.0 + c % 2, "macs": 10 * c}) for c in range(4, 8)]
    predictor = Predictor(
        scored, Objectives(("map", "macs")), (8,), lambda choices: {"macs": 10 * choices[0]}
    )
    assert predictor.best_first([(3,), (1,), (2,)]) == [(1,), (2,), (3,)]
