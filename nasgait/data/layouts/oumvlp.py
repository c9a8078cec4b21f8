"""OU-MVLP, as unpacked or as OpenGait rearranges it."""

import re
from pathlib import Path

from nasgait.core.errors import DataError
from nasgait.data.entries import IMAGES, shown
from nasgait.data.layouts.layout import Layout
from nasgait.data.partition import numbered
from nasgait.data.raw import RawSequence, Tree, another, list_tree
from nasgait.data.readers import read_and_normalise

VIEW_AND_SEQUENCE = re.compile(r"Silhouette_([^-]+)-(.+)")
"""Folders of raw OU-MVLP."""
REARRANGED = "OU-MVLP (Silhouette_<view>-<seq>/<id>/*.png), nor its rearranged tree"


def list_oumvlp(tree: Tree) -> list[RawSequence]:
    """Sequences of OU-MVLP, sorted by identity.

    Raises:
        DataError: neither of the two trees.
    """
    if not _is_unpacked(tree.root):
        if hint := another(tree.root, _is_unpacked):
            raise DataError(
                f"{shown(str(tree.root))}: no Silhouette_<view>-<seq> folders in it{hint}"
            )
        return list_tree(tree, IMAGES, REARRANGED)
    found = []
    for name in tree.folders():
        match = VIEW_AND_SEQUENCE.fullmatch(name)
        if not match:
            tree.leave_out(name, "not named as Silhouette_<view>-<seq>")
            continue
        labels = tree.folders(name)
        found += [RawSequence(f"{name}/{label}", label, match[2], match[1]) for label in labels]
        if not labels:
            tree.leave_out(name, "a folder without sequences")
    return sorted(found, key=lambda raw: (raw.label, raw.type, raw.view))


def _is_unpacked(root: Path) -> bool:
    return any(map(VIEW_AND_SEQUENCE.fullmatch, Tree(root).folders()))


LAYOUT = Layout(
    name="oumvlp",
    folders="Silhouette_<view>-<seq>/<id>/*.png, or <id>/<seq>/<view>/*.png",
    find=list_oumvlp,
    read=read_and_normalise,
    partitions=(numbered("oumvlp", range(1, 10306, 2), {*range(2, 10307, 2), 10307}, digits=5),),
)
