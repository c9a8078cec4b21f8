"""Where the frames of a dataset lie that has another layout than that asked for."""

import os
from pathlib import Path

from nasgait.data.entries import ARCHIVES, IMAGES, PICKLES, look, shown

DEPTH = 8
"""Levels of folders that are searched for frames."""
WIDTH = 4
"""Folders of each that are looked into."""


def meant(place: Path | None) -> str:
    """``; did you mean --root ...?``, or '' without a place."""
    return f"; did you mean --root {shown(str(place))}?" if place else ""


def place_of_frames(root: Path, suffixes: tuple[str, ...], levels: int) -> str:
    """For a message: what lies below ``root``, which lacks frames ``levels`` folders down.

    Tells archives that are not unpacked, and frames that lie deeper or less deep, with the folder
    that is the dataset's root then.
    """
    example = _first_file(root, suffixes)
    if example is None:
        return _archives(root) or _other_kind(root, suffixes)
    depth = len(example.parts) - 1
    if depth == levels:
        return f"; it holds {shown(str(example))}: try --layout casia-b"
    text = f"; files lie {depth} folders down ({shown(str(example))}), not {levels}"
    if depth > levels:
        return text + meant(root.joinpath(*example.parts[: depth - levels]))
    around = root.resolve()
    for _ in range(levels - depth):
        around = around.parent
    return text + meant(around)


def _first_file(root: Path, suffixes: tuple[str, ...]) -> Path | None:
    """The first file with such an ending, relative to ``root``; a shallow one before a deep one."""
    level = [""]
    for _ in range(DEPTH):
        below = []
        for path in level:
            try:
                found = look(os.path.join(root, path), suffixes)
            except OSError:
                continue
            if found.files:
                return Path(path, found.files[0])
            below += [os.path.join(path, name) for name in found.folders[:WIDTH]]
        level = below[: WIDTH**4]
    return None


def _other_kind(root: Path, suffixes: tuple[str, ...]) -> str:
    """Pickles where images are looked for, and the other way round."""
    other, layouts = (
        (PICKLES, "opengait-pkl") if suffixes == IMAGES else (IMAGES, "casia-b or grew")
    )
    example = _first_file(root, other)
    return f"; it holds {shown(str(example))}: try --layout {layouts}" if example else ""


def _archives(root: Path) -> str:
    found = [name for name in sorted(os.listdir(root)) if name.lower().endswith(ARCHIVES)]
    if not found:
        return ""
    return f"; it holds {len(found)} archives, e.g. {shown(found[0])}: unpack them first"
