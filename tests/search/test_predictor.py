"""The predictor: ridge regression against least squares, and what it does to a search."""

import dataclasses
from itertools import product

import numpy as np
import pytest
from cost_tables import TOY, all_architectures
from hypothesis import given, settings
from hypothesis import strategies as st

from nasgait.config.objectives import Objectives
from nasgait.config.schema import SearchConfig
from nasgait.search.budget import Budget, Costs
from nasgait.search.evolution import Evolution
from nasgait.search.latency import Latencies
from nasgait.search.ledger import Ledger, LedgerEntry
from nasgait.search.predictor import STRENGTHS, Predictor, Ridge, best_ridge, indicators
from nasgait.search.state import SearchState, search

SIZES = (1, 3, 2, 4)
EVERY = list(product(*map(range, SIZES)))
# 6 layers of 5 choices: 15,625 architectures, all of one price.
LARGE = Costs(("macs",), (1,), (((1,),) * 5,) * 6)


def least_squares(features, values, strength, asked):
    """Ridge with a free mean as plain least squares: each effect has a row that wants it 0."""
    columns = features.shape[1]
    rows = np.vstack(
        [
            np.hstack([np.ones((len(features), 1)), features]),
            np.hstack([np.zeros((columns, 1)), np.sqrt(strength) * np.eye(columns)]),
        ]
    )
    solution = np.linalg.lstsq(rows, np.concatenate([values, np.zeros(columns)]), rcond=None)[0]
    return solution[0] + asked @ solution[1:]


def drawn(seed, count):
    rng = np.random.default_rng(seed)
    chosen = [EVERY[i] for i in rng.choice(len(EVERY), size=count, replace=False)]
    return chosen, rng.normal(30, 5, size=count)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 999), st.integers(2, 20), st.booleans())
def test_ridge_is_least_squares_and_its_strength_guesses_left_out_values_best(seed, count, pairs):
    chosen, values = drawn(seed, count)
    ridge = Ridge(chosen, values, SIZES, pairs)
    features, asked = (indicators(some, SIZES, pairs) for some in (chosen, EVERY))
    expected = least_squares(features, values, ridge.strength, asked)
    np.testing.assert_allclose(ridge(EVERY), expected, rtol=1e-6)

    def left_out(strength):
        errors = []
        for i in range(count):
            rest = np.arange(count) != i
            guess = least_squares(features[rest], values[rest], strength, features[i])
            errors.append((values[i] - guess) ** 2)
        return np.mean(errors)

    errors = [left_out(strength) for strength in STRENGTHS]
    assert ridge.error == pytest.approx(min(errors), rel=1e-5)
    assert left_out(ridge.strength) == pytest.approx(min(errors), rel=1e-5)


def test_indicators_by_hand():
    assert indicators([(0, 1), (1, 2)], (2, 3), pairs=True).tolist() == [
        [1, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0],
        [0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1],
    ]


def test_effects_that_add_up_are_found_from_a_few_scores():
    rng = np.random.default_rng(1)
    effects = rng.normal(size=(6, 5))
    some, unseen = rng.integers(0, 5, (60, 6)), rng.integers(0, 5, (500, 6))
    ridge = best_ridge(list(map(tuple, some)), effects[range(6), some].sum(1), (5,) * 6)
    guesses = ridge(list(map(tuple, unseen)))
    assert np.corrcoef(guesses, effects[range(6), unseen].sum(1))[0, 1] > 0.999


def test_pairs_are_taken_where_neighbours_interact():
    both_or_none = np.array([float(a == b) for _, a, b, _ in EVERY])
    assert best_ridge(EVERY, both_or_none, SIZES)._pairs
    rng = np.random.default_rng(0)
    some, effects = rng.integers(0, 5, (60, 6)), rng.normal(size=(6, 5))
    noisy = effects[range(6), some].sum(1) + rng.normal(size=60)
    assert not best_ridge(list(map(tuple, some)), noisy, (5,) * 6)._pairs


def predictor(scores, *objectives):
    scored = [LedgerEntry(c, 0, {"map": score, **TOY.total(c)}) for c, score in scores.items()]
    return Predictor(scored, Objectives(objectives), TOY.choices, TOY.total)


def test_one_objective_orders_by_the_guess():
    scores = {c: 10.0 * c[1] - 3 * c[3] for c in all_architectures(TOY)[::2]}
    children = [(0, 0, 0, 2), (0, 2, 1, 0), (0, 1, 1, 1)]
    best = predictor(scores, "map").best_first(children)
    assert best == [children[1], children[2], children[0]]


