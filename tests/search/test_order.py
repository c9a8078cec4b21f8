"""Scores may come in any order, from any worker, after any kill: the search is the same."""

import dataclasses
from unittest.mock import patch

from cost_tables import TOY, all_architectures
from hypothesis import given, settings
from hypothesis import strategies as st

from nasgait.config.schema import SearchConfig
from nasgait.search.budget import Budget
from nasgait.search.evolution import Evolution
from nasgait.search.generations import Generations
from nasgait.search.ledger import Ledger, read_ledger
from nasgait.search.state import SearchState, search

SMALL = SearchConfig(
    population=6, top_k=3, mutations=2, crossovers=3, mutation_prob=0.3, max_epochs=3
)
SCORES = {
    choices: {"map": 7.0 * number % 13, "rank1": 5.0 * number % 11}
    for number, choices in enumerate(all_architectures(TOY))
}
OBJECTIVES = (("map",), ("rank1", "macs"), ("map", "macs", "params"))


def score_all(architectures):
    for choices in architectures:
        yield choices, SCORES[choices], 1.0


@patch("os.fsync", lambda file: None)  # here a kill leaves what was written
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_neither_order_nor_kills_matter(tmp_path_factory, data):
    config = dataclasses.replace(
        SMALL,
        batches_per_generation=data.draw(st.integers(1, 7), "batches"),
        lookahead=data.draw(st.integers(1, 5), "lookahead"),
        objectives=data.draw(st.sampled_from(OBJECTIVES), "objectives"),
        candidates=data.draw(st.sampled_from([1, 4]), "candidates"),
    )
    limits = data.draw(st.sampled_from([{}, {"macs": 190}]), "limits")
    evolution = Evolution(Budget(TOY, limits), config, data.draw(st.integers(0, 99), "seed"))
    folder = tmp_path_factory.mktemp("order")
    whole, path = folder / "whole.jsonl", folder / "ledger.jsonl"
    records = Generations(folder / "whole", evolution)
    chunk = data.draw(st.integers(1, 20), "chunk")

    def begin(path, records):
        state = SearchState(evolution, Ledger.open(path))
        state.follow(records.add)
        return state

    expected = search(begin(whole, records), score_all, chunk)

    def again():
        return begin(path, Generations(folder / "generations", evolution))

    state = again()
    while not state.done:
        ready = state.ready()
        choices = ready[data.draw(st.integers(0, len(ready) - 1), "next")]
        state.record(choices, SCORES[choices], 2.0)
        if data.draw(st.integers(0, 5), "killed") == 0:
            with path.open("ab") as file:
                file.write(b'{"key": "0-1')
            state = again()
    assert state.result() == expected
    assert len(read_ledger(path)) == len(read_ledger(whole))
    assert {e.choices: e for e in read_ledger(path)} == {e.choices: e for e in read_ledger(whole)}
    assert (folder / "generations").read_bytes() == (folder / "whole").read_bytes()


@patch("os.fsync", lambda file: None)
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_removed_lines_are_scored_again_alone(tmp_path_factory, data):
    config = dataclasses.replace(
        SMALL,
        batches_per_generation=data.draw(st.integers(1, 7), "batches"),
        lookahead=data.draw(st.integers(1, 5), "lookahead"),
    )
    evolution = Evolution(Budget(TOY), config, data.draw(st.integers(0, 99), "seed"))
    path = tmp_path_factory.mktemp("removed") / "ledger.jsonl"
    expected = search(SearchState(evolution, Ledger.open(path)), score_all, 4)
    lines = data.draw(st.permutations(path.read_text().splitlines(keepends=True)), "lines")
    removed = data.draw(st.integers(0, 6), "removed")
    path.write_text("".join(lines[removed:]))
    state = SearchState(evolution, Ledger.open(path))
    assert state.scored == len(lines) - removed
    scored = []

    def score_removed(architectures):
        scored.extend(architectures)
        return score_all(architectures)

    assert search(state, score_removed, 4) == expected
    assert len(scored) == removed


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 9), st.randoms())
def test_a_batch_waits_for_those_far_enough_before_it_alone(batches, lookahead, seed, random):
    """Exactly the random batches and those whose parents are scored are bred."""
    config = dataclasses.replace(
        SMALL, batches_per_generation=batches, lookahead=lookahead, max_epochs=2
    )
    evolution = Evolution(Budget(TOY), config, seed)
    state = SearchState(evolution, Forgetful())
    shares = [len(range(share, 6, batches)) for share in range(batches)] * 3
    done = set()
    while not state.done:
        complete = 0
        while complete < len(shares) and sum(shares[: complete + 1]) <= _leading(state, done):
            complete += 1
        bred = min(len(shares), max(batches, complete + lookahead))
        # An empty share is scored once it is bred, and so counts as complete above.
        assert len(done) + len(state.ready()) == sum(shares[:bred])
        choices = random.choice(state.ready())
        state.record(choices, SCORES[choices], 0.0)
        done.add(choices)


def _leading(state, done):
    """How many architectures are scored with all that were bred before them."""
    order = list(state._batch_of)
    return next((i for i, choices in enumerate(order) if choices not in done), len(order))


class Forgetful(Ledger):
    """A ledger without a file."""

    def __init__(self):
        self._entries = {}

    def append(self, entry):
        self._entries[entry.choices] = entry
