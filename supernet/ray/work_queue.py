"""The queue of architectures to score: which wait, and which worker has which.

Workers come and go; what a worker had when it died waits again.  Every worker computes the same
score, so the first that arrives counts, whichever worker it comes from.
"""

from collections.abc import Iterable
from itertools import takewhile
from operator import eq

from nasgait.search.budget import Choices

SLACK = 0.25
"""The share by which a chunk may be larger or smaller to keep shared prefixes together."""


class WorkQueue:
    """Hands out architectures to ``workers``, at most ``chunk`` of them at a time."""

    def __init__(self, workers: int, chunk: int) -> None:
        self._workers = workers
        self._chunk = chunk
        self._waiting: set[Choices] = set()
        self._held: dict[str, set[Choices]] = {}
        self._scored: set[Choices] = set()

    def offer(self, architectures: Iterable[Choices]) -> None:
        """Add architectures to score."""
        self._waiting.update(architectures)

    def take(self, worker: str) -> list[Choices]:
        """The next chunk for a worker, empty when nothing waits now.

        A worker asks when it has finished its chunk.  If it has not, it died and was restarted, and
        the rest waits again.  A chunk is about an even share of what waits: a larger one shares
        more work among its paths, but the other workers need work as well.  It ends where two
        neighbours share the shortest prefix.
        """
        self.release(worker)
        ordered = sorted(self._waiting)
        chunk = ordered[: self._size(ordered)]
        self._waiting.difference_update(chunk)
        self._held[worker] = set(chunk)
        return chunk

    def _size(self, ordered: list[Choices]) -> int:
        """The size of the chunk to cut from those that wait, in order."""
        share = -(-len(ordered) // self._workers)
        most = min(round(share * (1 + SLACK)), self._chunk, len(ordered))
        least = min(max(1, round(share * (1 - SLACK))), most)

        def cost(size: int) -> tuple[int, int]:
            """The length of the prefix that a cut divides, 0 at the end; then how uneven it is."""
            neighbours = zip(*ordered[size - 1 : size + 1], strict=True)
            common = takewhile(lambda pair: eq(*pair), neighbours) if size < len(ordered) else ()
            return len(list(common)), abs(size - share)

        return min(range(least, most + 1), key=cost)

    def scored(self, choices: Choices) -> bool:
        """Note that an architecture is scored; returns whether for the first time."""
        if choices in self._scored:
            return False
        self._scored.add(choices)
        for architectures in (self._waiting, *self._held.values()):
            architectures.discard(choices)
        return True

    def release(self, worker: str) -> set[Choices]:
        """Let everything that a dead worker had wait again; returns it."""
        lost = self._held.pop(worker, set())
        self._waiting |= lost
        return lost
