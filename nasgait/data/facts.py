"""What stages must know before they begin: the silhouettes, and what the work runs on."""

import os
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from nasgait.config.schema import DataConfig
from nasgait.core.distributed import pick_device
from nasgait.core.errors import DataError
from nasgait.data.index import Sequence
from nasgait.data.layouts import list_dataset
from nasgait.data.split import Split, split_as
from nasgait.data.store import GaitStore
from nasgait.data.synthetic.population import preset_named, recordings
from nasgait.data.transforms import Size


@dataclass(frozen=True)
class DataFacts:
    """The sequences of a store, or those that a store still to be made will hold."""

    where: str
    """The store, for messages."""
    size: Size
    """Height and width of its frames."""
    sequences: tuple[Sequence, ...]
    """A store that is still to be made has a frame in each."""
    split: Split

    @classmethod
    def of_store(cls, store: GaitStore, config: DataConfig) -> "DataFacts":
        """The facts of an existing store; raises as :func:`nasgait.data.split.split` does."""
        return cls(str(store.path), store.size, store.sequences, split_as(store, config))

    @classmethod
    def expected(cls, config: DataConfig) -> "DataFacts":
        """Those that the settings of the embedded dataset or the listing of a source promise.

        Raises ConfigError for an unknown preset, layout or partition, DataError for no dataset at
        the source or a split that it does not allow.
        """
        listed, size = listing(config)
        sequences = tuple(Sequence(*names, length=1, shard=0, offset=0) for names in listed)
        return cls(config.store, size, sequences, split_as(Listed(sequences), config))

    def identities(self, indices: Iterable[int]) -> int:
        """How many people these sequences show, as far as they are known."""
        rows = (self.sequences[index] for index in indices)
        return len({row.label for row in rows if row.labelled})

    def require_identities(self, purpose: str, indices: Iterable[int]) -> None:
        """Raise DataError unless these sequences show two people."""
        if (count := self.identities(indices)) < 2:
            raise DataError(
                f"{self.where}: {count} identities for {purpose}; needs 2 or more; the partition "
                "of the import says who trains and who tests (--partition, data.source.partition)"
            )


@dataclass(frozen=True)
class Listed:
    """Sequences without a store."""

    sequences: tuple[Sequence, ...]


def listing(config: DataConfig) -> tuple[list[tuple[str, str, str, str]], Size]:
    """Label, type, view and subset of each sequence to come, and the size of its frames."""
    if config.source:
        source = config.source
        found = list_dataset(source.layout, source.root, source.partition)
        rows = [(raw.label, raw.type, raw.view, raw.subset) for raw in found]
        return rows, (source.size, source.size)
    synth = config.synth
    assert synth, "nasgait.data.prepare.check_source comes first"
    walks = recordings(preset_named(synth.preset), synth.ids, synth.seqs, synth.seed)
    people = ((walk.identity, walk) for walk in walks)
    rows = [(who.label, w.type, view, who.subset) for who, w in people for view, _ in w.views]
    return rows, (64, 64)


@dataclass(frozen=True)
class Facts:
    """What a stage's ``validate`` holds the configuration against."""

    device: torch.device
    """Where networks run."""
    ranks: int
    """Processes that share a training."""
    data: DataFacts | None
    """None where it is not known; then nothing that depends on it is checked."""

    @classmethod
    def of_store(
        cls, store: GaitStore, config: DataConfig, device: str, ranks: int | None = None
    ) -> "Facts":
        """The facts of a stage that is about to begin here, in ``ranks`` processes.

        By default these are the processes that torchrun has started.
        """
        count = int(os.environ.get("WORLD_SIZE", 1)) if ranks is None else ranks
        here = min(count, int(os.environ.get("LOCAL_WORLD_SIZE", count)))
        return cls(pick_device(device, here - 1), count, DataFacts.of_store(store, config))
