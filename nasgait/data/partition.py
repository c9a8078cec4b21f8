"""Which identities of a dataset train and which test: published partitions, and JSON files.

Published ones are in the file of their layout.  Any other is a file in OpenGait's form: a JSON
object with the lists ``TRAIN_SET`` and ``TEST_SET`` of ids and, for Gait3D, ``PROBE_SET`` of
sequences.
"""

import codecs
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace

from nasgait.core.errors import DataError
from nasgait.core.files import parse_json
from nasgait.data.entries import excerpt, read_bounded, shown
from nasgait.data.raw import UNDECIDED, RawSequence

logger = logging.getLogger(__name__)

MAX_BYTES = 2**26
"""A partition file that is larger is not read; that of GREW has less than a megabyte."""
SHOWN = 5
"""A message names so many and counts the others."""


@dataclass(frozen=True)
class Partition:
    """The identities that train and those that test."""

    name: str
    """For messages: a published name, or the file."""
    train: frozenset[str]
    test: frozenset[str]
    probes: frozenset[str] = frozenset()
    """Keys ``id-type-view`` of the sequences that the file calls probes."""


def numbered(name: str, train: Iterable[int], test: Iterable[int], digits: int) -> Partition:
    """A partition of identities that are numbers, written with so many digits."""
    sets = (frozenset(f"{number:0{digits}d}" for number in ids) for ids in (train, test))
    return Partition(name, *sets)


def read_partition(path: str | os.PathLike[str]) -> Partition:
    """The partition in a JSON file.

    Raises:
        DataError: no readable file of that form, or an identity in both sets.
    """
    try:
        data = read_bounded(os.fspath(path), MAX_BYTES)
    except DataError as error:
        raise DataError(f"{shown(str(path))}: a partition file that {error}") from None
    try:
        sets = parse_json(_text(data))
        train, test = _ids(sets["TRAIN_SET"]), _ids(sets["TEST_SET"])
        probes = _ids(sets.get("PROBE_SET", []))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(
            f"{shown(str(path))}: not a partition file, a JSON object with the lists TRAIN_SET "
            f"and TEST_SET ({_fault(error)})"
        ) from None
    if both := train & test:
        raise DataError(
            f"{shown(str(path))}: identity {shown(min(both))} is in TRAIN_SET and in TEST_SET; "
            "an identity belongs to one of them"
        )
    return Partition(str(path), train, test, probes)


def assign(partition: Partition, listing: list[RawSequence]) -> list[RawSequence]:
    """The sequences whose identity trains or tests, each with its subset.

    Logs a warning about identities that are in neither set (they are left out, distractors
    too), and about identities and probes that the partition names and the dataset lacks.

    Raises:
        DataError: the partition names none of the identities.
    """
    labels = {raw.label for raw in listing}
    named = partition.train | partition.test
    if not labels & named:
        raise DataError(
            f"partition {shown(partition.name)}: names none of the {len(labels)} identities in the "
            f"dataset, which are {_some(labels)}; it names {_some(named)}; give the --partition "
            "(data.source.partition) of this dataset, a JSON with its ids in TRAIN_SET and TEST_SET"
        )
    kept = [
        replace(raw, subset="train" if raw.label in partition.train else "test")
        for raw in listing
        if raw.label in named
    ]
    _warn(partition, "identities in neither set, left out", labels - named)
    _warn(partition, "identities named there that the dataset lacks", named - labels)
    lost = partition.probes - {raw.key for raw in kept}
    _warn(partition, "sequences of PROBE_SET that the dataset lacks", lost)
    return kept


def first_half(listing: list[RawSequence]) -> list[RawSequence]:
    """The last resort: the first half of the identities, in sorted order, trains.

    Sequences that have a subset keep it.  Logs a warning where one has none.
    """
    labels = sorted({raw.label for raw in listing if raw.subset == UNDECIDED})
    if not labels:
        return listing
    half = (len(labels) + 1) // 2
    logger.warning(
        "nothing says which identities train (no --partition, no names as in GREW): the "
        "first %d of %d in sorted order do",
        half,
        len(labels),
    )
    halves = {label: "train" if i < half else "test" for i, label in enumerate(labels)}
    return [replace(raw, subset=raw.subset or halves[raw.label]) for raw in listing]


def _text(data: bytes) -> str:
    """A text as editors save it: UTF-8 or UTF-16, with or without a byte order mark."""
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return data.decode("utf-16" if wide else "utf-8-sig")


def _fault(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"it lacks {error}"
    return "nested too deeply" if isinstance(error, RecursionError) else excerpt(str(error))


def _ids(values: object) -> frozenset[str]:
    if not isinstance(values, list):
        raise TypeError(f"a list is needed, found {type(values).__name__}")
    if strange := [value for value in values if type(value) not in (str, int)]:
        raise TypeError(f"an id is a text or a number, found {strange[0]!r}")
    return frozenset(map(str, values))


def _warn(partition: Partition, what: str, names: set[str] | frozenset[str]) -> None:
    if not names:
        return
    logger.warning("partition %s: %d %s: %s", partition.name, len(names), what, _some(names))


def _some(names: set[str] | frozenset[str]) -> str:
    """The first names, for a message."""
    return ", ".join(map(shown, sorted(names)[:SHOWN])) + (", ..." if len(names) > SHOWN else "")
