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

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from nasgait.core.errors import DataError
from nasgait.data.index import UNLABELLED
from nasgait.data.layouts.layout import Layout
from nasgait.data.raw import RawSequence, folders, list_tree, meant
from nasgait.data.readers import read_png_folder


def list_grew(root: Path) -> list[RawSequence]:
    """Sequences of a GREW tree, raw or rearranged.

    Raises:
        DataError: not such a tree, or an identity without any sequence.
    """
    if _is_raw(root):
        return [*_train(root), *_gallery(root), *_probes(root), *_distractors(root)]
    if _is_rearranged(root):
        return with_subsets(list_tree(root, ".png", "a rearranged GREW tree"))
    hint = meant(root, lambda inner: _is_raw(inner) or _is_rearranged(inner))
    raise DataError(
        f"{root}: not a GREW tree, which has train/<id>/<seq>/*.png, "
        "test/gallery/<id>/<seq>/*.png or test/probe/<seq>/*.png; rearranged, "
        f"<id>train/00/<seq>/*.png{hint}"
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
    return any((root / part).is_dir() for part in ("train", "test/gallery", "test/probe"))


def _is_rearranged(root: Path) -> bool:
    labels = folders(root)
    return UNLABELLED in labels or named_as_grew(labels)


def _train(root: Path) -> Iterator[RawSequence]:
    for label, seqs in _identities(root, "train"):
        for seq in seqs:
            yield RawSequence(f"train/{label}/{seq}", f"{label}train", "00", seq, "train")


def _gallery(root: Path) -> Iterator[RawSequence]:
    for label, seqs in _identities(root, "test/gallery"):
        if len(seqs) > 2:
            raise DataError(
                f"{root}/test/gallery/{label}: {len(seqs)} sequences, a gallery identity of GREW "
                "has at most two (types 01 and 02)"
            )
        for number, seq in enumerate(seqs, 1):
            folder = f"test/gallery/{label}/{seq}"
            yield RawSequence(folder, label, f"{number:02d}", seq, "test")


def _probes(root: Path) -> Iterator[RawSequence]:
    for seq in folders(root / "test" / "probe"):
        yield RawSequence(f"test/probe/{seq}", UNLABELLED, "03", seq, "test")


def _distractors(root: Path) -> Iterator[RawSequence]:
    for name in folders(root / "distractor"):
        inner = folders(root / "distractor" / name)
        for folder in [f"{name}/{seq}" for seq in inner] or [name]:
            view = folder.rpartition("/")[2]
            label = f"distractor_{name}"
            yield RawSequence(f"distractor/{folder}", label, "04", view, "distractor")


def _identities(root: Path, part: str) -> Iterator[tuple[str, list[str]]]:
    for label in folders(root / part):
        seqs = folders(root / part / label)
        if not seqs:
            raise DataError(
                f"{root}/{part}/{label}: an identity with zero sequences; "
                "unpack the dataset again or remove the folder"
            )
        yield label, seqs


LAYOUT = Layout(
    name="grew",
    folders="train, test and distractor as unpacked, or <id>/<type>/<seq>/*.png",
    find=list_grew,
    read=read_png_folder,
)
