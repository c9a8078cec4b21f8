"""Cores, and worker processes whose results come back in order."""

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from typing import TypeVar

from nasgait.core.parent_watchdog import leave_with

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 16
"""Items in work or waiting for each worker: bounds the memory, keeps all workers busy."""


def cores() -> int:
    """CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_order(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Generator[Result, None, None]:
    """``map(function, items)`` by worker processes; with one worker by this process.

    ``function`` and items are pickled.  Close the generator to end the workers early.  Raises
    BrokenProcessPool when a worker dies.
    """
    if workers == 1:
        yield from map(function, items)
        return
    # Not forked: a process that has run torch or OpenCV holds threads, and locks with them.
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(workers, context, _start_worker, (os.getpid(),))
    waiting: deque[Future[Result]] = deque()
    remaining = iter(items)
    try:
        waiting.extend(
            executor.submit(function, item) for item in islice(remaining, AHEAD * workers)
        )
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(executor.submit(function, item) for item in islice(remaining, 1))
    finally:
        executor.shutdown(cancel_futures=True)


def _start_worker(parent: int) -> None:
    """Set a worker up: quiet, one thread, leaves with its parent even when that is killed."""
    import cv2  # here, since most that count cores need no OpenCV

    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Image libraries write about damaged files themselves; the summary names them.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    leave_with(parent)
