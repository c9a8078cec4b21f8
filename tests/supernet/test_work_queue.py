"""Handing out architectures to workers: all of them, each once, whoever dies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supernet.ray.work_queue import HandOut

ARCHITECTURES = [(a, b, c) for a in range(4) for b in range(3) for c in range(3)]


def test_siblings_stay_together_and_there_is_work_for_all():
    handout = HandOut(workers=2, chunk=64)
    handout.offer(ARCHITECTURES[::-1])
    first, second = handout.take("a"), handout.take("b")
    assert first == ARCHITECTURES[:18], "half of them, cut between two first choices"
    assert second == ARCHITECTURES[18:27], "half of what is left"


def test_the_cut_gives_way_to_siblings():
    handout = HandOut(workers=2, chunk=64)
    family = [(0, b) for b in range(7)] + [(1, b) for b in range(5)]
    handout.offer(family)
    assert handout.take("a") == family[:7], "7 of 12, so that no family is torn"


def test_a_chunk_has_a_largest_size():
    handout = HandOut(workers=1, chunk=5)
    handout.offer(ARCHITECTURES)
    assert len(handout.take("a")) == 5


def test_what_a_dead_worker_had_waits_again():
    handout = HandOut(workers=2, chunk=64)
    handout.offer(ARCHITECTURES)
    chunk = handout.take("a")
    assert handout.scored(chunk[0])
    assert handout.release("a") == set(chunk[1:])
    assert handout.release("a") == set(), "once"
    assert set(chunk[1:]) <= {c for worker in "bcdefghijk" for c in handout.take(worker)}


def test_a_worker_that_begins_again_has_lost_its_chunk():
    handout = HandOut(workers=1, chunk=64)
    handout.offer(ARCHITECTURES)
    assert handout.take("a") == handout.take("a") == ARCHITECTURES


def test_late_and_repeated_scores_are_ignored():
    handout = HandOut(workers=1, chunk=64)
    handout.offer(ARCHITECTURES[:2])
    first, second = handout.take("a")
    handout.release("a")
    assert handout.scored(first), "late, but the first"
    assert not handout.scored(first)
    assert handout.take("b") == [second]
    assert handout.scored(second) and handout.take("b") == []


EVENT = st.tuples(
    st.sampled_from(["offer", "take", "score", "die", "late"]), st.integers(0, 3), st.integers(0, 9)
)


@given(st.lists(EVENT, max_size=80), st.integers(1, 5), st.integers(1, 12))
def test_each_is_scored_once_whatever_happens(events, workers, chunk):
    handout = HandOut(workers, chunk)
    left, offered, scored, dead = list(ARCHITECTURES), set(), [], []
    holds: dict[str, list] = {}

    def score(choices):
        if handout.scored(choices):
            scored.append(choices)

    def take(worker):
        holds[worker] = handout.take(worker)
        assert len(holds[worker]) <= chunk
        others = [c for name, held in holds.items() if name != worker for c in held]
        assert not set(holds[worker]) & (set(others) | set(scored)), "nobody else has it"

    for kind, number, amount in events:
        worker = str(number)
        if kind == "offer":
            new, left = left[:amount], left[amount:]
            handout.offer(new)
            offered |= set(new)
        elif kind == "take" and not holds.get(worker):
            take(worker)
        elif kind == "score" and holds.get(worker):
            score(holds[worker].pop())
        elif kind == "die":
            handout.release(worker)
            dead += holds.pop(worker, [])
        elif kind == "late" and dead:
            late = dead.pop()
            score(late)
            for held in holds.values():
                if late in held:
                    held.remove(late)
    for worker in list(holds):
        handout.release(worker)
    holds.clear()
    take("last")
    while holds["last"]:
        score(holds["last"].pop())
        if not holds["last"]:
            take("last")
    assert sorted(scored) == sorted(offered) and len(set(scored)) == len(scored)


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_all_workers_together_take_all(workers):
    handout = HandOut(workers, chunk=64)
    handout.offer(ARCHITECTURES)
    taken = []
    while chunk := handout.take("a"):
        taken += chunk
        for choices in chunk:
            assert handout.scored(choices)
    assert taken == ARCHITECTURES
