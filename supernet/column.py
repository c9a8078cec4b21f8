"""Activations of many batches within a memory budget: kept while they fit, else made again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from torch import Tensor

T = TypeVar("T")


class Memory:
    """Bytes that may be held, and how many are.

    Attributes:
        limit: bytes that may be held.
        used: bytes held now.
        peak: the most that were.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.used = self.peak = 0

    def take(self, size: int) -> bool:
        """Take ``size`` bytes if so many are left; a negative size gives bytes back."""
        if self.used + size > self.limit:
            return False
        self.used += size
        self.peak = max(self.peak, self.used)
        return True


class Column(Generic[T]):
    """A value for each batch, made when it is asked for.

    A value is kept as long as memory is left, and made again whenever it is not, from the
    columns it is made of, which make theirs again in turn, up to the input if need be.  What
    comes out is the same.

    Args:
        make: gives the value of a batch, always the same.
        count: batches.
        held: the tensors that a value holds on to; None: values are never kept.
        memory: the budget that all columns share.
        consumes: the column whose value nobody needs once this one's is kept.
    """

    def __init__(
        self,
        make: Callable[[int], T],
        count: int,
        memory: Memory,
        held: Callable[[T], list[Tensor]] | None = None,
        consumes: Column[Any] | None = None,
    ) -> None:
        self._make, self._count, self._memory = make, count, memory
        self._held, self._consumes = held, consumes
        self._kept: dict[int, tuple[T, int]] = {}

    def __getitem__(self, batch: int) -> T:
        if batch in self._kept:
            return self._kept[batch][0]
        value = self._make(batch)
        if self._held is not None:
            size = sum(tensor.numel() * tensor.element_size() for tensor in self._held(value))
            spent = {} if self._consumes is None else self._consumes._kept
            _, freed = spent.get(batch, (None, 0))
            if self._memory.take(size - freed):
                spent.pop(batch, None)
                self._kept[batch] = value, size
        return value

    def __iter__(self) -> Iterator[T]:
        return (self[batch] for batch in range(self._count))

    def release(self) -> None:
        """Keep nothing any more, nor anything of what this column was to consume."""
        if self._consumes is not None:
            self._consumes.release()
        self._memory.take(-sum(size for _, size in self._kept.values()))
        self._kept.clear()
