"""Threads that work on batches side by side."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, Self, TypeVar

import torch

T_co = TypeVar("T_co", covariant=True)
R = TypeVar("R")


class Items(Protocol[T_co]):
    """Things in a row, each there, or made, when it is asked for."""

    def __len__(self) -> int:
        """How many."""

    def __getitem__(self, index: int, /) -> T_co:
        """One of them."""


class Crew:
    """A context of threads that share out torch's threads evenly.

    Threads that work together on one convolution wait for each other at its end, and at that of
    everything after it; with a batch for each they do not, and an eighth of the time is saved.

    Args:
        most: threads at most; with one, all is done in the thread that asks, by all of torch's.
    """

    def __init__(self, most: int) -> None:
        self._torch_threads = torch.get_num_threads()
        self.size = max(n for n in range(1, most + 1) if self._torch_threads % n == 0)
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> Self:
        if self.size > 1:
            share = self._torch_threads // self.size
            self._pool = ThreadPoolExecutor(self.size, "crew", torch.set_num_threads, (share,))
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None
            torch.set_num_threads(self._torch_threads)  # some of its libraries count for all

    def look(self, at: Items[T_co], look: Callable[[T_co], R]) -> list[R]:
        """What a look at each item finds, in their order; none is held on to."""

        def find(index: int) -> R:
            with torch.inference_mode():
                return look(at[index])

        return list((self._pool.map if self._pool else map)(find, range(len(at))))
