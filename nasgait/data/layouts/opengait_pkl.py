"""OpenGait's pickles: ``<id>/<type>/<view>/*.pkl``, of any dataset."""

from pathlib import Path

import numpy as np

from nasgait.core.errors import DataError
from nasgait.data.layouts.grew import named_as_grew, with_subsets
from nasgait.data.layouts.layout import Layout
from nasgait.data.pickles import read_silhouettes
from nasgait.data.raw import RawSequence, list_tree
from nasgait.data.readers import Reading, fitted


def list_pickles(root: Path) -> list[RawSequence]:
    """Sequences of a pickle tree; the subset follows from identities named as in GREW.

    Raises:
        DataError: not such a tree, or an identity without any sequence.
    """
    listing = list_tree(root, ".pkl", "a pickle tree")
    return with_subsets(listing) if named_as_grew([raw.label for raw in listing]) else listing


def read_pickle_folder(
    root: str, size: tuple[int, int], raw: RawSequence, number: int | None = None
) -> Reading:
    """Frames of a folder of pickles as uint8 [s, h, w] and the number dropped, or a fault.

    ``number``: which of the folder's pickles holds the silhouettes, from 0 in the order of their
    names; by default the only one, or the one that is named after the view or "sil".
    """
    folder = Path(root, raw.folder)
    try:
        files = sorted(folder.glob("*.pkl"))
        found = ", ".join(file.name for file in files) or "none"
        if number is not None:
            if number >= len(files):
                return f"there is no pickle number {number}, found: {found}"
            chosen = [files[number]]
        else:
            named = [f for f in files if f.stem == raw.view or "sil" in f.stem.lower()]
            chosen = files if len(files) == 1 else named
        if len(chosen) != 1:
            return f"one pickle of silhouettes is needed, found: {found}"
        frames = read_silhouettes(chosen[0])
    except DataError as error:
        return str(error)
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    height, width = frames.shape[1:]
    if height == size[0] and width < size[1] and (size[1] - width) % 2 == 0:
        # Normalised already, with the empty sides cut off.
        side = (size[1] - width) // 2
        frames = np.pad(frames, ((0, 0), (0, 0), (side, side)))
    return fitted(list(frames), size, "no frames in the pickle")


LAYOUT = Layout(
    name="opengait-pkl",
    folders="<id>/<type>/<view>/*.pkl",
    find=list_pickles,
    read=read_pickle_folder,
    many_files=True,
)
