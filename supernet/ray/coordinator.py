"""The actor between a search and its scoring workers: hands out work, collects scores.

It runs on the node of the searching process and holds nothing that must outlast it: the searching
process writes the ledger, so a search that is killed leaves no second writer behind.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nasgait.core.errors import NasgaitError
from nasgait.search.budget import Choices
from supernet.ray.work_queue import WorkQueue


@dataclass(frozen=True)
class WorkerScore:
    """An architecture's score, from a worker."""

    choices: Choices
    metrics: Mapping[str, float]
    """In percent, by name."""
    seconds: float
    """Its share of the worker's time."""
    peak_memory: int
    """The most bytes that the worker has held."""


@dataclass(frozen=True)
class Events:
    """What has happened since the search last asked."""

    scores: list[WorkerScore] = field(default_factory=list)
    joined: dict[str, str] = field(default_factory=dict)
    """Workers that have started: where each runs, by its name."""
    faults: dict[str, str] = field(default_factory=dict)
    """The last exception of each worker that ended with one, by its name."""
    refusals: list[NasgaitError] = field(default_factory=list)
    """Wrong input that workers found; restarting them would not help."""


class Coordinator:
    """Serves one search and its ``workers``, which take ``chunk`` architectures at most."""

    def __init__(self, workers: int, chunk: int) -> None:
        self._queue = WorkQueue(workers, chunk)
        self._events = Events()
        self._closed = False

    def offer(self, architectures: Sequence[Choices]) -> None:
        """Queue architectures for scoring; the search calls it."""
        self._queue.offer(architectures)

    def collect(self) -> Events:
        """Return the events since the last call; the search calls it."""
        events, self._events = self._events, Events()
        return events

    def release(self, worker: str) -> int:
        """Note that a worker died; returns how many architectures wait again."""
        return len(self._queue.release(worker))

    def close(self) -> None:
        """Let the workers leave: the search is done."""
        self._closed = True

    def join(self, worker: str, place: str) -> None:
        """Note that a worker has started, and where it runs."""
        self._events.joined[worker] = place

    def take(self, worker: str) -> list[Choices] | None:
        """A worker's next chunk: empty when it should wait, None when it may leave."""
        return None if self._closed else self._queue.take(worker)

    def score(self, score: WorkerScore) -> None:
        """Take a score from a worker, and ignore it if the architecture is scored already."""
        if self._queue.scored(score.choices):
            self._events.scores.append(score)

    def fail(self, worker: str, fault: str) -> None:
        """Note that a worker ends with an exception."""
        self._events.faults[worker] = fault

    def refuse(self, error: NasgaitError) -> None:
        """Note that a worker cannot use its input."""
        self._events.refusals.append(error)
