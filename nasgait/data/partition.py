"""Which identities of a dataset train and which test: published partitions, and JSON files.

=============  =====================  =================================
name           trains                 tests
=============  =====================  =================================
``casia-b``    001 to 074             075 to 124
``casia-b-73`` as above without 005   075 to 124 (as in HSTL)
``oumvlp``     odd ids, 1 to 10305    even ids, and 10307
=============  =====================  =================================

Any other is a file in OpenGait's form: a JSON object with the lists ``TRAIN_SET`` and
``TEST_SET`` of ids and, for Gait3D, ``PROBE_SET`` of sequences.
"""

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from nasgait.core.errors import DataError
from nasgait.data.raw import UNDECIDED, RawSequence

logger = logging.getLogger(__name__)

SHOWN = 5
"""So many names stand in a message; the others are counted."""


@dataclass(frozen=True)
class Partition:
    """The identities that train and those that test."""

    name: str
    """For messages: a published name, or the file."""
    train: frozenset[str]
    test: frozenset[str]
    probes: frozenset[str] = frozenset()
    """Keys ``id-type-view`` of the sequences that the file calls probes."""


def _published(name: str, train: Iterable[int], test: Iterable[int], digits: int) -> Partition:
    sets = (frozenset(f"{number:0{digits}d}" for number in ids) for ids in (train, test))
    return Partition(name, *sets)


PUBLISHED: dict[str, Partition] = {
    partition.name: partition
    for partition in (
        _published("casia-b", range(1, 75), range(75, 125), 3),
        _published("casia-b-73", {*range(1, 75)} - {5}, range(75, 125), 3),
        _published("oumvlp", range(1, 10306, 2), {*range(2, 10307, 2), 10307}, 5),
    )
}
"""Partitions that need no file."""


def find_partition(name_or_file: str) -> Partition:
    """A published partition by name, or the one in a JSON file.

    Raises:
        DataError: neither a known name nor a readable file of that form, or an identity in
            both sets.
    """
    if name_or_file in PUBLISHED:
        return PUBLISHED[name_or_file]
    path = Path(name_or_file)
    if not path.is_file():
        raise DataError(
            f"{path}: no such partition file, and no published partition; those are "
            + ", ".join(PUBLISHED)
        )
    try:
        sets = json.loads(path.read_text(encoding="utf-8"))
        train, test = _ids(sets["TRAIN_SET"]), _ids(sets["TEST_SET"])
        probes = _ids(sets.get("PROBE_SET", []))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: not a partition file, a JSON object with the lists TRAIN_SET and "
            f"TEST_SET ({error})"
        ) from None
    if both := train & test:
        raise DataError(f"{path}: identity {min(both)} is in TRAIN_SET and in TEST_SET")
    return Partition(str(path), train, test, probes)


def assign(partition: Partition, listing: list[RawSequence]) -> list[RawSequence]:
    """The sequences whose identity trains or tests, each with its subset.

    Logs a warning about identities that are in neither set (they are left out, distractors like
    others), and about identities and probes that the partition names and the dataset lacks.

    Raises:
        DataError: the partition names none of the identities.
    """
    labels = {raw.label for raw in listing}
    named = partition.train | partition.test
    if not labels & named:
        raise DataError(f"{partition.name}: names none of the identities, e.g. {min(labels)}")
    kept = [
        replace(raw, subset="train" if raw.label in partition.train else "test")
        for raw in listing
        if raw.label in named
    ]
    _tell(partition, "identities in neither set, left out", labels - named)
    _tell(partition, "identities named there that the dataset lacks", named - labels)
    lost = partition.probes - {raw.key for raw in kept}
    _tell(partition, "sequences of PROBE_SET that the dataset lacks", lost)
    return kept


def first_half(listing: list[RawSequence]) -> list[RawSequence]:
    """The last resort where nothing tells: the first half of the identities, sorted, trains.

    Sequences that have a subset keep it.  Logs a warning when identities were divided.
    """
    labels = sorted({raw.label for raw in listing if raw.subset == UNDECIDED})
    if not labels:
        return listing
    half = (len(labels) + 1) // 2
    logger.warning(
        "nothing says which identities train (no --partition, no names in GREW's manner): the "
        "first %d of %d in sorted order do",
        half,
        len(labels),
    )
    halves = {label: "train" if i < half else "test" for i, label in enumerate(labels)}
    return [replace(raw, subset=raw.subset or halves[raw.label]) for raw in listing]


def _ids(values: object) -> frozenset[str]:
    if not isinstance(values, list):
        raise TypeError(f"a list is needed, found {type(values).__name__}")
    if strange := [value for value in values if type(value) not in (str, int)]:
        raise TypeError(f"an id is a text or a number, found {strange[0]!r}")
    return frozenset(map(str, values))


def _tell(partition: Partition, what: str, names: set[str] | frozenset[str]) -> None:
    if not names:
        return
    shown = ", ".join(sorted(names)[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
    logger.warning("partition %s: %d %s: %s", partition.name, len(names), what, shown)
