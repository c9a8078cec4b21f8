"""Evolution: finds the best, repeats nothing, and resumes to the same result."""

import dataclasses

import numpy as np
import pytest
from cost_tables import TOY, all_architectures, cost_tables
from hypothesis import given, settings
from hypothesis import strategies as st

from nasgait.config.schema import SearchConfig
from nasgait.core.errors import ConfigError, DataError, RunFailed
from nasgait.search.budget import Budget, Costs
from nasgait.search.evolution import Evolution
from nasgait.search.ledger import Ledger, read_ledger
from nasgait.search.state import SearchState, search

SMALL = SearchConfig(
    population=6, top_k=3, mutations=2, crossovers=3, mutation_prob=0.3, max_epochs=2
)


def quality(choices, generation=0):
    """A landscape with ties and one best architecture, all choices at 2."""
    return {"map": float(sum(choices)), "rank1": 7.0 * choices[-1]}


def run(evolution, score, ledger, on_generation=None, chunk=4):
    """Score one architecture after the other by ``score(choices, generation)``."""
    state = SearchState(evolution, ledger)
    if on_generation:
        state.follow(on_generation)

    def score_all(chunk):
        for choices in chunk:
            yield choices, score(choices, state.generation(choices)), 0.5

    return search(state, score_all, chunk)


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
    undisturbed = run(evolution, quality, Ledger.open(tmp_path / "whole.jsonl"))
    total = len(undisturbed.ranking)
    assert total == 18
    for position in range(total + 1):
        path = tmp_path / f"{position}.jsonl"
        first = Interrupting(position)
        if position < total:
            with pytest.raises(Interrupted):
                run(evolution, first, Ledger.open(path))
        else:
            run(evolution, first, Ledger.open(path))
        with path.open("ab") as file:
            file.write(b'{"key": "0-1')  # the line that a kill cut off
        rest = Interrupting(-1)
        assert run(evolution, rest, Ledger.open(path)) == undisturbed
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
    result = run(Evolution(budget, config, seed), quality, ledger)
    scored = [entry.choices for entry in ledger.entries]
    asked = config.population * (epochs + 1)
    assert len(scored) == len(set(scored)) == min(asked, len(affordable))
    assert set(scored) <= set(affordable)
    assert (result.ended_early is None) == (len(affordable) >= asked)
    assert sorted(e.choices for e in result.ranking) == sorted(scored)


def test_exhausted_budget_ends_early_with_the_reason(tmp_path):
    config = SearchConfig(population=10, top_k=2, mutations=5, crossovers=5, max_epochs=50)
    result = run(Evolution(Budget(TOY, {}), config), quality, Ledger.open(tmp_path / "l"))
    assert len(result.ranking) == 27
    assert [len(g.entries) for g in result.generations] == [10, 10, 7]
    assert result.ended_early is not None
    assert "all 27 architectures within the budget are scored" in result.ended_early


def test_last_generation_is_ranked(tmp_path):
    """The best architecture scores only if it comes in the last generation."""

    def late(choices, generation):
        return {"map": 100.0 + sum(choices) if generation == 2 else 0.0}

    result = run(Evolution(Budget(TOY, {}), SMALL, 1), late, Ledger.open(tmp_path / "l"))
    assert result.best.generation == 2
    last = {entry.choices for entry in result.generations[-1].entries}
    assert {entry.choices for entry in result.ranking[: len(last)]} == last


@pytest.mark.parametrize(("batches", "lookahead"), [(1, 1), (2, 2), (5, 3)])
def test_breeds_from_the_best_of_all_generations(tmp_path, monkeypatch, batches, lookahead):
    monkeypatch.setattr("os.fsync", lambda file: None)
    costs = Costs(("macs",), (0,), (tuple((c,) for c in range(6)),) * 8)
    config = SearchConfig(max_epochs=3, batches_per_generation=batches, lookahead=lookahead)
    target = np.array([3, 1, 4, 1, 5, 0, 2, 5])

    def hits(choices, generation):
        return {"map": float(np.sum(np.array(choices) == target))}

    def means(seed):
        ledger = Ledger.open(tmp_path / f"{seed}.jsonl")
        result = run(Evolution(Budget(costs), config, seed), hits, ledger)
        return [np.mean([e.values["map"] for e in g.entries]) for g in result.generations]

    mean = np.mean([means(seed) for seed in range(8)], axis=0)
    assert mean[1] > mean[0] + 1 and mean[3] > mean[1] + 0.5