def test_what_extends_the_front_comes_before_what_it_dominates():
    """Only the second choice counts, so the front takes the cheapest of all others."""
    scores = {c: 10.0 * c[1] for c in all_architectures(TOY) if c[2:] != (0, 0)}
    cheaper_than_scored, same_score_but_dearer, worse = (0, 1, 0, 0), (0, 1, 1, 1), (0, 0, 2, 2)
    best = predictor(scores, "map", "macs").best_first(
        [worse, same_score_but_dearer, cheaper_than_scored]
    )
    assert best == [cheaper_than_scored, same_score_but_dearer, worse]


def test_promise_is_counted_in_units_of_each_range():
    """A range of 10 in map and 40 in MACs; how far the front (50, 100), (40, 60) is behind."""
    table = {(0,): (50, 100), (1,): (40, 60), (2,): (52, 100), (3,): (45, 60), (4,): (50, 96)}
    scored = [LedgerEntry(c, 0, {"map": table[c][0], "macs": table[c][1]}) for c in [(0,), (1,)]]
    known = {c: {"map": -score, "macs": macs} for c, (score, macs) in table.items()}
    ordered = Predictor(scored, Objectives(("map", "macs")), (5,), known.__getitem__)
    # By 0.2 of a range, 0.5 and 0.1.
    assert ordered.best_first([(2,), (3,), (4,)]) == [(3,), (2,), (4,)]


def test_equal_guesses_keep_the_order_given():
    children = all_architectures(TOY)[::-1]
    equal = predictor(dict.fromkeys(children[:5], 7.0), "map")
    assert equal.best_first(children) == children


def scores_of(seed):
    effects = np.random.default_rng([seed, 3]).normal(size=(6, 5))
    return lambda choices: float(effects[range(6), choices].sum())


def searched(folder, costs, score, seed=0, measure=None, **changes):
    config = SearchConfig(
        population=10, top_k=4, mutations=4, crossovers=4, mutation_prob=0.2, **changes
    )
    state = SearchState(
        Evolution(Budget(costs), config, seed, measure), Ledger.open(folder / f"{seed}.jsonl")
    )
    return search(state, lambda some: [(c, {"map": score(c)}, 0.0) for c in some], 10)


def test_the_same_budget_finds_more_with_it(tmp_path):
    gains = []
    for seed in range(10):
        found = []
        for candidates in (1, 8):
            folder = tmp_path / str(candidates)
            folder.mkdir(exist_ok=True)
            result = searched(folder, LARGE, scores_of(seed), seed, max_epochs=4,
                              candidates=candidates)  # fmt: skip
            assert len(result.ranking) == 50
            found.append(result.best.values["map"])
        gains.append(found[1] - found[0])
    assert np.mean(gains) > 0.5
    assert sum(gain > 0 for gain in gains) >= 8


def test_nothing_is_kept_out_for_good(tmp_path):
    """Scores that mean nothing mislead it; all that is affordable is scored in the end."""
    rng = np.random.default_rng(0)
    scores = {choices: float(rng.normal()) for choices in all_architectures(TOY)}
    result = searched(tmp_path, TOY, scores.__getitem__, max_epochs=9, candidates=8)
    assert {entry.choices for entry in result.ranking} == set(scores)
    assert "all 27 architectures" in result.ended_early


def test_only_the_chosen_are_measured(tmp_path):
    """A latency costs time, so a limit on it is held against the most promising alone."""
    measured = []

    def slow(choices):
        measured.append(choices)
        return 0.02 if choices[0] == 4 else 0.01

    measure = Latencies(tmp_path / "latency.jsonl", slow, {"device": "cpu"}, limit=0.015)
    objectives = ("map", "latency")
    result = searched(tmp_path, LARGE, scores_of(0), measure=measure, max_epochs=5,
                      candidates=8, objectives=objectives)  # fmt: skip
    assert all(entry.values["latency"] == 0.01 for entry in result.ranking)
    refused = [choices for choices in measured if choices[0] == 4]
    assert len(measured) == len(result.ranking) + len(refused)


def test_one_candidate_is_the_search_without(tmp_path):
    config = SearchConfig(population=6, top_k=3, mutations=3, crossovers=3, max_epochs=2)
    plain = Evolution(Budget(TOY), config)
    guided = Evolution(Budget(TOY), dataclasses.replace(config, candidates=3))
    few = [LedgerEntry(c, 0, {"map": 1.0, **TOY.total(c)}) for c in all_architectures(TOY)[:5]]
    assert plain._preselection([*few, *few]) is None
    assert guided._preselection(few) is None  # fewer than a population
    assert guided.breed(1, few, set()) == plain.breed(1, few, set())
