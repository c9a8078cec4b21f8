"""Evolution: finds the best, repeats nothing, and resumes to the same result."""

import dataclasses

import numpy as np
import pytest
from cost_tables import TOY, all_architectures, cost_tables
from hypothesis import given, settings
from hypothesis import strategies as st

from nasgait.errors import ConfigError, DataError, RunFailed
from nasgait.search.budget import Budget, Costs
from nasgait.search.evolution import Evolution, EvolutionConfig
from nasgait.search.ledger import Ledger, read_ledger

SMALL = EvolutionConfig(
    population=6, top_k=3, mutations=2, crossovers=3, mutation_prob=0.3, max_epochs=2
)


def quality(choices, generation=0):
    """A landscape with ties and one best architecture, all choices at 2."""
    return {"map": float(sum(choices)), "rank1": 7.0 * choices[-1]}


class Interrupted(Exception):
    pass


class Interrupting:
    """Scores ``limit`` architectures, then breaks as a kill would."""

    def __init__(self, limit):
        self.left = limit
        self.calls = []

    def __call__(self, choices, generation):
        if self.left == 0:
            raise Interrupted
        self.left -= 1
        self.calls.append(choices)
        return quality(choices)


def test_interrupted_at_every_position_equals_undisturbed(tmp_path):
    evolution = Evolution(Budget(TOY, {"macs": 205}), SMALL, seed=4)
    undisturbed = evolution.run(quality, Ledger.open(tmp_path / "whole.jsonl"))
    total = len(undisturbed.ranking)
    assert total == 18
    for position in range(total + 1):
        path = tmp_path / f"{position}.jsonl"
        first = Interrupting(position)
        if position < total:
            with pytest.raises(Interrupted):
                evolution.run(first, Ledger.open(path))
        else:
            evolution.run(first, Ledger.open(path))
        with path.open("ab") as file:
            file.write(b'{"key": "0-1')  # the line that a kill cut off
        rest = Interrupting(-1)
        assert evolution.run(rest, Ledger.open(path)) == undisturbed
        assert len(first.calls) == position
        assert len({*first.calls, *rest.calls}) == len(first.calls) + len(rest.calls) == total
        assert read_ledger(path) == read_ledger(tmp_path / "whole.jsonl")


@settings(max_examples=30, deadline=None)
@given(cost_tables(), st.integers(0, 1000), st.integers(20, 80), st.integers(0, 3))
def test_never_twice_always_affordable(tmp_path_factory, costs, seed, limit, epochs):
    affordable = [c for c in all_architectures(costs) if costs.total(c)["macs"] <= limit]
    if not affordable:
        return
    config = dataclasses.replace(SMALL, max_epochs=epochs)
    ledger = Ledger.open(tmp_path_factory.mktemp("search") / "ledger.jsonl")
    budget = Budget(costs, {"macs": limit})
    result = Evolution(budget, config, seed).run(quality, ledger)
    scored = [entry.choices for entry in ledger.entries]
    asked = config.population * (epochs + 1)
    assert len(scored) == len(set(scored)) == min(asked, len(affordable))
    assert set(scored) <= set(affordable)
    assert (result.ended_early is None) == (len(affordable) >= asked)
    assert sorted(e.choices for e in result.ranking) == sorted(scored)


def test_exhausted_budget_ends_early_with_the_reason(tmp_path):
    config = EvolutionConfig(population=10, top_k=2, mutations=5, crossovers=5, max_epochs=50)
    result = Evolution(Budget(TOY, {}), config).run(quality, Ledger.open(tmp_path / "l"))
    assert len(result.ranking) == 27
    assert [len(g.entries) for g in result.generations] == [10, 10, 7]
    assert result.ended_early is not None
    assert "all 27 architectures within the budget are scored" in result.ended_early


def test_last_generation_is_ranked(tmp_path):
    """The best architecture scores only if it comes in the last generation."""

    def late(choices, generation):
        return {"map": 100.0 + sum(choices) if generation == 2 else 0.0}

    result = Evolution(Budget(TOY, {}), SMALL, 1).run(late, Ledger.open(tmp_path / "l"))
    assert result.best.generation == 2
    last = {entry.choices for entry in result.generations[-1].entries}
    assert {entry.choices for entry in result.ranking[: len(last)]} == last


