"""OpenGait's pickles: ``<id>/<type>/<view>/*.pkl``, of any dataset."""

import os
import re
from collections import Counter

from nasgait.core.errors import DataError
from nasgait.data.entries import PICKLES, look, shown
from nasgait.data.layouts.grew import named_as_grew, with_subsets
from nasgait.data.layouts.layout import Layout
from nasgait.data.pickles import read_silhouettes
from nasgait.data.raw import RawSequence, Tree, list_tree
from nasgait.data.readers import DEFAULTS, Options, Outcome, faults_of, fitted

OTHERS = re.compile(
    r"pose|ratio|rgb|par(?![a-z])|parsing|depth|smpl|heat|flow|pcd|lidar|joint|keypoint|skeleton",
    re.IGNORECASE,
)
"""Words in the names of pickles that hold something else than silhouettes."""
SMALLEST = 16
"""Rows of a frame; what has fewer is no picture (poses, ratios)."""


def list_pickles(tree: Tree) -> list[RawSequence]:
    """Sequences of a pickle tree; the subset follows from identities named as in GREW.

    Raises:
        DataError: not such a tree.
    """
    listing = list_tree(tree, PICKLES, "a pickle tree")
    return with_subsets(listing) if named_as_grew([raw.label for raw in listing]) else listing


def read_pickle_folder(
    root: str, size: tuple[int, int], raw: RawSequence, options: Options = DEFAULTS
) -> Outcome:
    """Frames of a folder of pickles, or a fault.

    ``options.modality`` and ``options.number`` choose the pickle; by default it is the only one,
    or the one that is named after the view or "sil".
    """
    folder = os.path.join(root, raw.folder)

    def read() -> Outcome:
        found = look(folder, PICKLES, spare=True)
        name = choose(found.files, raw.view, options)
        frames, notes = read_silhouettes(os.path.join(folder, name))
        if not len(frames):
            return "no frames in the pickle"
        height, width = frames.shape[1:]
        if height < SMALLEST:
            return f"{shown(name)}: {height} x {width} pixels are no silhouettes"
        return fitted(frames, size, found, {*notes}, [], options=options)

    return faults_of(read, folder)


def choose(names: list[str], view: str, options: Options) -> str:
    """The pickle of a folder that holds the silhouettes.

    Raises:
        DataError: none or several, or the wrong one alone; names what was found.
    """
    found = ", ".join(map(shown, names)) or "none"
    kinds = {name: modality_of(name, view) for name in names}
    if options.number is not None:
        if options.number >= len(names):
            raise DataError(f"there is no pickle number {options.number}, found: {found}")
        return names[options.number]
    if options.modality is not None:
        wanted = options.modality.lower()
        chosen = [name for name in names if kinds[name].lower() == wanted]
        if len(chosen) != 1:
            raise DataError(
                f"{len(chosen)} pickles of the modality {options.modality!r}, found: {found}"
            )
        return chosen[0]
    chosen = [name for name in names if not kinds[name] or "sil" in kinds[name].lower()]
    if not chosen and len(names) == 1 and not OTHERS.search(kinds[names[0]]):
        chosen = names
    if len(chosen) != 1:
        known = [kind for kind in kinds.values() if kind]
        cure = f"; choose by name: --modality {known[0]}" if known else ""
        raise DataError(f"one pickle of silhouettes is needed, found: {found}{cure}")
    return chosen[0]


def modality_of(name: str, view: str) -> str:
    """What the name of a pickle says beside numbers and the view: ``sils`` of ``000-sils.pkl``."""
    rest = os.path.splitext(name)[0]
    while rest:
        shorter = re.sub(rf"^({re.escape(view)}|\d+)(?![^\W_])[-_. ]*|^[-_. ]+", "", rest)
        if shorter == rest:
            break
        rest = shorter
    return rest


def positions(
    root: str, listing: list[RawSequence], number: int, flags: int = 0
) -> tuple[list[RawSequence], list[str]]:
    """The sequences whose folders hold the same pickles in the same order, and faults of the rest.

    A position means the same file in these folders only.

    Args:
        root: The dataset's folder.
        listing: Its sequences.
        number: The position that is asked for.
        flags: How many positions were given, if they were given as flags.

    Raises:
        DataError: as many folders hold other pickles, or fewer than asked for.
    """
    kinds: dict[str, tuple[str, ...]] = {}
    for raw in listing:
        try:
            names = look(os.path.join(root, raw.folder), PICKLES, spare=True).files
        except OSError:
            continue  # reading it will tell
        kinds[raw.folder] = tuple(modality_of(name, raw.view) for name in names)
    ranked = Counter(kind for kind in kinds.values() if kind).most_common(2)
    if not ranked:
        return listing, []
    agreed = ranked[0][0]
    cure = f"choose by name: --modality {agreed[min(number, len(agreed) - 1)] or 'sils'}"
    held = f"{len(agreed)} pickles ({', '.join(map(_named, agreed))})"
    if len(ranked) > 1 and ranked[1][1] == ranked[0][1]:
        other = ", ".join(map(_named, ranked[1][0]))
        raise DataError(
            f"{shown(root)}: positions choose only where all folders hold the same pickles; "
            f"as many hold {held} as others ({other}): {cure}"
        )
    if max(number + 1, flags) > len(agreed):
        asked = f"there is no pickle number {number}" if number >= len(agreed) else f"{flags} flags"
        raise DataError(f"{shown(root)}: {asked}, the folders hold {held}; {cure}")
    rest = [raw for raw in listing if kinds.get(raw.folder, agreed) not in (agreed, ())]
    faults = [
        f"{shown(raw.folder)}: holds {', '.join(map(_named, kinds[raw.folder]))}, other folders "
        f"{', '.join(map(_named, agreed))}, so a position does not tell the silhouettes; {cure}"
        for raw in rest
    ]
    left_out = {raw.folder for raw in rest}
    return [raw for raw in listing if raw.folder not in left_out], faults


def _named(kind: str) -> str:
    return shown(kind) or "(unnamed)"


LAYOUT = Layout(
    name="opengait-pkl",
    folders="<id>/<type>/<view>/*.pkl",
    find=list_pickles,
    read=read_pickle_folder,
    many_files=True,
)
