"""Who breeds: the best few, or the survivors of non-dominated sorting; against pymoo's search."""

import importlib.util
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from pymoo.algorithms.moo.nsga2 import RankAndCrowding
from pymoo.core.population import Population
from pymoo.core.problem import Problem

from nasgait.config.objectives import Objectives
from nasgait.core.errors import ConfigError
from nasgait.search.ledger import LedgerEntry
from nasgait.search.selection import NSGA2, MatingPool, TopK


def entries(vectors):
    """An entry for each (macs, map), numbered by its only choice."""
    return [
        LedgerEntry((number,), 0, {"macs": macs, "map": score})
        for number, (macs, score) in enumerate(vectors)
    ]


def members(pool):
    return [choices[0] for choices in pool.members]


def test_top_k_is_the_head_of_the_ranking():
    ranking = entries([(5, 9.0), (1, 8.0), (3, 7.0)])
    assert members(TopK(2).pool(ranking)) == [0, 1]
    assert members(TopK(5).pool(ranking)) == [0, 1, 2]
    assert members(TopK(2).pool([])) == []


def test_survivors_come_by_front_then_by_crowding_distance():
    # The first front is 0, 1, 2, 3 (its ends 0 and 3 are infinitely far, 2 is less crowded than 1).
    ranking = entries([(9, 90.0), (8, 85.0), (5, 80.0), (1, 10.0), (9, 79.0), (2, 5.0)])
    objectives = Objectives(("map", "macs"))
    assert members(NSGA2(objectives, 6).pool(ranking))[:4] == [0, 3, 2, 1]
    assert members(NSGA2(objectives, 3).pool(ranking)) == [0, 3, 2]
    assert set(members(NSGA2(objectives, 6).pool(ranking))[4:]) == {4, 5}


def test_survivors_equal_pymoos():
    """By front and crowding distance: pymoo draws lots among equally crowded ones."""
    objectives = Objectives(("map", "macs"))
    for seed in range(200):
        rng = np.random.default_rng(seed)
        ranking = entries(zip(rng.normal(size=60), rng.normal(size=60), strict=True))
        population = Population.new(F=np.array(objectives.vectors(ranking)))
        kept = RankAndCrowding().do(Problem(n_obj=2), population, n_survive=25)
        expected = sorted((one.get("rank"), -one.get("crowding")) for one in kept)
        ours = population[members(NSGA2(objectives, 25).pool(ranking))]
        found = [(one.get("rank"), -one.get("crowding")) for one in ours]
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_tournaments_are_won_by_the_better():
    rng = np.random.default_rng(0)
    names = tuple((number,) for number in range(4))
    even = Counter(MatingPool(names).draw(rng) for _ in range(4000))
    tournaments = Counter(MatingPool(names, tournament_size=2).draw(rng) for _ in range(6000))
    assert all(abs(count - 1000) < 120 for count in even.values())
    # Of 6 pairs the best wins 3, the next 2, the third 1, the last none.
    assert [round(tournaments[name] / 1000) for name in names] == [3, 2, 1, 0]


def test_parents_differ_where_they_can():
    rng = np.random.default_rng(0)
    pool = MatingPool(((0,), (1,)), tournament_size=2)
    assert {pool.draw(rng, other_than=(0,)) for _ in range(20)} == {(1,)}
    assert MatingPool(((0,),)).draw(rng, other_than=(0,)) == (0,)


@pytest.mark.parametrize(
    ("names", "message"), [((), "none: need a metric"), (("macs",), "need a metric"),
                           (("map", "map"), "given twice")],
)  # fmt: skip
def test_objectives_that_cannot_be(names, message):
    with pytest.raises(ConfigError, match=message):
        Objectives(names)


def test_objectives_are_minimised():
    objectives = Objectives(("macs", "rank1", "map"))
    assert (objectives.metric, objectives.costs) == ("rank1", ("macs",))
    entry = LedgerEntry((0,), 0, {"map": 3.0, "rank1": 2.0, "macs": 7})
    assert objectives.vectors([entry]) == [(7, -2.0, -3.0)]


def test_covers_no_less_than_pymoos_search_at_equal_evaluations(monkeypatch):
    """The study of ``tools/studies/search.py`` in small; there with a hundred seeds."""
    path = Path(__file__).resolve().parents[2] / "tools" / "studies" / "search.py"
    monkeypatch.syspath_prepend(path.parent)
    spec = importlib.util.spec_from_file_location("search_study", path)
    study = sys.modules["search_study"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(study)
    problems = importlib.import_module("problems")
    arms = (study.run_ours, study.ARMS["pymoo, integers"], study.ARMS["pymoo, choices"])
    for make in (lambda seed: problems.zdt("zdt1"), lambda seed: problems.table(seed, 3)):
        found = np.array([[arm(make(seed), 40, 10, seed) for arm in arms] for seed in range(16)])
        ours, *pymoos = found.mean(0)
        assert ours >= max(pymoos), found.mean(0)
