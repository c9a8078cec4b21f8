"""The queue of architectures for workers: all of them, each once, whoever dies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supernet.ray.work_queue import WorkQueue

ARCHITECTURES = [(a, b, c) for a in range(4) for b in range(3) for c in range(3)]


def test_siblings_stay_together_and_there_is_work_for_all():
    queue = WorkQueue(workers=2, chunk=64)
    queue.offer(ARCHITECTURES[::-1])
    first, second = queue.take("a"), queue.take("b")
    assert first == ARCHITECTURES[:18], "half of them, cut between two first choices"
    assert second == ARCHITECTURES[18:27], "half of what is left"


def test_the_cut_gives_way_to_siblings():
    queue = WorkQueue(workers=2, chunk=64)
    family = [(0, b) for b in range(7)] + [(1, b) for b in range(5)]
    queue.offer(family)
    assert queue.take("a") == family[:7], "7 of 12, so that no family is torn"


def test_a_chunk_has_a_largest_size():
    queue = WorkQueue(workers=1, chunk=5)
    queue.offer(ARCHITECTURES)
    assert len(queue.take("a")) == 5


def test_what_a_dead_worker_had_waits_again():
    queue = WorkQueue(workers=2, chunk=64)
    queue.offer(ARCHITECTURES)
    chunk = queue.take("a")
    assert queue.scored(chunk[0])
    assert queue.release("a") == set(chunk[1:])
    assert queue.release("a") == set(), "once"
    assert set(chunk[1:]) <= {c for worker in "bcdefghijk" for c in queue.take(worker)}


def test_a_worker_that_begins_again_has_lost_its_chunk():
    queue = WorkQueue(workers=1, chunk=64)
    queue.offer(ARCHITECTURES)
    assert queue.take("a") == queue.take("a") == ARCHITECTURES


def test_late_and_repeated_scores_are_ignored():
    queue = WorkQueue(workers=1, chunk=64)
    queue.offer(ARCHITECTURES[:2])
    first, second = queue.take("a")
    queue.release("a")
    assert queue.scored(first), "late, but the first"
    assert not queue.scored(first)
    assert queue.take("b") == [second]
    assert queue.scored(second) and queue.take("b") == []


EVENT = st.tuples(
    st.sampled_from(["offer", "take", "score", "die", "late"]), st.integers(0, 3), st.integers(0, 9)
)


@given(st.lists(EVENT, max_size=80), st.integers(1, 5), st.integers(1, 12))
def test_each_is_scored_once_whatever_happens(events, workers, chunk):
    queue = WorkQueue(workers, chunk)
    left, offered, scored, dead = list(ARCHITECTURES), set(), [], []
    holds: dict[str, list] = {}

    def score(choices):
        if queue.scored(choices):
            scored.append(choices)

    def take(worker):
        holds[worker] = queue.take(worker)
        assert len(holds[worker]) <= chunk
        others = [c for name, held in holds.items() if name != worker for c in held]
        assert not set(holds[worker]) & (set(others) | set(scored)), "nobody else has it"

    for kind, number, amount in events:
        worker = str(number)
        if kind == "offer":
            new, left = left[:amount], left[amount:]
            queue.offer(new)
            offered |= set(new)
        elif kind == "take" and not holds.get(worker):
            take(worker)
        elif kind == "score" and holds.get(worker):
            score(holds[worker].pop())
        elif kind == "die":
            queue.release(worker)
            dead += holds.pop(worker, [])
        elif kind == "late" and dead:
            late = dead.pop()
            score(late)
            for held in holds.values():
                if late in held:
                    held.remove(late)
    for worker in list(holds):
        queue.release(worker)
    holds.clear()
    take("last")
    while holds["last"]:
        score(holds["last"].pop())
        if not holds["last"]:
            take("last")
    assert sorted(scored) == sorted(offered) and len(set(scored)) == len(scored)


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_all_workers_together_take_all(workers):
    queue = WorkQueue(workers, chunk=64)
    queue.offer(ARCHITECTURES)
    taken = []
    while chunk := queue.take("a"):
        taken += chunk
        for choices in chunk:
            assert queue.scored(choices)
    assert taken == ARCHITECTURES
