"""OU-MVLP, as unpacked or as OpenGait rearranges it."""

import re
from pathlib import Path

from nasgait.core.errors import DataError
from nasgait.data.layouts.layout import Layout
from nasgait.data.partition import numbered
from nasgait.data.raw import RawSequence, folders, list_tree, meant
from nasgait.data.readers import read_and_normalise

VIEW_AND_SEQUENCE = re.compile(r"Silhouette_([^-]+)-(.+)")
"""Folders of raw OU-MVLP."""
REARRANGED = "OU-MVLP (Silhouette_<view>-<seq>/<id>/*.png), nor its rearranged tree"


def list_oumvlp(root: Path) -> list[RawSequence]:
    """Sequences of OU-MVLP, sorted by identity.

    Raises:
        DataError: neither of the two trees.
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


LAYOUT = Layout(
    name="oumvlp",
    folders="Silhouette_<view>-<seq>/<id>/*.png, or <id>/<seq>/<view>/*.png",
    find=list_oumvlp,
    read=read_and_normalise,
    partitions=(numbered("oumvlp", range(1, 10306, 2), {*range(2, 10307, 2), 10307}, digits=5),),
)
