"""Clips of many batches within a memory budget: kept while they fit, else made again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from threading import RLock

from torch import Tensor

from search_spaces.network import Clip

STANDING = 2
"""Clips of a batch, those furthest from the input, that never make room for others."""


class Memory:
    """Bytes of activations that may be kept, and how many are.

    What several clips share counts once.  Where a clip does not fit, others make room that are
    needed later: those nearest to the input with enough of their batch kept behind them.
    Different batches may be asked for by different threads at once.

    Attributes:
        limit: bytes that may be kept.
        lock: held by whoever changes what is kept.
        used: bytes kept now.
        peak: the most that were.
    """

    def __init__(self, limit: float) -> None:
        self.limit, self.lock = limit, RLock()
        self.used = self.peak = 0
        self._columns: list[Column] = []
        self._holders: Counter[int] = Counter()

    def hold(self, clip: Clip) -> bool:
        """Count a clip as kept, or return False when it does not fit."""
        while self.used + self._size(clip, holders=0) > self.limit:
            if not self._make_room():
                return False
        self.used += self._size(clip, holders=0)
        self.peak = max(self.peak, self.used)
        self._holders.update(storages(clip).keys())
        return True

    def drop(self, clip: Clip) -> None:
        """Undo :meth:`hold`."""
        self.used -= self._size(clip, holders=1)
        self._holders.subtract(storages(clip).keys())

    def join(self, column: Column) -> None:
        """Have a column's clips make room for others; those nearer to the input join first."""
        self._columns.append(column)

    def part(self, column: Column) -> None:
        """Keep nothing of a column any more."""
        with self.lock:
            while column.kept:
                self.drop(column.kept.popitem()[1])
            self._columns.remove(column)

    @property
    def columns(self) -> int:
        """Columns that have joined and not parted."""
        return len(self._columns)

    def clear(self, behind: int = 0) -> None:
        """Keep nothing any more but of so many columns, those that joined first."""
        while self.columns > behind:
            self.part(self._columns[-1])

    def _size(self, clip: Clip, holders: int) -> int:
        """Bytes of a clip that so many kept clips hold."""
        return sum(size for key, size in storages(clip).items() if self._holders[key] == holders)

    def _make_room(self) -> bool:
        """Give up one clip, if one may be given up."""
        for place, column in enumerate(self._columns):
            behind = [c for c in self._columns[place + 1 :] if c.root is column.root]
            for batch in column.kept:
                if sum(batch in other.kept for other in behind) >= STANDING:
                    self.drop(column.kept.pop(batch))
                    return True
        return False


class Column:
    """The clips of all batches at one place of a network, each made when it is asked for.

    A clip is kept as long as memory is left, and made again whenever it is not, from the clip
    before it, which is made again in turn, back to the input if need be.  What comes out is the
    same.

    Args:
        make: gives the clip of a batch, always the same.
        count: batches.
        memory: the budget that all columns share.
        keep: whether clips are kept at all.
        consumes: the column whose clip nobody needs once this one's is kept.
        root: the column that all of this chain are made from; itself by default.
    """

    def __init__(
        self,
        make: Callable[[int], Clip],
        count: int,
        memory: Memory,
        keep: bool = True,
        consumes: Column | None = None,
        root: Column | None = None,
    ) -> None:
        self._make, self._count, self._memory = make, count, memory
        self._keep, self._consumes = keep, consumes
        self.root = root or self
        self.kept: dict[int, Clip] = {}
        if keep:
            memory.join(self)

    def then(
        self, step: Callable[[Clip], Clip], keep: bool = True, consume: bool = False
    ) -> Column:
        """The clips one step further; with ``consume`` nobody else needs those here."""
        return Column(
            lambda batch: step(self[batch]),
            self._count,
            self._memory,
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
                with self._memory.lock:
                    self._hold(batch, clip)
        return clip

    def _hold(self, batch: int, clip: Clip) -> None:
        spent = self._consumes.kept.pop(batch, None) if self._consumes else None
        if spent is not None:
            self._memory.drop(spent)
        if self._memory.hold(clip):
            self.kept[batch] = clip
        elif spent is not None and self._consumes and self._memory.hold(spent):
            self._consumes.kept[batch] = spent

    def release(self) -> None:
        """Keep nothing any more, nor anything of what this column was to consume.

        Clips that are asked for after that are made each time.
        """
        if self._keep:
            self._keep = False
            self._memory.part(self)
        if self._consumes is not None:
            self._consumes.release()


def storages(clip: Clip) -> dict[int, int]:
    """The bytes of each piece of memory behind a clip's tensors, by its address."""
    tensors: list[Tensor | None] = [clip.x, clip.stage_input, clip.shortcut]
    held = (tensor.untyped_storage() for tensor in tensors if tensor is not None)
    return {storage.data_ptr(): storage.nbytes() for storage in held}
