"""Clips that are kept while memory lasts, and made again where it does not."""

from unittest.mock import patch

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.network import Clip
from supernet.scoring.activation_cache import ActivationBudget, ActivationCache
from supernet.scoring.batch_executor import BatchExecutor

FLOAT = 4
"""Bytes."""


def clip(*values):
    return Clip(torch.tensor(values, dtype=torch.float32), None)


def values(cache, threads=1):
    with (
        patch.object(torch, "get_num_threads", lambda: threads),
        BatchExecutor(threads) as executor,
    ):
        assert executor.threads == threads
        return executor.map(lambda c: c.x[0].item(), cache)


def chain(budget, made):
    """Three caches of four clips, each made of the one before; the last two take its place."""

    def counted(name, change):
        def step(before):
            made.append(name)
            return Clip(change(before.x), None)

        return step

    def enter(batch):
        made.append("first")
        return clip(*[float(batch)] * (batch + 1))

    first = ActivationCache(enter, 4, budget)
    second = first.then(counted("second", lambda x: torch.cat([x, x])))
    return first, second, second.then(counted("third", lambda x: x[:1] * 2), consume=True)


def test_kept_clips_are_made_once():
    made: list[str] = []
    budget = ActivationBudget(1e6)
    first, second, third = chain(budget, made)
    assert values(third) == [0, 2, 4, 6]
    assert [made.count(name) for name in ("first", "second", "third")] == [4, 4, 4]
    assert values(third) and len(made) == 12
    assert budget.used == (1 + 2 + 3 + 4 + 4) * FLOAT, "the second's were consumed"
    assert second[1].x.tolist() == [1] * 4 and len(made) == 13, "so it is made again"
    third.release()
    first.release()
    assert budget.used == 0
    assert values(third) == [0, 2, 4, 6] and budget.used == 0, "made, and not kept again"


def test_what_several_clips_share_counts_once():
    budget = ActivationBudget(5 * FLOAT)
    first = ActivationCache(lambda batch: clip(1, 2, 3), 1, budget)
    behind = first.then(lambda c: Clip(c.x[:2] + 1, None, stage_input=c.x))
    assert behind[0].stage_input is first[0].x
    assert budget.used == 5 * FLOAT
    first.release()
    assert budget.used == 5 * FLOAT
    behind.release()
    assert budget.used == 0


def test_room_is_made_by_what_is_needed_last():
    budget = ActivationBudget(3 * FLOAT)
    caches = [ActivationCache(lambda batch: clip(float(batch)), 2, budget)]
    for _ in range(4):
        caches.append(caches[-1].then(lambda c: Clip(c.x + 1, None)))
    assert values(caches[-1]) == [4, 5]
    held = [list(cache.kept) for cache in caches]
    assert held == [[1], [], [], [0], [0]], "the last two of the first batch stand"


@given(limit=st.integers(0, 160), asked=st.lists(st.integers(0, 3), max_size=12))
def test_any_memory_gives_the_same_and_is_never_exceeded(limit, asked):
    budget = ActivationBudget(limit)
    caches = chain(budget, [])
    for i in asked:
        wanted = [i] * (i + 1), [i] * 2 * (i + 1), [2 * i]
        for cache, expected in zip(caches, wanted, strict=True):
            assert cache[i].x.tolist() == expected
            assert 0 <= budget.used <= limit
    budget.clear()
    assert budget.used == 0 and budget.peak <= limit


def test_without_memory_each_clip_is_made_of_those_before_it_once():
    made: list[str] = []
    _, _, third = chain(ActivationBudget(0), made)
    values(third)
    assert [made.count(name) for name in ("first", "second", "third")] == [4, 4, 4]


@given(limit=st.integers(0, 160), threads=st.integers(2, 4))
def test_batches_that_are_made_side_by_side_are_kept_within_the_memory(limit, threads):
    budget = ActivationBudget(limit)
    caches = chain(budget, [])
    for _ in range(2):
        for cache, expected in zip(caches, ([0, 1, 2, 3], [0, 1, 2, 3], [0, 2, 4, 6]), strict=True):
            assert values(cache, threads) == expected
            assert 0 <= budget.used <= limit
    budget.clear()
    assert budget.used == 0 and budget.peak <= limit


def test_an_executor_shares_torchs_threads_and_gives_them_back(monkeypatch):
    set_to: list[int] = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 6)
    monkeypatch.setattr(torch, "set_num_threads", set_to.append)
    for most, size in ((1, 1), (2, 2), (4, 3), (9, 6)):
        set_to.clear()
        with BatchExecutor(most) as executor:
            assert executor.threads == size
            assert executor.map(lambda i: -i, range(20)) == [-i for i in range(20)]
        assert set(set_to) == ({6 // size, 6} if size > 1 else set())
        with pytest.raises(ZeroDivisionError), BatchExecutor(most) as executor:
            executor.map(lambda i: 1 / i, [1, 0])
