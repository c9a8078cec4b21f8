"""Draws within a budget against their chances, counted over all architectures.

A hundred uniform draws come first; where none of them is affordable, a walk chooses each layer
evenly among what can still be completed.  Both chances are known exactly for a small space.
"""

from collections import Counter
from itertools import product

import numpy as np
import pytest
from cost_tables import TOY
from scipy import stats

from nasgait.config.schema import DataConfig, ExperimentConfig, SearchConfig
from nasgait.search import budget as module
from nasgait.search.budget import Budget, Costs
from retrain.networks import random_architectures
from search_spaces import load_space

UNEVEN = Costs(
    ("macs", "params"),
    (7, 2),
    (
        ((1, 9), (4, 4), (9, 1), (2, 8)),
        ((3, 3),),
        ((5, 0), (0, 5)),
        ((2, 2), (2, 3), (8, 1)),
        ((1, 6), (6, 1), (3, 3), (4, 4), (0, 9)),
    ),
)
LONG = Costs(("macs",), (0,), (((0,), (1,), (2,), (3,)),) * 5)
CASES = {
    "toy": (TOY, {"macs": 165}),
    "toy, tight": (TOY, {"macs": 145}),
    "uneven": (UNEVEN, {"macs": 17, "params": 24}),
    "uneven, one limit": (UNEVEN, {"params": 12}),
    "uneven, free": (UNEVEN, {}),
    "long, rare": (LONG, {"macs": 2}),
    "long, very rare": (LONG, {"macs": 1}),
}
HUNDRED = 100


def affordable(costs, limits):
    """All architectures within the limits, added up one by one."""
    found = []
    for choices in product(*(range(len(layer)) for layer in costs.layers)):
        picked = [layer[choice] for layer, choice in zip(costs.layers, choices, strict=True)]
        cost = [sum(column) for column in zip(costs.base, *picked, strict=True)]
        named = dict(zip(costs.names, cost, strict=True))
        if all(named[name] <= limit for name, limit in limits.items()):
            found.append(choices)
    return found


def walk_chances(found):
    """The chance of each: even among the choices with which some architecture begins."""
    chances = {}
    for choices in found:
        chance = 1.0
        for depth in range(len(choices)):
            begin = {other[: depth + 1] for other in found if other[:depth] == choices[:depth]}
            chance /= len(begin)
        chances[choices] = chance
    return chances


def chances(costs, limits, uniform_draws=HUNDRED):
    found = affordable(costs, limits)
    space = np.prod([len(layer) for layer in costs.layers])
    missed = (1 - len(found) / space) ** uniform_draws
    guided = walk_chances(found)
    return {c: (1 - missed) / len(found) + missed * guided[c] for c in found}


def agrees(drawn, expected):
    """Whether counts look like draws by the expected chances (chi-squared, p above 1e-4)."""
    assert set(drawn) <= set(expected)
    total = sum(drawn.values())
    wanted = [total * chance for chance in expected.values()]
    assert min(wanted) > 5, "too few draws to tell"
    return stats.chisquare([drawn[c] for c in expected], wanted).pvalue > 1e-4


def test_the_chances_add_up():
    for costs, limits in CASES.values():
        assert sum(chances(costs, limits).values()) == pytest.approx(1)


@pytest.mark.parametrize("case", CASES)
def test_draws_have_their_chances(case):
    costs, limits = CASES[case]
    expected = chances(costs, limits)
    budget, rng = Budget(costs, limits), np.random.default_rng(5)
    count = min(2500, 40 * len(expected) + 400)
    assert agrees(Counter(budget.sample(rng) for _ in range(count)), expected)


@pytest.mark.parametrize("case", [case for case in CASES if "free" not in case])
def test_the_walk_alone_has_its_chances(case, monkeypatch):
    monkeypatch.setattr(module, "REJECTIONS", 0)
    costs, limits = CASES[case]
    expected = chances(costs, limits, uniform_draws=0)
    budget, rng = Budget(costs, limits), np.random.default_rng(6)
    assert agrees(Counter(budget.sample(rng) for _ in range(2500)), expected)


def test_where_the_walk_has_equal_chances_it_is_uniform(monkeypatch):
    """Without a limit that binds, every choice can be completed."""
    monkeypatch.setattr(module, "REJECTIONS", 0)
    budget, rng = Budget(TOY, {"macs": 225}), np.random.default_rng(7)
    drawn = Counter(budget.sample(rng) for _ in range(27 * 200))
    assert len(drawn) == 27 and stats.chisquare(list(drawn.values())).pvalue > 1e-4


@pytest.mark.parametrize("case", ["toy", "uneven", "long, rare"])
def test_a_random_enumeration_begins_anywhere_and_leaves_nothing_out(case):
    costs, limits = CASES[case]
    found = affordable(costs, limits)
    budget, rng = Budget(costs, limits), np.random.default_rng(8)
    first = Counter()
    for _ in range(100):
        order = list(budget.enumerate_unseen((), rng))
        assert sorted(order) == found
        first[order[0]] += 1
    draws = Counter(next(budget.enumerate_unseen((), rng)) for _ in range(3000))
    assert agrees(first + draws, walk_chances(found))


def test_what_was_seen_is_drawn_no_more_and_the_rest_still_is():
    costs, limits = CASES["uneven"]
    found = affordable(costs, limits)
    seen = set(found[::2])
    budget, rng = Budget(costs, limits), np.random.default_rng(9)
    first = {next(budget.enumerate_unseen(seen, rng)) for _ in range(3000)}
    assert first == set(found) - seen


def test_two_generators_of_a_seed_draw_alike_and_other_seeds_do_not():
    budget = Budget(*CASES["long, rare"])

    def draws(seed):
        rng = np.random.default_rng(seed)
        return [budget.sample(rng) for _ in range(20)]

    assert draws(1) == draws(1) != draws(2)


def networks(seed, count, **search):
    config = ExperimentConfig(
        name="x",
        data=DataConfig(store="none"),
        seed=seed,
        random=count,
        search=SearchConfig(**search),
    )
    return random_architectures(config, load_space("nano"), None)


def test_random_networks_of_a_run_are_those_of_the_budget_each_once():
    space = load_space("nano")
    costs = {
        str(space.architecture(c)): space.cost(c).macs for c in product(*map(range, (1, 6, 6, 6)))
    }
    limit = sorted(costs.values())[11]
    wanted = {arch for arch, macs in costs.items() if macs <= limit}
    drawn = networks(0, 50, max_macs=float(limit))
    assert len(drawn) == len(set(drawn)) and set(drawn) == wanted


def test_the_first_random_network_may_be_any_of_a_tight_budget():
    space = load_space("nano")
    macs = {c: space.cost(c).macs for c in product(*map(range, (1, 6, 6, 6)))}
    limit = sorted(macs.values())[4]
    wanted = {str(space.architecture(c)) for c, cost in macs.items() if cost <= limit}
    assert {networks(seed, 1, max_macs=float(limit))[0] for seed in range(40)} == wanted
