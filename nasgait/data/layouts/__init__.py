"""Which folders of a raw dataset hold a sequence, and what each is called in the store.

================  ===========================================  ============================
layout            folders                                      who trains, unless told
================  ===========================================  ============================
``grew``          raw or rearranged, see ``nasgait.data.layouts.grew``  by folder
``casia-b``       ``<id>/<type>/<view>/*.png``                 001 to 074
``oumvlp``        ``Silhouette_<view>-<seq>/<id>/*.png``, or   odd ids to 10305
                  rearranged: ``<id>/<seq>/<view>/*.png``
``gait3d``        ``<id>/<camera and video>/<seq>/*.png``      a partition must be given
``opengait-pkl``  ``<id>/<type>/<view>/*.pkl``                 GREW's names, or the first
                                                               half of the identities
================  ===========================================  ============================

Every layout takes a partition instead, see ``nasgait.data.partition``.  With one, ``casia-b``
reads any dataset that is arranged as ``<id>/<type>/<view>/*.png``.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from nasgait.core.errors import ConfigError, DataError
from nasgait.data.layouts.grew import list_grew, named_as_grew, subset_by_name
from nasgait.data.partition import assign, find_partition, first_half
from nasgait.data.raw import RawSequence, folders, list_tree, meant, require_root

VIEW_AND_SEQUENCE = re.compile(r"Silhouette_([^-]+)-(.+)")
"""Folders of raw OU-MVLP."""
REARRANGED = "OU-MVLP (Silhouette_<view>-<seq>/<id>/*.png), nor its rearranged tree"


@dataclass(frozen=True)
class Layout:
    """How to find the sequences of a dataset, and its published partition."""

    find: Callable[[Path], list[RawSequence]]
    partition: str | None = None
    """Name of the published one."""
    needs_partition: bool = False
    """Neither folders nor a published rule tell who trains."""


def list_dataset(
    layout: str, root: str | os.PathLike[str], partition: str | os.PathLike[str] | None = None
) -> list[RawSequence]:
    """The sequences of a raw dataset, in the order in which they are imported.

    Args:
        layout: A name from :data:`LAYOUTS`.
        root: The dataset's folder.
        partition: A published partition's name or an OpenGait partition JSON; the layout's own
            by default.

    Raises:
        ConfigError: unknown layout, or no partition for a layout that has none of its own.
        DataError: no dataset of that layout at ``root``, an identity without any sequence, or a
            partition that cannot be read or names none of the identities.
    """
    if layout not in LAYOUTS:
        raise ConfigError(f"unknown layout {layout!r}; known are {', '.join(LAYOUTS)}")
    place, chosen = Path(root), LAYOUTS[layout]
    require_root(place)
    if partition is None and chosen.needs_partition:
        raise ConfigError(
            f"layout {layout} needs a partition: give the JSON that lists TRAIN_SET and TEST_SET "
            "(OpenGait's datasets/Gait3D/Gait3D.json)"
        )
    listing = chosen.find(place)
    if not listing:
        raise DataError(f"{root}: not one sequence folder below it")
    if decided_by := partition or chosen.partition:
        return assign(find_partition(os.fspath(decided_by)), listing)
    return first_half(listing)


def list_png_tree(root: Path) -> list[RawSequence]:
    """Sequences of ``<id>/<type>/<view>/*.png``: CASIA-B, Gait3D and rearranged trees."""
    return list_tree(root, ".png", "a tree of PNG files")


def list_oumvlp(root: Path) -> list[RawSequence]:
    """Sequences of OU-MVLP, as unpacked or as OpenGait rearranges it; sorted by identity.

    Raises:
        DataError: neither of the two.
    """
    names = [match for name in folders(root) if (match := VIEW_AND_SEQUENCE.fullmatch(name))]
    if not names:
        inner = meant(root, lambda f: any(map(VIEW_AND_SEQUENCE.fullmatch, folders(f))))
        if inner:
            raise DataError(f"{root}: no Silhouette_<view>-<seq> folders in it{inner}")
        return list_tree(root, ".png", REARRANGED)
    found = [
        RawSequence(f"{match[0]}/{label}", label, match[2], match[1])
        for match in names
        for label in folders(root / match[0])
    ]
    return sorted(found, key=lambda raw: (raw.label, raw.type, raw.view))


def list_pickles(root: Path) -> list[RawSequence]:
    """Sequences of an OpenGait pickle tree; names in GREW's manner tell the subset.

    Raises:
        DataError: not such a tree, or an identity without any sequence.
    """
    listing = list_tree(root, ".pkl", "a pickle tree")
    if named_as_grew([raw.label for raw in listing]):
        return [replace(raw, subset=subset_by_name(raw.label)) for raw in listing]
    return listing


LAYOUTS: dict[str, Layout] = {
    "grew": Layout(list_grew),
    "casia-b": Layout(list_png_tree, "casia-b"),
    "oumvlp": Layout(list_oumvlp, "oumvlp"),
    "gait3d": Layout(list_png_tree, needs_partition=True),
    "opengait-pkl": Layout(list_pickles),
}
"""Layouts that can be imported."""
