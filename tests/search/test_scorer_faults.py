"""A scorer that breaks its word ends the search with a clear error, and never hangs it."""

import threading

import pytest
from cost_tables import TOY

from nasgait.config.schema import SearchConfig
from nasgait.core.errors import RunFailed
from nasgait.search.budget import Budget
from nasgait.search.evolution import Evolution
from nasgait.search.ledger import Ledger, read_ledger
from nasgait.search.state import SearchState, search

CONFIG = SearchConfig(population=6, top_k=3, mutations=2, crossovers=3, max_epochs=2)
SECONDS = 10
UNKNOWN = (0, 9, 9, 9)


def scored(choices, value=1.0):
    return choices, {"map": float(sum(choices))} if value == 1.0 else {"map": value}, 0.1


def within_seconds(call):
    """What ``call`` returns or raises; a test that fails when neither comes."""
    outcome = []

    def run():
        try:
            outcome.append((call(), None))
        except BaseException as error:
            outcome.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(SECONDS)
    assert outcome, f"the search hangs: nothing has come of it in {SECONDS} s"
    value, error = outcome[0]
    if error is not None:
        raise error
    return value


class Scorer:
    """Scores well until so many calls are done, then by ``fault``."""

    def __init__(self, fault, good):
        self.fault, self.good = fault, good

    def __call__(self, architectures):
        self.good -= 1
        return self.fault(architectures) if self.good < 0 else map(scored, architectures)


def nothing(architectures):
    return []


def all_but_the_last(architectures):
    yield from map(scored, architectures[:-1])


def one_that_nobody_bred(architectures):
    yield scored(UNKNOWN)
    yield from map(scored, architectures)


def the_first_twice(architectures):
    yield scored(architectures[0])
    yield from map(scored, architectures)


def not_a_number(architectures):
    for choices in architectures:
        yield scored(choices, float("nan"))


def no_metric(architectures):
    for choices in architectures:
        yield choices, {"rank5": 1.0}, 0.1


def breaks(architectures):
    yield scored(architectures[0])
    raise OSError("the GPU fell off the bus")


FAULTS = {
    nothing: (RunFailed, "left out 3 of the 3 architectures"),
    all_but_the_last: (RunFailed, "left out 1 of the 3 architectures"),
    one_that_nobody_bred: (RunFailed, "architecture 0-9-9-9 without being asked"),
    the_first_twice: (RunFailed, "once more"),
    not_a_number: (RunFailed, "expected finite numbers"),
    no_metric: (RunFailed, "with 'map' among them"),
    breaks: (OSError, "fell off the bus"),
}


@pytest.mark.parametrize("good", [0, 1, 4], ids=["at-once", "later", "late"])
@pytest.mark.parametrize("fault", list(FAULTS), ids=lambda fault: fault.__name__)
def test_it_fails_within_seconds_and_goes_on_from_what_was_scored(tmp_path, fault, good):
    evolution = Evolution(Budget(TOY), CONFIG, seed=3)
    path = tmp_path / "ledger.jsonl"
    error, words = FAULTS[fault]
    with pytest.raises(error, match=words):
        within_seconds(
            lambda: search(SearchState(evolution, Ledger.open(path)), Scorer(fault, good), 3)
        )
    kept = read_ledger(path)
    assert len(kept) >= 3 * good and UNKNOWN not in {entry.choices for entry in kept}
    resumed = within_seconds(
        lambda: search(SearchState(evolution, Ledger.open(path)), Scorer(None, 99), 3)
    )
    whole = search(
        SearchState(evolution, Ledger.open(tmp_path / "whole.jsonl")), Scorer(None, 99), 3
    )
    assert resumed == whole


def test_one_that_waits_in_another_chunk_was_not_asked_for(tmp_path):
    """Bred, and so no stranger: but then the chunk that it is in would score it again."""
    state = SearchState(Evolution(Budget(TOY), CONFIG), Ledger.open(tmp_path / "ledger.jsonl"))
    other = state.ready()[4]
    with pytest.raises(RunFailed, match="without being asked"):
        within_seconds(lambda: search(state, lambda asked: [scored(other)], 2))
    assert read_ledger(tmp_path / "ledger.jsonl") == []


def test_scores_come_in_any_order(tmp_path):
    state = SearchState(Evolution(Budget(TOY), CONFIG), Ledger.open(tmp_path / "ledger.jsonl"))
    result = within_seconds(lambda: search(state, lambda asked: map(scored, asked[::-1]), 4))
    assert len(result.ranking) == 6 * 3
