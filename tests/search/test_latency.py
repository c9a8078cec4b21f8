"""Latency as a measured cost: a hard limit, an objective, measured once."""

import dataclasses
import json
from itertools import pairwise

import pytest
from cost_tables import TOY, all_architectures

from nasgait.config.schema import SearchConfig
from nasgait.core.checksum import checked
from nasgait.core.errors import BudgetError, DataError
from nasgait.core.jsonl import append_line
from nasgait.search.budget import Budget, Costs
from nasgait.search.evolution import Evolution
from nasgait.search.hypervolume import RelativeHypervolume
from nasgait.search.latency import Latencies, read_conditions
from nasgait.search.ledger import Ledger, LedgerEntry, read_ledger
from nasgait.search.state import SearchState, search

SMALL = SearchConfig(
    population=6, top_k=3, mutations=2, crossovers=3, mutation_prob=0.3, max_epochs=2
)
HERE = {"device": "cpu", "threads": 2, "frames": 30}


class Clock:
    """Measures a latency that no table has: slow when neighbours differ."""

    def __init__(self, jitter=0.0):
        self.calls = []
        self.jitter = jitter

    def __call__(self, choices):
        self.calls.append(choices)
        return seconds(choices) + self.jitter * len(self.calls)


def seconds(choices):
    return 0.01 + 0.005 * sum(abs(a - b) for a, b in pairwise(choices[1:]))


def score_all(architectures):
    for choices in architectures:
        yield choices, {"map": float(sum(choices)), "rank1": 1.0}, 0.1


def evolution(folder, clock, limit=None, limits=None, **changes):
    scored = read_ledger(folder / "ledger.jsonl")
    measure = Latencies(folder / "latency.jsonl", clock, HERE, limit, scored)
    return Evolution(Budget(TOY, limits or {}), dataclasses.replace(SMALL, **changes), 3, measure)


def run(folder, clock, *args, **changes):
    ledger = Ledger.open(folder / "ledger.jsonl")
    return search(SearchState(evolution(folder, clock, *args, **changes), ledger), score_all, 4)


def test_what_is_too_slow_is_never_scored(tmp_path):
    fast = {c for c in all_architectures(TOY) if seconds(c) <= 0.015}
    result = run(tmp_path, Clock(), 0.015, max_epochs=9)
    assert {e.choices for e in result.ranking} == fast
    assert all(e.values["latency"] == seconds(e.choices) for e in result.ranking)
    assert "no other architecture with latency <= 0.015 s" in result.ended_early
    lines = read_ledger(tmp_path / "ledger.jsonl")
    assert {e.choices for e in lines} == fast


def test_holds_beside_exact_budgets(tmp_path):
    both = {c for c in all_architectures(TOY) if seconds(c) <= 0.02 and TOY.total(c)["macs"] <= 175}
    result = run(tmp_path, Clock(), 0.02, {"macs": 175}, max_epochs=9)
    assert {e.choices for e in result.ranking} == both


