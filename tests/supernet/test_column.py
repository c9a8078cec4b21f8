"""Values that are kept while memory lasts, and made again where it does not."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from supernet.column import Column, Memory


def chain(memory, made):
    """Three columns of four values, each made of the one before and taking its place."""

    def make(name, change, source, consumes):
        def value(i):
            made.append((name, i))
            return change(source[i])

        return Column(value, 4, memory, lambda x: [x], consumes)

    inputs = [torch.full((size,), float(size)) for size in (1, 2, 3, 4)]
    first = make("first", lambda x: x + 1, inputs, None)
    second = make("second", lambda x: torch.cat([x, x]), first, first)
    return first, second, make("third", lambda x: x[:1] * 2, second, second)


def test_kept_values_are_made_once():
    made: list[tuple[str, int]] = []
    memory = Memory(1e6)
    first, _, third = chain(memory, made)
    assert [x.item() for x in third] == [4, 6, 8, 10]
    assert sorted(made) == sorted(
        (name, i) for name in ("first", "second", "third") for i in range(4)
    )
    assert list(third) and len(made) == 12
    assert memory.used == 4 * 4, "the last column's alone: it took the place of the others"
    assert first[0].item() == 2 and len(made) == 13, "consumed, so made again"


@given(limit=st.integers(0, 120), asked=st.lists(st.integers(0, 3), max_size=12))
def test_any_memory_gives_the_same_and_is_never_exceeded(limit, asked):
    memory = Memory(limit)
    columns = chain(memory, [])
    for i in asked:
        values = [i + 2] * (i + 1), [i + 2] * 2 * (i + 1), [2 * i + 4]
        for column, expected in zip(columns, values, strict=True):
            assert column[i].tolist() == expected
            assert 0 <= memory.used <= limit
    columns[-1].release()
    assert memory.used == 0 and memory.peak <= limit
