"""What a layout says about a dataset."""

from collections.abc import Callable
from dataclasses import dataclass

from nasgait.data.partition import Partition
from nasgait.data.raw import RawSequence, Tree
from nasgait.data.readers import Outcome


@dataclass(frozen=True)
class Layout:
    """How to find and read the sequences of a dataset, and its published partitions."""

    name: str
    """As ``--layout`` and ``data.source.layout`` take it."""
    folders: str
    """How the dataset is arranged, for people."""
    find: Callable[[Tree], list[RawSequence]]
    """Lists the sequences below the dataset's folder; DataError where there is no such dataset."""
    read: Callable[..., Outcome]
    """Reads one: ``read(root, (height, width), raw, options=...)``.  Worker processes call it."""
    partitions: tuple[Partition, ...] = ()
    """Published ones; the first is the default.  Without any, the folders say who trains, or else
    the first half of the identities trains."""
    partition_source: str = ""
    """Where to find the partition JSON that must be given; empty if none must be."""
    many_files: bool = False
    """A folder may hold several files, of which ``Options.number`` may choose one by position."""

    @property
    def default_partition(self) -> str | None:
        """Name of the published partition that is taken by default."""
        return self.partitions[0].name if self.partitions else None
