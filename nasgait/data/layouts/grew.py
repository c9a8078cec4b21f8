"""GREW: the raw tree, and the tree that OpenGait's rearrangement makes of it.

Sequences are named as in that rearrangement, so that importing either, or the pickles made of it,
gives the same:

=================================  ====================  ====  ======  ==========
raw folder                         id                    type  view    subset
=================================  ====================  ====  ======  ==========
``train/<id>/<seq>``               ``<id>train``         00    seq     train
``test/gallery/<id>/<seq>``        id                    01,02 seq     test
``test/probe/<seq>``               ``probe``             03    seq     test
``distractor/[<id>/]<seq>``        ``distractor_<id>``   04    seq     distractor
=================================  ====================  ====  ======  ==========

The two sequences of a gallery identity are numbered in the order of their names.  (OpenGait
numbers them as the file system lists them; a rearranged tree keeps the numbers it has.)
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from nasgait.core.errors import DataError
from nasgait.data.entries import IMAGES, shown
from nasgait.data.hints import place_of_frames
from nasgait.data.index import UNLABELLED
from nasgait.data.layouts.layout import Layout
from nasgait.data.raw import RawSequence, Tree, another, list_tree
from nasgait.data.readers import read_frames


def list_grew(tree: Tree) -> list[RawSequence]:
    """Sequences of a GREW tree, raw or rearranged.

    Raises:
        DataError: not such a tree.
    """
    if _is_raw(tree.root):
        for part, known in (("", {"train", "test", "distractor"}), ("test", {"gallery", "probe"})):
            for name in tree.folders(part):
                if name not in known:
                    tree.leave_out(f"{part}/{name}" if part else name, "no part of a GREW tree")
        return [*_train(tree), *_gallery(tree), *_probes(tree), *_distractors(tree)]
    if _is_rearranged(tree.root):
        return with_subsets(list_tree(tree, IMAGES, "a rearranged GREW tree"))
    hint = another(tree.root, lambda place: _is_raw(place) or _is_rearranged(place))
    raise DataError(
        f"{shown(str(tree.root))}: not a GREW tree, which has train/<id>/<seq>/*.png, "
        "test/gallery/<id>/<seq>/*.png or test/probe/<seq>/*.png; rearranged, "
        "<id>train/00/<seq>/*.png" + (hint or place_of_frames(tree.root, IMAGES, levels=3))
    )


def named_as_grew(labels: list[str]) -> bool:
    """Whether identities are named as in GREW's rearrangement."""
    return any(label.endswith("train") and label != "train" for label in labels)


def with_subsets(listing: list[RawSequence]) -> list[RawSequence]:
    """The sequences with the subsets that their identities' names in GREW's rearrangement say."""

    def subset(label: str) -> str:
        if label.endswith("train"):
            return "train"
        return "distractor" if label.startswith("distractor_") else "test"

    return [replace(raw, subset=subset(raw.label)) for raw in listing]


def _is_raw(root: Path) -> bool:
    return any(os.path.isdir(root / part) for part in ("train", "test/gallery", "test/probe"))


def _is_rearranged(root: Path) -> bool:
    labels = Tree(root).folders()
    return UNLABELLED in labels or named_as_grew(labels)


def _train(tree: Tree) -> Iterator[RawSequence]:
    for name in tree.folders("train"):
        label = f"{name}train"
        for seq in _sequences(tree, f"train/{name}", label):
            yield RawSequence(f"train/{name}/{seq}", label, "00", seq, "train")


def _gallery(tree: Tree) -> Iterator[RawSequence]:
    for label in tree.folders("test/gallery"):
        place = f"test/gallery/{label}"
        seqs = _sequences(tree, place, label)
        if len(seqs) > 2:
            tree.leave_out(
                place,
                f"{len(seqs)} sequences, a gallery identity of GREW has at most two (types 01 "
                "and 02); move the others away",
                label,
            )
            continue
        for number, seq in enumerate(seqs, 1):
            yield RawSequence(f"{place}/{seq}", label, f"{number:02d}", seq, "test")


def _probes(tree: Tree) -> Iterator[RawSequence]:
    for seq in tree.folders("test/probe", UNLABELLED):
        yield RawSequence(f"test/probe/{seq}", UNLABELLED, "03", seq, "test")


def _distractors(tree: Tree) -> Iterator[RawSequence]:
    for name in tree.folders("distractor"):
        label = f"distractor_{name}"
        inner = Tree(tree.root).folders(f"distractor/{name}")
        for folder in [f"{name}/{seq}" for seq in inner] or [name]:
            view = folder.rpartition("/")[2]
            yield RawSequence(f"distractor/{folder}", label, "04", view, "distractor")
        if inner:
            tree.folders(f"distractor/{name}", label)  # tells what else lies there


def _sequences(tree: Tree, place: str, label: str) -> list[str]:
    seqs = tree.folders(place, label)
    if not seqs:
        tree.leave_out(place, "an identity with zero sequences", label)
    return seqs


LAYOUT = Layout(
    name="grew",
    folders="train, test and distractor as unpacked, or <id>/<type>/<seq>/*.png",
    find=list_grew,
    read=read_frames,
)
