"""What raw datasets have in common: a sequence's names, and trees ``<id>/<type>/<view>``."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nasgait.core.errors import DataError

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


def list_png_tree(root: Path) -> list[RawSequence]:
    """Sequences of ``<id>/<type>/<view>/*.png``; raises as :func:`list_tree`."""
    return list_tree(root, ".png", "a tree of PNG files")


def list_tree(root: Path, suffix: str, what: str) -> list[RawSequence]:
    """Sequences of a tree ``<id>/<type>/<view>/*suffix``, in the order of their names.

    Args:
        root: The folder that holds the identities.
        suffix: ``.png`` or ``.pkl``.
        what: What the tree is, for errors.

    Raises:
        DataError: no folder three levels down holds such a file, or an identity without any
            sequence.
    """
    found = [
        RawSequence(f"{label}/{kind}/{view}", label, kind, view)
        for label in folders(root)
        for kind in folders(root / label)
        for view in folders(root / label / kind)
    ]
    if not any(holds(root / sequence.folder, suffix) for sequence in found):
        raise DataError(
            f"{root}: not {what}, which has <id>/<type>/<view>/*{suffix}"
            + meant(root, lambda inner: _is_tree(inner, suffix))
        )
    labels = {sequence.label for sequence in found}
    if empty := [name for name in folders(root) if name not in labels]:
        raise DataError(
            f"{root}/{empty[0]}: an identity with zero sequences; "
            "make or unpack the dataset again, or remove the folder"
        )
    return found


def holds(folder: Path, suffix: str) -> bool:
    """Whether a folder holds a file of this suffix."""
    return any(name.lower().endswith(suffix) for name in os.listdir(folder))


def meant(root: Path, fits: Callable[[Path], bool]) -> str:
    """``; did you mean ...?`` with the first folder in ``root`` that fits, or ''."""
    inner = next((name for name in folders(root) if fits(root / name)), None)
    return f"; did you mean {root / inner}?" if inner else ""


def _is_tree(root: Path, suffix: str) -> bool:
    """Whether the first folders below ``root`` look like a tree (a guess, for a hint)."""
    place = root
    for _ in range(3):
        names = folders(place)
        if not names:
            return False
        place = place / names[0]
    return holds(place, suffix)
