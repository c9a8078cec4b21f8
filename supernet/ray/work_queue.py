"""Which architectures wait to be scored, and which worker has which: hand-out to many workers.

Workers come and go, and what one had when it died waits again.  The same scores come out
whoever computes them, so the first that arrives counts, wherever from.
"""

from collections.abc import Iterable
from itertools import takewhile
from operator import eq

from nasgait.search.budget import Choices

SLACK = 0.25
"""How far, in parts of it, a chunk's size may give way to siblings that belong together."""


class HandOut:
    """Architectures on their way through ``workers``, at most ``chunk`` of them at a time."""

    def __init__(self, workers: int, chunk: int) -> None:
        self._workers = workers
        self._chunk = chunk
        self._waiting: set[Choices] = set()
        self._held: dict[str, set[Choices]] = {}
        self._scored: set[Choices] = set()

    def offer(self, architectures: Iterable[Choices]) -> None:
        """More architectures to score."""
        self._waiting.update(architectures)

    def take(self, worker: str) -> list[Choices]:
        """The next chunk for a worker, empty when nothing waits now.

        A worker asks when it has done what it had; what it has not done was lost when it died,
        and waits again.  A chunk is about an even share of what waits: the larger it is, the
        more work its paths share, but the others need work as well.  It ends where neighbours
        share least.
        """
        self.release(worker)
        ordered = sorted(self._waiting)
        chunk = ordered[: self._size(ordered)]
        self._waiting.difference_update(chunk)
        self._held[worker] = set(chunk)
        return chunk

    def _size(self, ordered: list[Choices]) -> int:
        """Architectures of the chunk that is cut from those that wait, in order."""
        share = -(-len(ordered) // self._workers)
        most = min(round(share * (1 + SLACK)), self._chunk, len(ordered))
        least = min(max(1, round(share * (1 - SLACK))), most)

        def torn(size: int) -> tuple[int, int]:
            """The layers that the cut's two neighbours have in common; none behind the last."""
            neighbours = zip(*ordered[size - 1 : size + 1], strict=True)
            common = takewhile(lambda pair: eq(*pair), neighbours) if size < len(ordered) else ()
            return len(list(common)), abs(size - share)

        return min(range(least, most + 1), key=torn)

    def scored(self, choices: Choices) -> bool:
        """An architecture has its score; whether this is the first one."""
        if choices in self._scored:
            return False
        self._scored.add(choices)
        for architectures in (self._waiting, *self._held.values()):
            architectures.discard(choices)
        return True

    def release(self, worker: str) -> set[Choices]:
        """What a worker had that is gone; all of it waits again."""
        lost = self._held.pop(worker, set())
        self._waiting |= lost
        return lost
