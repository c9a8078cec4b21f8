"""What raw datasets have in common: a sequence's names, and trees ``<id>/<type>/<view>``."""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nasgait.core.errors import DataError
from nasgait.data.entries import IMAGES, Entries, look, reason, shown, told
from nasgait.data.hints import meant, place_of_frames

UNDECIDED = ""
"""Subset of a sequence whose folders do not tell it: a partition does."""


@dataclass(frozen=True, slots=True)
class RawSequence:
    """A folder with the frames of one sequence, and its names in the store."""

    folder: str
    """Relative to the dataset's root, with ``/``."""
    label: str
    type: str
    view: str
    subset: str = UNDECIDED

    @property
    def key(self) -> str:
        """Its key in the store."""
        return f"{self.label}-{self.type}-{self.view}"

    @property
    def fault(self) -> str:
        """Why its names cannot be those of a sequence in a store; '' if they can."""
        for what, name in (("id", self.label), ("type", self.type), ("view", self.view)):
            if not name.isprintable():
                return f"its {what} cannot be written as one line of text; rename the folder"
            if name[:1] in "=@" or (name[:1] in "+-" and not name[1:2].isdigit()):
                return (
                    f"its {what} {name!r} would be a formula in a table; rename the folder so "
                    f"that it does not begin with {name[0]}"
                )
        return ""


class Tree:
    """The folders of a raw dataset; remembers what lies among them and is no part of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._faults: list[tuple[str, str]] = []
        self._beside: Counter[str] = Counter()

    def folders(self, path: str = "", label: str = "") -> list[str]:
        """Names of the folders in ``path`` (relative to the root), sorted; none if it is absent.

        ``label``: the identity that it belongs to, if that is known.  A folder that cannot be read
        and whatever is no folder are remembered.
        """
        return self._look(path, label).folders

    def leave_out(self, path: str, why: str, label: str = "") -> None:
        """Remember that a file or folder of the dataset is not imported."""
        self._faults.append((label, f"{shown(path)}: {why}"))

    def faults(self, labels: frozenset[str] | None = None) -> list[str]:
        """What is not imported, with the reasons; of these identities, or of all."""
        return [text for label, text in self._faults if labels is None or label in {"", *labels}]

    @property
    def notes(self) -> list[str]:
        """What is to be told once."""
        return [f"between the folders: {told(self._beside)}"] if self._beside else []

    def _look(self, path: str, label: str) -> Entries:
        place = os.path.join(self.root, path)
        try:
            found = look(place)
        except (FileNotFoundError, NotADirectoryError):
            return Entries()
        except OSError as error:
            self.leave_out(path or str(self.root), reason(error, place), label)
            return Entries()
        for text in found.left_out:
            self._faults.append((label, f"{shown(path)}/{text}" if path else text))
        self._beside += found.beside
        return found


def require_root(root: Path) -> None:
    """Raise DataError unless ``root`` is a folder with something in it."""
    if not os.path.isdir(root):
        what = "is a file" if os.path.exists(root) else "no such folder"
        raise DataError(f"{shown(str(root))}: {what}; --root takes the dataset's folder, unpacked")
    try:
        empty = not os.listdir(root)
    except OSError as error:
        raise DataError(f"{shown(str(root))}: {reason(error, str(root))}") from None
    if empty:
        raise DataError(f"{shown(str(root))}: the folder is empty")


def list_image_tree(tree: Tree) -> list[RawSequence]:
    """Sequences of ``<id>/<type>/<view>`` with images; raises as :func:`list_tree`."""
    return list_tree(tree, IMAGES, "a tree of images")


def list_tree(tree: Tree, suffixes: tuple[str, ...], what: str) -> list[RawSequence]:
    """Sequences of a tree ``<id>/<type>/<view>/``, in the order of their names.

    Args:
        tree: The folder that holds the identities.
        suffixes: Endings of the files of a sequence.
        what: What the tree is, for errors.

    Raises:
        DataError: no folder three levels down holds such a file.
    """
    found: list[RawSequence] = []
    for label in tree.folders():
        before = len(found)
        for kind in tree.folders(label, label):
            views = tree.folders(f"{label}/{kind}", label)
            found += [RawSequence(f"{label}/{kind}/{view}", label, kind, view) for view in views]
            if not views:
                tree.leave_out(f"{label}/{kind}", "a folder without sequences", label)
        if len(found) == before:
            tree.leave_out(label, "an identity with zero sequences", label)
    if not any(holds(tree.root / sequence.folder, suffixes) for sequence in found):
        raise DataError(
            f"{shown(str(tree.root))}: not {what}, which has <id>/<type>/<view>/*{suffixes[0]}"
            + place_of_frames(tree.root, suffixes, levels=3)
        )
    return found


def holds(folder: Path, suffixes: tuple[str, ...]) -> bool:
    """Whether a folder can be read and holds a file with one of these endings."""
    try:
        return any(name.lower().endswith(suffixes) for name in os.listdir(folder))
    except OSError:
        return False


def another(root: Path, fits: Callable[[Path], bool]) -> str:
    """``; did you mean ...?`` with the first folder in ``root`` that fits, or that around it."""
    inner = next((root / name for name in Tree(root).folders() if fits(root / name)), None)
    around = root.resolve().parent
    return meant(inner or (around if fits(around) else None))
