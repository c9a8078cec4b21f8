"""Activations of many batches within a memory budget: kept while they fit, else recomputed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from threading import RLock

from torch import Tensor

from search_spaces.network import Clip

PROTECTED = 2
"""Clips of a batch, those furthest from the input, that are never evicted for others."""


class ActivationBudget:
    """The bytes of activations that may be kept, and those that are.

    Memory that several clips share counts once.  Where a clip does not fit, others are evicted that
    are needed later: those nearest to the input with enough of their batch cached behind them.
    Different threads may ask for different batches at once.

    Attributes:
        limit: bytes that may be kept.
        lock: held by whoever changes what is kept.
        used: bytes kept now.
        peak: the most bytes that were kept.
    """

    def __init__(self, limit: float) -> None:
        self.limit, self.lock = limit, RLock()
        self.used = self.peak = 0
        self._caches: list[ActivationCache] = []
        self._holders: Counter[int] = Counter()

    def hold(self, clip: Clip) -> bool:
        """Count a clip as kept, or return False if it does not fit."""
        while self.used + self._size(clip, holders=0) > self.limit:
            if not self._evict():
                return False
        self.used += self._size(clip, holders=0)
        self.peak = max(self.peak, self.used)
        self._holders.update(storages(clip).keys())
        return True

    def drop(self, clip: Clip) -> None:
        """Undo :meth:`hold`."""
        self.used -= self._size(clip, holders=1)
        self._holders.subtract(storages(clip).keys())

    def add(self, cache: ActivationCache) -> None:
        """Let a cache's clips be evicted; caches nearer to the input are added first."""
        self._caches.append(cache)

    def remove(self, cache: ActivationCache) -> None:
        """Drop all clips of a cache, and the cache."""
        with self.lock:
            while cache.kept:
                self.drop(cache.kept.popitem()[1])
            self._caches.remove(cache)

    @property
    def caches(self) -> int:
        """The number of caches that were added and not removed."""
        return len(self._caches)

    def clear(self, keep: int = 0) -> None:
        """Remove all caches but the ``keep`` that were added first."""
        while self.caches > keep:
            self.remove(self._caches[-1])

    def _size(self, clip: Clip, holders: int) -> int:
        """The bytes of a clip that exactly ``holders`` kept clips share."""
        return sum(size for key, size in storages(clip).items() if self._holders[key] == holders)

    def _evict(self) -> bool:
        """Evict one clip; False if none may be evicted."""
        for place, cache in enumerate(self._caches):
            behind = [c for c in self._caches[place + 1 :] if c.root is cache.root]
            for batch in cache.kept:
                if sum(batch in other.kept for other in behind) >= PROTECTED:
                    self.drop(cache.kept.pop(batch))
                    return True
        return False


class ActivationCache:
    """The clips of all batches at one place of a network, each computed when it is asked for.

    A clip is kept as long as memory is left.  Otherwise it is recomputed whenever it is asked for,
    from the clip before it, which is recomputed in turn, back to the input if need be.  The result
    is the same.

    Args:
        make: computes the clip of a batch, always the same.
        count: batches.
        budget: the memory that all caches share.
        keep: whether clips are kept at all.
        consumes: the cache whose clip is no longer needed once this one's is kept.
        root: the first cache of the chain that this one is computed from; itself by default.
    """

    def __init__(
        self,
        make: Callable[[int], Clip],
        count: int,
        budget: ActivationBudget,
        keep: bool = True,
        consumes: ActivationCache | None = None,
        root: ActivationCache | None = None,
    ) -> None:
        self._make, self._count, self._budget = make, count, budget
        self._keep, self._consumes = keep, consumes
        self.root = root or self
        self.kept: dict[int, Clip] = {}
        if keep:
            budget.add(self)

    def then(
        self, step: Callable[[Clip], Clip], keep: bool = True, consume: bool = False
    ) -> ActivationCache:
        """The clips one step further; with ``consume`` nothing else needs those here."""
        return ActivationCache(
            lambda batch: step(self[batch]),
            self._count,
            self._budget,
            keep,
            self if consume else None,
            self.root,
        )

    def __len__(self) -> int:
        """Batches."""
        return self._count

    def __getitem__(self, batch: int) -> Clip:
        clip = self.kept.get(batch)
        if clip is None:
            clip = self._make(batch)
            if self._keep:
                with self._budget.lock:
                    self._hold(batch, clip)
        return clip

    def _hold(self, batch: int, clip: Clip) -> None:
        spent = self._consumes.kept.pop(batch, None) if self._consumes else None
        if spent is not None:
            self._budget.drop(spent)
        if self._budget.hold(clip):
            self.kept[batch] = clip
        elif spent is not None and self._consumes and self._budget.hold(spent):
            self._consumes.kept[batch] = spent

    def release(self) -> None:
        """Drop all clips, also those of the cache that this one consumes, and keep no more.

        Clips that are asked for after that are computed each time.
        """
        if self._keep:
            self._keep = False
            self._budget.remove(self)
        if self._consumes is not None:
            self._consumes.release()


def storages(clip: Clip) -> dict[int, int]:
    """The bytes of each piece of memory behind a clip's tensors, by its address."""
    tensors: list[Tensor | None] = [clip.x, clip.stage_input, clip.shortcut]
    held = (tensor.untyped_storage() for tensor in tensors if tensor is not None)
    return {storage.data_ptr(): storage.nbytes() for storage in held}