def test_breeds_from_the_best_of_all_generations():
    costs = Costs(("macs",), (0,), (tuple((c,) for c in range(6)),) * 8)
    config = EvolutionConfig(population=50, mutations=25, crossovers=25, max_epochs=3)
    evolution = Evolution(Budget(costs), config, seed=2)
    target = np.array([3, 1, 4, 1, 5, 0, 2, 5])

    def hits(choices, generation):
        return {"map": float(np.sum(np.array(choices) == target))}

    entries = []
    means = []
    for number in range(4):
        population = evolution.breed(number, entries)
        fresh = [evolution._entry(c, number, hits, _Unwritten()) for c in population]
        means.append(np.mean([entry.values["map"] for entry in fresh]))
        entries.extend(fresh)
    assert means[1] > means[0] + 1 and means[3] > means[1] + 0.5


class _Unwritten(Ledger):
    def __init__(self):
        self._entries = {}

    def append(self, entry):
        pass


def test_seed_decides_everything(tmp_path):
    def keys(seed, name):
        evolution = Evolution(Budget(TOY, {}), SMALL, seed)
        return [e.key for e in evolution.run(quality, Ledger.open(tmp_path / name)).ranking]

    assert keys(1, "a") == keys(1, "b") != keys(2, "c")


def test_ties_rank_the_cheaper_first(tmp_path):
    config = dataclasses.replace(SMALL, max_epochs=9)
    evolution = Evolution(Budget(TOY, {}), config)
    result = evolution.run(lambda c, g: {"map": 1.0}, Ledger.open(tmp_path / "l"))
    costs = [(e.values["macs"], e.values["params"]) for e in result.ranking]
    assert costs == sorted(costs)


def test_longer_search_goes_on_from_a_shorter_one(tmp_path):
    budget = Budget(TOY, {})
    path = tmp_path / "ledger.jsonl"
    Evolution(budget, SMALL).run(quality, Ledger.open(path))
    longer = dataclasses.replace(SMALL, max_epochs=3)
    resumed = Evolution(budget, longer).run(quality, Ledger.open(path))
    assert resumed == Evolution(budget, longer).run(quality, Ledger.open(tmp_path / "fresh"))


@pytest.mark.parametrize(
    "other",
    [
        Evolution(Budget(TOY, {}), SMALL, seed=9),
        Evolution(Budget(TOY, {"macs": 170}), SMALL),
        Evolution(Budget(TOY, {}), dataclasses.replace(SMALL, population=7)),
        Evolution(Budget(TOY, {}), dataclasses.replace(SMALL, mutation_prob=0.9)),
        Evolution(Budget(TOY, {}), dataclasses.replace(SMALL, objective="rank5")),
        Evolution(Budget(dataclasses.replace(TOY, base=(0, 0)), {}), SMALL),
    ],
    ids=["seed", "budget", "population", "mutation_prob", "objective", "costs"],
)
def test_ledger_of_another_search_is_refused_untouched(tmp_path, other):
    path = tmp_path / "ledger.jsonl"
    Evolution(Budget(TOY, {}), SMALL).run(quality, Ledger.open(path))
    before = path.read_bytes()
    with pytest.raises(DataError, match="written by another search"):
        other.run(quality, Ledger.open(path))
    assert path.read_bytes() == before


def test_generations_are_announced(tmp_path):
    seen = []
    result = Evolution(Budget(TOY, {}), SMALL).run(
        quality, Ledger.open(tmp_path / "l"), seen.append
    )
    assert tuple(seen) == result.generations
    assert [generation.number for generation in seen] == [0, 1, 2]


@pytest.mark.parametrize("scores", [{"map": float("nan")}, {"rank1": 1.0}, {}])
def test_score_that_cannot_rank(tmp_path, scores):
    path = tmp_path / "ledger.jsonl"
    with pytest.raises(RunFailed, match="expected finite numbers with 'map' among them"):
        Evolution(Budget(TOY, {}), SMALL).run(lambda c, g: scores, Ledger.open(path))
    assert read_ledger(path) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"population": 0}, "at least 1"),
        ({"top_k": 0}, "at least 1"),
        ({"mutations": -1}, "not be negative"),
        ({"mutations": 5}, "do not fit a population of 6"),
        ({"mutation_prob": 1.5}, "mutation_prob 1.5"),
    ],
)
def test_settings_that_cannot_be(change, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(SMALL, **change)
