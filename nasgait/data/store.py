"""The packed store of silhouettes: opening, reading and checking it.

>>> store = GaitStore.open("runs/demo/store")          # doctest: +SKIP
>>> store.sequences[0].key, store[0].shape              # doctest: +SKIP
('00001-nm-01-030', (47, 64, 64))
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from nasgait.config.schema import DataConfig
from nasgait.core.files import file_sha256
from nasgait.data.index import Sequence, read_index
from nasgait.data.meta import (
    CHECKSUMS,
    Meta,
    amount_faults,
    checksums_fault,
    file_faults,
    meta_faults,
    read_meta,
)
from nasgait.data.reader import GaitStore, OnDamage
from nasgait.data.writer import StoreWriter

__all__ = [
    "GaitStore",
    "OnDamage",
    "Sequence",
    "StoreWriter",
    "check_store",
    "has_checksums",
    "open_store",
]


def open_store(config: DataConfig) -> GaitStore:
    """Open the store of a configuration; raises as :meth:`GaitStore.open`."""
    return GaitStore.open(config.store, config.on_damage)


def check_store(
    path: str | os.PathLike[str], progress: Callable[[str], None] | None = None
) -> list[str]:
    """Every fault of the store at ``path``, a line each.

    Checks each shard (present, size, sha256), the checksums of the frames, each row of the index
    (well formed, known subset, unique, at least one frame, within its shard), the counts and
    checksum of the index, and the subsets (no identity both trains and tests).  Sequences with
    damaged or missing frames are named by their keys.

    Args:
        path: The store's directory.
        progress: Called with the name of each shard before it is read.

    Raises:
        DataError: there is no store, it is of another format version, or its ``meta.json``
            does not follow the format.
    """
    place = Path(path)
    meta = read_meta(place)
    faults = file_faults(place, meta)
    damaged = [*meta_faults(meta), *(f"{file}: {fault}" for file, fault in faults.items())]
    suspects = set()
    for number, shard in enumerate(meta.shards):
        if shard.file in faults:
            suspects.add(number)
            continue
        if progress:
            progress(shard.file)
        if file_sha256(place / shard.file) != shard.sha256:
            damaged.append(f"{shard.file}: its sha256 is not the one recorded in meta.json")
            suspects.add(number)
    if CHECKSUMS not in faults and (fault := checksums_fault(place, meta)):
        faults[CHECKSUMS] = fault
        damaged.append(fault)
    sequences, damage = read_index(place, meta)
    damaged += damage
    if CHECKSUMS not in faults and not amount_faults(meta):
        damaged += damaged_sequences(place, meta, sequences, suspects)
    return damaged + subset_faults(sequences)


def has_checksums(path: str | os.PathLike[str]) -> bool:
    """Whether a store's frames have checksums; DataError as :func:`check_store`."""
    return read_meta(Path(path)).checksums is not None


def damaged_sequences(
    path: Path, meta: Meta, sequences: list[Sequence], shards: Iterable[int]
) -> list[str]:
    """The sequences with damaged or missing frames in these shards, a line each."""
    wanted = set(shards)
    suspects = tuple(sequence for sequence in sequences if sequence.shard in wanted)
    return [damage for _, damage in GaitStore(path, meta, suspects).all_damage()]


def subset_faults(sequences: list[Sequence]) -> list[str]:
    """Faults of identities that are in more than one subset."""
    subsets: dict[str, set[str]] = {}
    for sequence in sequences:
        subsets.setdefault(sequence.label, set()).add(sequence.subset)
    return [
        f"identity {label}: in {' and '.join(sorted(found))}, must be in one subset only"
        for label, found in subsets.items()
        if len(found) > 1
    ]
