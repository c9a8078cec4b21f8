"""Sequences of a store whose pixels are no silhouettes: 0 and 1, all black, inverted."""

import numpy as np

from nasgait.core.errors import DataError
from nasgait.data.append import appended
from nasgait.data.masks import Meaning, is_inverted, value_table
from nasgait.data.store import GaitStore

CURE = "import the dataset again"


def mask_faults(store: GaitStore) -> list[str]:
    """Every kind of sequence that is no silhouettes, a line each, with the number of sequences.

    What was said when they were imported (``--threshold``, ``--invert``) is not doubted.
    """
    found: dict[str, list[str]] = {}
    for i, (sequence, said) in enumerate(zip(store.sequences, _said(store), strict=True)):
        frames = store.read(i)
        if not frames.any():
            fault = "all black"
        else:
            try:
                fault = _fault(frames, said)
            except DataError as error:
                fault = str(error).partition(":")[0]
        if fault:
            found.setdefault(fault, []).append(sequence.key)
    return [
        f"{len(keys)} sequences, e.g. {keys[0]}: {fault}; {CURE}" for fault, keys in found.items()
    ]


def _said(store: GaitStore) -> list[Meaning]:
    """What was said of each sequence: a store that has grown has several sources."""
    parts = appended(store.meta)
    counts = [part["sequences"] for part in parts]
    said = []
    for part, count in zip([store.meta, *parts], [len(store) - sum(counts), *counts], strict=True):
        source = part.get("source", {})
        said += [Meaning(source.get("threshold"), source.get("invert"))] * count
    return said


def _fault(frames: np.ndarray, said: Meaning) -> str:
    table, notes = (None, []) if said.threshold is not None else value_table([frames], said)
    if notes:
        return f"{notes[0].removesuffix(' were read as masks')} instead of 0 and 255"
    # What was told to be inverted was stored upright.
    meaning = Meaning(invert=False) if said.invert is not None else Meaning()
    return "inverted, the background is white" if is_inverted([frames], table, meaning) else ""
