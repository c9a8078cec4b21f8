"""Which folders of a raw dataset hold a sequence, and what each is called in the store.

``grew``, named as in the published rearrangement of the raw tree, so that importing the
rearranged pickles gives the same store:

=================================  ====================  ====  ======  ==========
folder                             id                    type  view    subset
=================================  ====================  ====  ======  ==========
``train/<id>/<seq>``               ``<id>train``         00    seq     train
``test/gallery/<id>/<seq>``        id                    01,02 seq     test
``test/probe/<seq>``               ``probe``             03    seq     test
``distractor/[<id>/]<seq>``        ``distractor_<id>``   04    seq     distractor
=================================  ====================  ====  ======  ==========

The two sequences of a gallery identity are numbered in the order of their names.

``opengait-pkl``: ``<id>/<type>/<view>/*.pkl``.  A partition file (OpenGait's JSON with
``TRAIN_SET`` and ``TEST_SET``) decides the subsets; without one, ids in the manner of GREW
(``...train``, ``distractor_...``) do, and failing these the first half of the identities, in
sorted order, is for training.
"""

import json
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from nasgait.data.index import UNLABELLED
from nasgait.errors import DataError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RawSequence:
    """A folder with the frames of one sequence, and its names in the store."""

    folder: str
    """Relative to the dataset's root, with ``/``."""
    label: str
    type: str
    view: str
    subset: str

    @property
    def key(self) -> str:
        """Its key in the store."""
        return f"{self.label}-{self.type}-{self.view}"


def folders(path: Path) -> list[str]:
    """Names of the folders in ``path``, sorted, hidden ones left out; none if it is absent."""
    if not path.is_dir():
        return []
    with os.scandir(path) as entries:
        return sorted(e.name for e in entries if not e.name.startswith(".") and e.is_dir())


def require_root(root: Path) -> None:
    """Raise DataError unless ``root`` is a folder with something in it."""
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; --root takes the dataset's folder")
    if not any(root.iterdir()):
        raise DataError(f"{root}: the folder is empty")


def list_grew(root: Path) -> list[RawSequence]:
    """Sequences of a raw GREW tree.

    Raises:
        DataError: not such a tree, or an identity without any sequence.
    """
    if not any((root / part).is_dir() for part in ("train", "test/gallery", "test/probe")):
        inner = [name for name in folders(root) if (root / name / "train").is_dir()]
        hint = f"; did you mean {root / inner[0]}?" if inner else ""
        raise DataError(
            f"{root}: not a GREW tree, which has train/<id>/<seq>/*.png, "
            f"test/gallery/<id>/<seq>/*.png or test/probe/<seq>/*.png{hint}"
        )
    found = [
        RawSequence(f"train/{label}/{seq}", f"{label}train", "00", seq, "train")
        for label, seqs in _identities(root, "train")
        for seq in seqs
    ]
    for label, seqs in _identities(root, "test/gallery"):
        if len(seqs) > 2:
            raise DataError(
                f"{root}/test/gallery/{label}: {len(seqs)} sequences, a gallery identity of GREW "
                "has at most two (types 01 and 02)"
            )
        found += [
            RawSequence(f"test/gallery/{label}/{seq}", label, f"{number:02d}", seq, "test")
            for number, seq in enumerate(seqs, 1)
        ]
    found += [
        RawSequence(f"test/probe/{seq}", UNLABELLED, "03", seq, "test")
        for seq in folders(root / "test" / "probe")
    ]
    return found + _distractors(root)


def _identities(root: Path, part: str) -> Iterator[tuple[str, list[str]]]:
    for label in folders(root / part):
        seqs = folders(root / part / label)
        if not seqs:
            raise DataError(
                f"{root}/{part}/{label}: an identity with zero sequences; "
                "unpack the dataset again or remove the folder"
            )
        yield label, seqs


def _distractors(root: Path) -> list[RawSequence]:
    found = []
    for name in folders(root / "distractor"):
        inner = folders(root / "distractor" / name)
        for folder in [f"{name}/{seq}" for seq in inner] or [name]:
            view = folder.rpartition("/")[2]
            found.append(
                RawSequence(f"distractor/{folder}", f"distractor_{name}", "04", view, "distractor")
            )
    return found


def list_pickles(root: Path, partition: Path | None = None) -> list[RawSequence]:
    """Sequences of an OpenGait pickle tree.

    Raises:
        DataError: not such a tree, an identity without any sequence, or a partition file that
            cannot be read or names none of the identities.
    """
    places = [
        (label, kind, view)
        for label in folders(root)
        for kind in folders(root / label)
        for view in folders(root / label / kind)
    ]
    if not any(_has_pickle(root.joinpath(*place)) for place in places):
        raise DataError(f"{root}: not a pickle tree, which has <id>/<type>/<view>/*.pkl")
    labels = sorted({label for label, _, _ in places})
    if empty := sorted(set(folders(root)) - set(labels)):
        raise DataError(
            f"{root}/{empty[0]}: an identity with zero sequences; "
            "make the pickles again or remove the folder"
        )
    subset = _partition(partition, labels) if partition else _by_name(labels)
    return [
        RawSequence("/".join(place), *place, subset[place[0]])
        for place in places
        if place[0] in subset
    ]


def _has_pickle(folder: Path) -> bool:
    return any(name.endswith(".pkl") for name in os.listdir(folder))


def _by_name(labels: list[str]) -> dict[str, str]:
    if any(label.endswith("train") for label in labels):
        return {
            label: "train"
            if label.endswith("train")
            else "distractor"
            if label.startswith("distractor_")
            else "test"
            for label in labels
        }
    half = (len(labels) + 1) // 2
    logger.warning(
        "nothing says which identities train (no --partition, no names in GREW's manner): the "
        "first %d of %d in sorted order do",
        half,
        len(labels),
    )
    return {label: "train" if i < half else "test" for i, label in enumerate(labels)}


def _partition(path: Path, labels: list[str]) -> dict[str, str]:
    try:
        sets = json.loads(path.read_text(encoding="utf-8"))
        named = [(str(label), "train") for label in sets["TRAIN_SET"]]
        named += [(str(label), "test") for label in sets["TEST_SET"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: not a partition file, a JSON object with the lists TRAIN_SET and "
            f"TEST_SET ({error})"
        ) from None
    both = {label for label, subset in named if subset == "train"} & {
        label for label, subset in named if subset == "test"
    }
    if both:
        raise DataError(f"{path}: identity {min(both)} is in TRAIN_SET and in TEST_SET")
    subsets = {label: subset for label, subset in named if label in set(labels)}
    if not subsets:
        raise DataError(f"{path}: names none of the identities, e.g. {labels[0]}")
    return subsets


LAYOUTS: dict[str, Callable[[Path], list[RawSequence]]] = {
    "grew": list_grew,
    "opengait-pkl": list_pickles,
}
"""Layouts that can be imported."""