@pytest.mark.parametrize("candidates", [1, 4])
def test_each_is_measured_once_and_resumed_alike(tmp_path, candidates):
    """Measurements that drift would breed another search if they were made again."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir(), broken.mkdir()
    changes = {"objectives": ("map", "latency"), "candidates": candidates}
    clock = Clock(jitter=1e-4)
    expected = run(whole, clock, 0.016, **changes)
    assert len(clock.calls) == len(set(clock.calls))
    again = Clock(jitter=1e-4)
    for _ in range(30):
        state = SearchState(
            evolution(broken, again, 0.016, **changes),
            Ledger.open(broken / "ledger.jsonl"),
        )
        if state.done:
            break
        for scored in score_all(state.ready()[:1]):
            state.record(*scored)
        with (broken / "latency.jsonl").open("ab") as file:
            file.write(b'{"key": "0-')  # the line that a kill cut off
    assert state.result() == expected
    assert again.calls == clock.calls
    assert (
        (broken / "latency.jsonl").read_bytes().startswith((whole / "latency.jsonl").read_bytes())
    )


def test_a_removed_line_comes_back_from_the_ledger(tmp_path):
    expected = run(tmp_path, Clock(jitter=1e-4), objectives=("map", "latency"))
    path = tmp_path / "latency.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:5] + lines[6:]) + "\n")
    again = Clock(jitter=1e-3)
    assert run(tmp_path, again, objectives=("map", "latency")) == expected
    assert again.calls == [] and sorted(path.read_text().splitlines()) == sorted(lines)


def test_a_limit_that_nothing_keeps_names_the_smallest_measured(tmp_path):
    with pytest.raises(BudgetError, match=r"latency <= 0.009 s .* smallest measured is 0.01 s;"):
        run(tmp_path, Clock(), 0.009)
    assert read_ledger(tmp_path / "ledger.jsonl") == []


def test_tries_are_bounded_in_a_large_space(tmp_path):
    costs = Costs(("macs",), (0,), (((1,), (2,), (3,)),) * 30)
    clock = Clock()
    measure = Latencies(tmp_path / "latency.jsonl", clock, HERE, 1e-9)
    with pytest.raises(BudgetError, match="among 300 measured"):
        SearchState(Evolution(Budget(costs), SMALL, 0, measure), Ledger.open(tmp_path / "l"))


def test_without_a_limit_it_is_an_objective_alone(tmp_path):
    result = run(tmp_path, Clock(), objectives=("map", "latency"))
    assert len(result.ranking) == 18 and result.ended_early is None
    assert all(e.values["latency"] == seconds(e.choices) for e in result.ranking)


def test_reference_is_the_limit_or_that_of_most_macs(tmp_path):
    names = ("map", "latency")
    assert RelativeHypervolume(evolution(tmp_path, Clock(), 0.5, objectives=names)).reference == (
        0,
        0.5,
    )
    most = seconds((0, 2, 2, 2))
    assert RelativeHypervolume(evolution(tmp_path, Clock(), objectives=names)).reference == (
        0,
        most,
    )


@pytest.mark.parametrize("change", [{"device": "gpu"}, {"threads": 1}, {"frames": 16}])
def test_latencies_of_other_conditions_are_refused(tmp_path, change):
    path = tmp_path / "latency.jsonl"
    Latencies(path, Clock(), HERE).value((0, 1))
    with pytest.raises(DataError, match="measured with device cpu, threads 2, frames 30, not"):
        Latencies(path, Clock(), HERE | change)


@pytest.mark.parametrize("line", [{"key": "0-1"}, {"key": 3, "seconds": 1}])
def test_faulty_line_is_named(tmp_path, line):
    path = tmp_path / "latency.jsonl"
    Latencies(path, Clock(), HERE).value((0, 1))
    append_line(path, line)
    with pytest.raises(DataError, match=r"latency.jsonl:2: not a measured latency"):
        Latencies(path, Clock(), HERE)


@pytest.mark.parametrize("line", ["[]", "{", '{"key": "0-2", "seconds": 1}'])
def test_a_damaged_line_is_named_and_measured_again(tmp_path, caplog, line):
    path = tmp_path / "latency.jsonl"
    Latencies(path, Clock(), HERE).value((0, 1))
    whole = path.read_bytes()
    path.write_bytes(whole + line.encode() + b"\n")
    again = Latencies(path, Clock(), HERE)
    assert f"{path}:2: damaged" in caplog.text and path.read_bytes() == whole
    assert again.value((0, 2)) == seconds((0, 2))


def test_a_damaged_latency_is_taken_from_the_ledger(tmp_path, caplog):
    path = tmp_path / "latency.jsonl"
    measured = Latencies(path, Clock(), HERE)
    for choices in ((0, 1), (0, 2)):
        measured.value(choices)
    first, second = path.read_text().splitlines(keepends=True)
    path.write_text(first + second.replace('"key": "0-2"', '"key": "0-3"'))
    known = LedgerEntry((0, 2), 0, {"latency": 0.125})
    again = Latencies(path, {}.__getitem__, HERE, scored=[known])
    assert again.value((0, 2)) == 0.125 and f"{path}:2: damaged" in caplog.text


def test_a_ledger_with_other_latencies_is_refused(tmp_path):
    run(tmp_path, Clock(), objectives=("map", "latency"))
    (tmp_path / "latency.jsonl").unlink()
    with pytest.raises(DataError, match="written by another search"):
        run(tmp_path, Clock(jitter=1e-3), objectives=("map", "latency"))


def test_line_says_how_it_was_measured(tmp_path):
    Latencies(tmp_path / "latency.jsonl", Clock(), HERE).value((0, 1, 2))
    line = checked(json.loads((tmp_path / "latency.jsonl").read_text()), required=True)
    assert line == {"key": "0-1-2", "seconds": seconds((0, 1, 2)), **HERE}


def test_every_line_says_how_it_was_measured(tmp_path):
    path = tmp_path / "latency.jsonl"
    assert read_conditions(path) is None
    for key in ("0-1", "1-1"):
        append_line(path, {"key": key, "seconds": 0.5, **HERE})
    assert read_conditions(path) == HERE
    path.write_text(path.read_text().replace('"1-1"', '"1-2"'))
    with pytest.raises(DataError, match=r"latency.jsonl:2: damaged .*; the search measures it"):
        read_conditions(path)
    path.write_text('{"key": "0-1", "seconds": 0.5, "device": "cpu"}\n')
    with pytest.raises(DataError, match="lacks threads, frames"):
        read_conditions(path)
