"""Layouts of raw datasets, one file each: which folders hold a sequence, and how it is read.

A new layout is a file with a :class:`~nasgait.data.layouts.layout.Layout`, and an entry in the
list below.
"""

import difflib
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from nasgait.core.errors import ConfigError, DataError
from nasgait.data.entries import shown
from nasgait.data.layouts import casia_b, gait3d, grew, opengait_pkl, oumvlp
from nasgait.data.layouts.layout import Layout
from nasgait.data.partition import Partition, assign, first_half, read_partition
from nasgait.data.raw import RawSequence, Tree, require_root

LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (grew.LAYOUT, casia_b.LAYOUT, oumvlp.LAYOUT, gait3d.LAYOUT, opengait_pkl.LAYOUT)
}
"""Layouts that can be imported, by name."""
PUBLISHED: dict[str, Partition] = {
    partition.name: partition for layout in LAYOUTS.values() for partition in layout.partitions
}
"""Partitions that need no file, by name."""


def find_layout(name: str, setting: str = "layout") -> Layout:
    """The layout of this name.

    Raises:
        ConfigError: there is none; ``setting`` is where the name was given.
    """
    if name not in LAYOUTS:
        close = difflib.get_close_matches(name.casefold(), LAYOUTS, n=1)
        meant = f"did you mean {close[0]!r}? " if close else ""
        raise ConfigError(f"{setting} {name!r}: {meant}known are {', '.join(LAYOUTS)}")
    return LAYOUTS[name]


def find_partition(name_or_file: str) -> Partition:
    """A published partition by name, or the one in a JSON file.

    Raises:
        DataError: neither a known name nor a readable file, see :func:`read_partition`.
    """
    if name_or_file in PUBLISHED:
        return PUBLISHED[name_or_file]
    if not os.path.exists(name_or_file):
        raise DataError(
            f"{shown(name_or_file)}: no such partition file, and no published partition; those are "
            + ", ".join(PUBLISHED)
        )
    return read_partition(name_or_file)


@dataclass(frozen=True)
class Listing:
    """What a raw dataset holds."""

    sequences: list[RawSequence]
    """In the order in which they are imported."""
    faults: list[str]
    """What is not imported, and does not belong to one of them, with the reasons."""
    notes: list[str]
    """What is told once."""


def list_dataset(
    layout: str, root: str | os.PathLike[str], partition: str | os.PathLike[str] | None = None
) -> list[RawSequence]:
    """The sequences that :func:`survey` finds."""
    return survey(layout, root, partition).sequences


def survey(
    layout: str, root: str | os.PathLike[str], partition: str | os.PathLike[str] | None = None
) -> Listing:
    """The sequences of a raw dataset that train or test, and what is left out.

    Args:
        layout: a name from :data:`LAYOUTS`.
        root: the dataset's folder.
        partition: a published partition's name or an OpenGait partition JSON; the layout's own
            by default.

    Raises:
        ConfigError: unknown layout, or no partition for a layout that has none of its own.
        DataError: no dataset of that layout at ``root``, or a partition that cannot be read or
            names none of the identities.
    """
    chosen, place = find_layout(layout), Path(root)
    require_root(place)
    name = os.fspath(partition) if partition else chosen.default_partition
    if name is None and chosen.partition_source:
        raise ConfigError(
            f"layout {layout} needs a partition: give the JSON that lists TRAIN_SET and TEST_SET "
            f"({chosen.partition_source}) as --partition"
        )
    sides = find_partition(name) if name else None
    tree = Tree(place)
    listing = chosen.find(tree)
    if not listing:
        first = "".join(f"; {fault}" for fault in tree.faults()[:1])
        raise DataError(f"{shown(str(root))}: there is no sequence folder in it{first}")
    named = sides.train | sides.test if sides else None
    listing = assign(sides, listing) if sides else first_half(listing)
    sound = _soundly_named(tree, listing)
    if not sound:
        raise DataError(f"{shown(str(root))}: no sequence can be imported; {tree.faults(named)[0]}")
    return Listing(sound, tree.faults(named), tree.notes)


def _soundly_named(tree: Tree, listing: list[RawSequence]) -> list[RawSequence]:
    """The sequences whose names a store can keep apart; the others are left out and named."""
    times = Counter(raw.key for raw in listing)
    groups: dict[str, list[RawSequence]] = {}
    for raw in listing:
        if raw.fault:
            tree.leave_out(raw.folder, raw.fault, raw.label)
        elif times[raw.key] > 1:
            groups.setdefault(raw.key, []).append(raw)
    for key, same in groups.items():
        others = ", ".join(shown(raw.folder) for raw in same[1:])
        tree.leave_out(
            same[0].folder,
            f"its id, type and view make the key {key}, as those of {others} do; rename the "
            "folders so that they differ",
            same[0].label,
        )
    return [raw for raw in listing if not raw.fault and times[raw.key] == 1]
