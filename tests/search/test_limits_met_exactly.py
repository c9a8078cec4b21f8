"""What costs exactly the limit is within the budget, one unit more is not: everywhere."""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
from cost_tables import TOY, all_architectures

from nasgait.config.schema import SearchConfig
from nasgait.core.errors import BudgetError
from nasgait.search.breeding import Offspring
from nasgait.search.budget import Budget
from nasgait.search.evolution import Evolution
from nasgait.search.ledger import Ledger
from nasgait.search.state import SearchState, search
from search_spaces import load_space
from search_spaces.configured import budget_of

SMALL = SearchConfig(
    population=6, top_k=3, mutations=2, crossovers=3, mutation_prob=0.4, max_epochs=8
)
SIZES = {"macs": sorted({10 * a + 20 * b + 40 * (3 - a - b) + 105 for a in range(4)
                         for b in range(4 - a)}),
         "params": sorted({3 * a + 2 * b + (3 - a - b) + 15 for a in range(4)
                           for b in range(4 - a)})}  # fmt: skip
"""What the 27 architectures of TOY cost, each value once."""

TWO = [(name, size) for name in SIZES for size in SIZES[name]]


def total(choices, name):
    """The cost of an architecture of TOY, added up from the table in its comment."""
    steps = {"macs": (10, 20, 40), "params": (3, 2, 1)}[name]
    return {"macs": 105, "params": 15}[name] + sum(steps[choice] for choice in choices[1:])


def within(name, limit):
    return {c for c in all_architectures(TOY) if total(c, name) <= limit}


@pytest.mark.parametrize(("name", "limit"), TWO)
def test_every_way_to_an_architecture_takes_those_at_the_limit_and_no_others(name, limit):
    budget = Budget(TOY, {name: limit})
    expected = within(name, limit)
    assert any(total(choices, name) == limit for choices in expected)
    assert {c for c in all_architectures(TOY) if budget.affordable(c)} == expected
    assert set(budget.enumerate_unseen(())) == expected
    rng = np.random.default_rng(0)
    assert {budget.sample(rng) for _ in range(30 * len(expected))} == expected


@pytest.mark.parametrize(("name", "least"), [("macs", 135), ("params", 18)])
def test_the_smallest_reachable_cost_is_a_budget_and_one_unit_less_is_none(name, least):
    (only,) = Budget(TOY, {name: least}).enumerate_unseen(())
    assert total(only, name) == least
    assert Budget(TOY, {name: least + 0.5}).affordable(only)
    for short in (least - 1, least - 0.5):
        with pytest.raises(BudgetError, match=f"the smallest reachable is {name} {least};"):
            Budget(TOY, {name: short})


def test_two_limits_are_both_met_exactly():
    """Cheap in one is dear in the other: 135 MACs take 24 params, 145 take 23."""
    assert list(Budget(TOY, {"macs": 135, "params": 24}).enumerate_unseen(())) == [(0, 0, 0, 0)]
    for limits in ({"macs": 135, "params": 23}, {"macs": 134, "params": 24}):
        with pytest.raises(BudgetError):
            Budget(TOY, limits)
    several = set(Budget(TOY, {"macs": 145, "params": 23}).enumerate_unseen(()))
    assert several == {(0, 0, 0, 1), (0, 0, 1, 0), (0, 1, 0, 0)}


def test_a_child_at_the_limit_is_admitted_and_one_beyond_is_not():
    for name, limit in TWO:
        budget = Budget(TOY, {name: limit})
        at = next(c for c in all_architectures(TOY) if total(c, name) == limit)
        beyond = [c for c in all_architectures(TOY) if total(c, name) > limit]
        children = Offspring(budget, None, set(), np.random.default_rng(0))
        assert children.add(lambda at=at: at) is None and children.choices == [at]
        if beyond and len(within(name, limit)) > 1:
            dear = min(beyond, key=lambda c: total(c, name))
            assert children.add(lambda dear=dear: dear) is None
            assert total(children.choices[1], name) <= limit


class Clock:
    """A latency in whole hundredths of a second."""

    name = "latency"
    unit = "s"

    def __init__(self, limit):
        self.limit = limit

    def value(self, choices):
        return hundredths(choices) / 100


def hundredths(choices):
    return 1 + sum(abs(a - b) for a, b in pairwise(choices[1:]))


def searched(tmp_path, budget, measure=None, config=SMALL):
    """The result of a search whose scores rise with what is limited: the best is the dearest."""

    def score(architectures):
        for choices in architectures:
            rate = hundredths(choices) if measure else sum(budget.costs.total(choices).values())
            yield choices, {"map": float(rate)}, 0.0

    ledger = Ledger.open(tmp_path / "ledger.jsonl")
    return search(SearchState(Evolution(budget, config, 1, measure), ledger), score, 4)


@pytest.mark.parametrize("limit", [0.01, 0.02, 0.03, 0.04, 0.05])
def test_a_latency_at_the_limit_is_searched_and_wins(tmp_path, limit):
    result = searched(tmp_path, Budget(TOY), Clock(limit))
    expected = {c for c in all_architectures(TOY) if hundredths(c) <= round(100 * limit)}
    assert {entry.choices for entry in result.ranking} == expected
    assert result.best.values["latency"] == limit


def test_a_latency_one_step_below_the_smallest_is_refused(tmp_path):
    with pytest.raises(BudgetError, match=r"latency <= 0.009 s .* smallest measured is 0.01 s;"):
        searched(tmp_path, Budget(TOY), Clock(0.009))


@pytest.mark.parametrize("limit", SIZES["macs"])
def test_the_winner_may_cost_the_limit_and_never_more(tmp_path, limit):
    result = searched(tmp_path, Budget(TOY, {"macs": limit}))
    assert {entry.choices for entry in result.ranking} == within("macs", limit)
    assert max(entry.values["macs"] for entry in result.ranking) == limit
    assert all(entry.values["macs"] == total(entry.choices, "macs") for entry in result.ranking)


def test_one_generation_fills_up_with_the_only_one_at_the_limit(tmp_path):
    config = dataclasses.replace(SMALL, max_epochs=0)
    result = searched(tmp_path, Budget(TOY, {"params": 18}), config=config)
    assert [entry.choices for entry in result.ranking] == [(0, 2, 2, 2)]
    assert result.ended_early is not None


@pytest.mark.parametrize("name", ["macs", "params"])
def test_the_settings_of_a_search_are_limits_that_may_be_met(name):
    space = load_space("nano")
    arch = (0, 2, 3, 1)
    cost = getattr(space.cost(arch), name)
    for limit, kept in ((cost, True), (cost - 1, False), (cost + 1, True)):
        budget = budget_of(space, SearchConfig(**{f"max_{name}": float(limit)}))
        assert budget.affordable(arch) == kept
        assert (arch in set(budget.enumerate_unseen(()))) == kept


def test_limits_count_at_the_frames_of_the_search():
    space = load_space("nano")
    arch = (0, 0, 0, 0)
    few, many = space.cost(arch, 18).macs, space.cost(arch, 24).macs
    assert few < many
    for frames, macs in ((18, few), (24, many)):
        assert budget_of(space, SearchConfig(max_macs=float(macs), frames=frames)).affordable(arch)
    assert not budget_of(space, SearchConfig(max_macs=float(few), frames=24)).affordable(arch)
