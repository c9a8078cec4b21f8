"""The actor between a search and its scoring workers: hands out work, collects scores.

It lives on the searching process's node and knows nothing that must outlast it: the ledger is
written by the searching process, so a search that is killed leaves no second writer behind.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nasgait.core.errors import NasgaitError
from nasgait.search.budget import Choices
from supernet.ray.work_queue import HandOut


@dataclass(frozen=True)
class Score:
    """What a worker found out about an architecture."""

    choices: Choices
    rates: Mapping[str, float]
    seconds: float
    """Its share of the worker's time."""
    peak_memory: int
    """Bytes that the worker has held at most."""


@dataclass(frozen=True)
class Mail:
    """What has happened since the search last looked."""

    scores: list[Score] = field(default_factory=list)
    joined: dict[str, str] = field(default_factory=dict)
    """Workers that have begun, by their names: where each runs."""
    faults: dict[str, str] = field(default_factory=dict)
    """The last exception of workers that ended with one."""
    refusals: list[NasgaitError] = field(default_factory=list)
    """Wrong input that workers came upon; to start them again would not help."""


class Coordinator:
    """Between one search and its ``workers``, which take ``chunk`` architectures at most."""

    def __init__(self, workers: int, chunk: int) -> None:
        self._handout = HandOut(workers, chunk)
        self._mail = Mail()
        self._over = False

    def offer(self, architectures: Sequence[Choices]) -> None:
        """The search wants more architectures scored."""
        self._handout.offer(architectures)

    def collect(self) -> Mail:
        """The search looks what has happened."""
        mail, self._mail = self._mail, Mail()
        return mail

    def release(self, worker: str) -> int:
        """A worker has died; returns how many architectures wait again."""
        return len(self._handout.release(worker))

    def close(self) -> None:
        """The search is over."""
        self._over = True

    def join(self, worker: str, place: str) -> None:
        """A worker has begun."""
        self._mail.joined[worker] = place

    def take(self, worker: str) -> list[Choices] | None:
        """A worker wants its next chunk: empty when it is to wait, None when it may leave."""
        return None if self._over else self._handout.take(worker)

    def score(self, score: Score) -> None:
        """A worker has scored an architecture; what is known already is left aside."""
        if self._handout.scored(score.choices):
            self._mail.scores.append(score)

    def fail(self, worker: str, fault: str) -> None:
        """A worker ends with an exception."""
        self._mail.faults[worker] = fault

    def refuse(self, error: NasgaitError) -> None:
        """A worker cannot use what it was given."""
        self._mail.refusals.append(error)
