"""Clips that are kept while memory lasts, and made again where it does not."""

from unittest.mock import patch

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.network import Clip
from supernet.scoring.activation_cache import Column, Memory
from supernet.scoring.batch_executor import Crew

FLOAT = 4
"""Bytes."""


def clip(*values):
    return Clip(torch.tensor(values, dtype=torch.float32), None)


def look(column, threads=1):
    with patch.object(torch, "get_num_threads", lambda: threads), Crew(threads) as crew:
        assert crew.size == threads
        return crew.look(column, lambda c: c.x[0].item())


def chain(memory, made):
    """Three columns of four clips, each made of the one before; the last two take its place."""

    def counted(name, change):
        def step(before):
            made.append(name)
            return Clip(change(before.x), None)

        return step

    def enter(batch):
        made.append("first")
        return clip(*[float(batch)] * (batch + 1))

    first = Column(enter, 4, memory)
    second = first.then(counted("second", lambda x: torch.cat([x, x])))
    return first, second, second.then(counted("third", lambda x: x[:1] * 2), consume=True)


def test_kept_clips_are_made_once():
    made: list[str] = []
    memory = Memory(1e6)
    first, second, third = chain(memory, made)
    assert look(third) == [0, 2, 4, 6]
    assert [made.count(name) for name in ("first", "second", "third")] == [4, 4, 4]
    assert look(third) and len(made) == 12
    assert memory.used == (1 + 2 + 3 + 4 + 4) * FLOAT, "the second's were consumed"
    assert second[1].x.tolist() == [1] * 4 and len(made) == 13, "so it is made again"
    third.release()
    first.release()
    assert memory.used == 0
    assert look(third) == [0, 2, 4, 6] and memory.used == 0, "made, and not kept again"


def test_what_several_clips_share_counts_once():
    memory = Memory(5 * FLOAT)
    first = Column(lambda batch: clip(1, 2, 3), 1, memory)
    behind = first.then(lambda c: Clip(c.x[:2] + 1, None, stage_input=c.x))
    assert behind[0].stage_input is first[0].x
    assert memory.used == 5 * FLOAT
    first.release()
    assert memory.used == 5 * FLOAT
    behind.release()
    assert memory.used == 0


def test_room_is_made_by_what_is_needed_last():
    memory = Memory(3 * FLOAT)
    columns = [Column(lambda batch: clip(float(batch)), 2, memory)]
    for _ in range(4):
        columns.append(columns[-1].then(lambda c: Clip(c.x + 1, None)))
    assert look(columns[-1]) == [4, 5]
    held = [list(column.kept) for column in columns]
    assert held == [[1], [], [], [0], [0]], "the last two of the first batch stand"


@given(limit=st.integers(0, 160), asked=st.lists(st.integers(0, 3), max_size=12))
def test_any_memory_gives_the_same_and_is_never_exceeded(limit, asked):
    memory = Memory(limit)
    columns = chain(memory, [])
    for i in asked:
        values = [i] * (i + 1), [i] * 2 * (i + 1), [2 * i]
        for column, expected in zip(columns, values, strict=True):
            assert column[i].x.tolist() == expected
            assert 0 <= memory.used <= limit
    memory.clear()
    assert memory.used == 0 and memory.peak <= limit


def test_without_memory_each_clip_is_made_of_those_before_it_once():
    made: list[str] = []
    _, _, third = chain(Memory(0), made)
    look(third)
    assert [made.count(name) for name in ("first", "second", "third")] == [4, 4, 4]


@given(limit=st.integers(0, 160), threads=st.integers(2, 4))
def test_batches_that_are_made_side_by_side_are_kept_within_the_memory(limit, threads):
    memory = Memory(limit)
    columns = chain(memory, [])
    for _ in range(2):
        for column, expected in zip(
            columns, ([0, 1, 2, 3], [0, 1, 2, 3], [0, 2, 4, 6]), strict=True
        ):
            assert look(column, threads) == expected
            assert 0 <= memory.used <= limit
    memory.clear()
    assert memory.used == 0 and memory.peak <= limit


def test_a_crew_shares_out_torchs_threads_and_gives_them_back(monkeypatch):
    told: list[int] = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 6)
    monkeypatch.setattr(torch, "set_num_threads", told.append)
    for most, size in ((1, 1), (2, 2), (4, 3), (9, 6)):
        told.clear()
        with Crew(most) as crew:
            assert crew.size == size
            assert crew.look(range(20), lambda i: -i) == [-i for i in range(20)]
        assert set(told) == ({6 // size, 6} if size > 1 else set())
        with pytest.raises(ZeroDivisionError), Crew(most) as crew:
            crew.look([1, 0], lambda i: 1 / i)
