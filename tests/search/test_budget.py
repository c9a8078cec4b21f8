"""Budgets against brute force over whole small spaces."""

from collections import Counter

import numpy as np
import pytest
from cost_tables import TOY, all_architectures, cost_tables
from hypothesis import given
from hypothesis import strategies as st

from nasgait.core.errors import BudgetError
from nasgait.search.budget import Budget, Costs

limits = st.dictionaries(st.sampled_from(["macs", "params"]), st.integers(1, 90))


def within(costs, limits):
    """The affordable architectures by brute force."""
    totals = {choices: costs.total(choices) for choices in all_architectures(costs)}
    return [c for c, t in totals.items() if all(t[name] <= limits[name] for name in limits)]


def test_total_adds_up_by_hand():
    assert TOY.choices == (1, 3, 3, 3)
    assert TOY.total((0, 0, 1, 2)) == {"macs": 100 + 5 + 10 + 20 + 40, "params": 10 + 5 + 3 + 2 + 1}


@given(cost_tables(), limits, st.integers(0, 2**32))
def test_budget_equals_brute_force(costs, limits, seed):
    expected = within(costs, limits)
    if not expected:
        with pytest.raises(BudgetError):
            Budget(costs, limits)
        return
    budget = Budget(costs, limits)
    rng = np.random.default_rng(seed)
    assert [c for c in all_architectures(costs) if budget.affordable(c)] == expected
    assert list(budget.enumerate_unseen(())) == expected
    assert sorted(budget.enumerate_unseen((), rng)) == expected
    assert all(budget.sample(rng) in expected for _ in range(5))
    smallest = budget.smallest()
    for name in costs.names:
        assert smallest[name] == min(costs.total(c)[name] for c in all_architectures(costs))


@given(cost_tables(), st.data())
def test_enumeration_leaves_out_exactly_what_was_seen(costs, data):
    everything = all_architectures(costs)
    seen = data.draw(st.sets(st.sampled_from(everything)))
    unseen = list(Budget(costs, {}).enumerate_unseen(seen, np.random.default_rng(0)))
    assert len(unseen) == len(set(unseen))
    assert set(unseen) == set(everything) - seen


def test_sampling_is_uniform_over_the_affordable():
    budget = Budget(TOY, {"macs": 165})
    expected = within(TOY, {"macs": 165})
    assert 5 < len(expected) < 27
    rng = np.random.default_rng(3)
    counts = Counter(budget.sample(rng) for _ in range(400 * len(expected)))
    assert set(counts) == set(expected)
    # 400 +- 20 expected of each: five standard deviations.
    assert max(abs(n - 400) for n in counts.values()) < 100


def test_sampling_finds_the_one_affordable_of_many_at_once():
    layers = 40
    costs = Costs(("macs",), (0,), (((1,), (2,), (3,)),) * layers)
    budget = Budget(costs, {"macs": layers})
    assert budget.sample(np.random.default_rng(0)) == (0,) * layers
    assert list(budget.enumerate_unseen(())) == [(0,) * layers]


def test_two_limits_that_only_fit_together():
    # Cheap in MACs is dear in params: each prefix has completions for either limit alone.
    layer = ((1, 9), (9, 1), (5, 5))
    costs = Costs(("macs", "params"), (0, 0), (layer,) * 8)
    limits = {"macs": 40, "params": 40}
    assert within(costs, limits) == list(Budget(costs, limits).enumerate_unseen(()))
    rng = np.random.default_rng(1)
    budget = Budget(costs, limits)
    assert all(budget.affordable(budget.sample(rng)) for _ in range(50))


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"macs": 134}, r"macs <= 134; the smallest reachable is macs 135; raise the limit"),
        ({"macs": 1, "params": 1}, r"the smallest reachable is macs 135, params 18;"),
        (
            {"macs": 140, "params": 20},
            r"macs 135, params 18, but not together: "
            r"macs 135 with params 24 or macs 225 with params 18; raise",
        ),
    ],
)
def test_infeasible_budget_names_the_smallest_costs(limits, message):
    with pytest.raises(BudgetError, match=message):
        Budget(TOY, limits)


@pytest.mark.parametrize("layer", [((1, 9), (9, 1)), ((1, 9), (5, 5), (9, 1))])
def test_of_two_or_more_ways_to_exceed_a_budget_the_ends_are_named(layer):
    with pytest.raises(
        BudgetError, match=r"together: macs 1 with params 9 or macs 9 with params 1;"
    ):
        Budget(Costs(("macs", "params"), (0, 0), (layer,)), {"macs": 4, "params": 4})


@pytest.mark.parametrize("limit", [0, -1, float("nan")])
def test_limit_that_is_no_positive_number(limit):
    with pytest.raises(BudgetError, match=r"macs <= .* must be a positive number"):
        Budget(TOY, {"macs": limit})


def test_limit_on_an_unknown_cost():
    with pytest.raises(BudgetError, match="'latency': known costs are macs, params"):
        Budget(TOY, {"latency": 1})


def test_budget_is_met_to_the_unit():
    assert Budget(TOY, {"macs": 135}).affordable((0, 0, 0, 0))
    assert list(Budget(TOY, {"macs": 135}).enumerate_unseen(())) == [(0, 0, 0, 0)]