@pytest.mark.parametrize(("batches", "lookahead"), [(1, 1), (2, 1), (5, 1), (5, 3)])
def test_no_score_has_a_say_in_the_first_generation(tmp_path, batches, lookahead):
    config = dataclasses.replace(
        SMALL, max_epochs=1, batches_per_generation=batches, lookahead=lookahead
    )

    def generations(sign):
        ledger = Ledger.open(tmp_path / f"{sign}.jsonl")
        result = run(
            Evolution(Budget(TOY), config), lambda c, g: {"map": sign * float(sum(c))}, ledger
        )
        return [[e.choices for e in g.entries] for g in result.generations]

    first, other = generations(1), generations(-1)
    assert first[0] == other[0] and first[1] != other[1]


def test_seed_decides_everything(tmp_path):
    def keys(seed, name):
        evolution = Evolution(Budget(TOY, {}), SMALL, seed)
        return [e.key for e in run(evolution, quality, Ledger.open(tmp_path / name)).ranking]

    assert keys(1, "a") == keys(1, "b") != keys(2, "c")


def test_ties_rank_the_cheaper_first(tmp_path):
    config = dataclasses.replace(SMALL, max_epochs=9)
    evolution = Evolution(Budget(TOY, {}), config)
    result = run(evolution, lambda c, g: {"map": 1.0}, Ledger.open(tmp_path / "l"))
    costs = [(e.values["macs"], e.values["params"]) for e in result.ranking]
    assert costs == sorted(costs)


def test_longer_search_goes_on_from_a_shorter_one(tmp_path):
    budget = Budget(TOY, {})
    path = tmp_path / "ledger.jsonl"
    run(Evolution(budget, SMALL), quality, Ledger.open(path))
    longer = dataclasses.replace(SMALL, max_epochs=3)
    resumed = run(Evolution(budget, longer), quality, Ledger.open(path))
    assert resumed == run(Evolution(budget, longer), quality, Ledger.open(tmp_path / "fresh"))


@pytest.mark.parametrize(
    "other",
    [
        Evolution(Budget(TOY, {}), SMALL, seed=9),
        Evolution(Budget(TOY, {"macs": 170}), SMALL),
        Evolution(Budget(TOY, {}), dataclasses.replace(SMALL, population=7)),
        Evolution(Budget(TOY, {}), dataclasses.replace(SMALL, mutation_prob=0.9)),
        Evolution(Budget(TOY, {}), dataclasses.replace(SMALL, objectives=("rank5",))),
        Evolution(Budget(dataclasses.replace(TOY, base=(0, 0)), {}), SMALL),
    ],
    ids=["seed", "budget", "population", "mutation_prob", "objectives", "costs"],
)
def test_ledger_of_another_search_is_refused_untouched(tmp_path, other):
    path = tmp_path / "ledger.jsonl"
    run(Evolution(Budget(TOY, {}), SMALL), quality, Ledger.open(path))
    before = path.read_bytes()
    with pytest.raises(DataError, match="written by another search"):
        run(other, quality, Ledger.open(path))
    assert path.read_bytes() == before


def test_generations_are_announced(tmp_path):
    seen = []
    evolution = Evolution(Budget(TOY, {}), SMALL)
    result = run(evolution, quality, Ledger.open(tmp_path / "l"), seen.append)
    assert tuple(seen) == result.generations
    assert [generation.number for generation in seen] == [0, 1, 2]


@pytest.mark.parametrize("scores", [{"map": float("nan")}, {"rank1": 1.0}, {}])
def test_score_that_cannot_rank(tmp_path, scores):
    path = tmp_path / "ledger.jsonl"
    with pytest.raises(RunFailed, match="expected finite numbers with 'map' among them"):
        run(Evolution(Budget(TOY, {}), SMALL), lambda c, g: scores, Ledger.open(path))
    assert read_ledger(path) == []


def test_children_that_do_not_fit_the_population():
    with pytest.raises(ConfigError, match="do not fit a population of 6"):
        Evolution(Budget(TOY), dataclasses.replace(SMALL, mutations=5))
