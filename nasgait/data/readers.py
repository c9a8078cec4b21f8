"""Reading the frames of one raw sequence, or saying why they cannot be read.

Readers run in worker processes.  They return a fault instead of raising it: it costs the one
sequence that it is found in.
"""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from typing import Any

import cv2
import numpy as np

from nasgait.core.errors import ConfigError, DataError
from nasgait.data.entries import IMAGES, Entries, look, read_bounded, reason, shown, told
from nasgait.data.images import decode
from nasgait.data.masks import Meaning, eight_bits, silhouettes
from nasgait.data.normalise import fit_frames
from nasgait.data.raw import RawSequence

MAX_BYTES = 2**26
"""A file of one frame that is larger is not read."""
ZEROS = str.maketrans("123456789", "000000000")
MAX_SEQUENCE = 2**29
"""Pixels that the frames of a sequence may have together; a worker holds so many bytes."""


@dataclass(frozen=True)
class Options:
    """How the files of a dataset are read, as ``nasgait data import`` takes it."""

    number: int | None = None
    """Which of several pickles, counted from 0 in the order of their names."""
    modality: str | None = None
    """Which of several files by name: ``sils`` takes ``000-sils.pkl``."""
    threshold: int | None = None
    """Pixels at or above it, from 1 to 255, are the person."""
    invert: bool | None = None
    """Whether the person is darker than the background; found out by default."""
    alpha: bool | None = None
    """Whether the alpha channel is the mask; found out by default."""
    skip_frames: bool = False
    """A frame that cannot be read is left out, instead of its sequence."""

    def __post_init__(self) -> None:
        """Raise ConfigError for a threshold outside 1..255."""
        if self.threshold is not None and not 1 <= self.threshold <= 255:
            raise ConfigError(
                f"threshold {self.threshold}: allowed are 1 to 255; pixels at or above it are the "
                "person"
            )

    def chosen(self) -> dict[str, Any]:
        """Those that differ from the defaults."""
        defaults = {field.name: field.default for field in fields(self)}
        return {key: value for key, value in asdict(self).items() if value is not defaults[key]}


@dataclass(frozen=True)
class Reading:
    """The frames of a sequence, and what is to be said about them."""

    frames: np.ndarray
    """uint8 [s, h, w] as the store keeps them."""
    dropped: int = 0
    """Frames that were dropped because they show nothing."""
    notes: tuple[str, ...] = ()
    """What was decided about the files; told once for all sequences together."""
    left_out: tuple[str, ...] = ()
    """Files and folders beside the frames that were not read, with the reasons."""


Outcome = Reading | str
"""What a reader gives: a reading, or the fault that costs the sequence."""
DEFAULTS = Options()


def read_frames(
    root: str,
    size: tuple[int, int],
    raw: RawSequence,
    keep: bool = True,
    options: Options = DEFAULTS,
) -> Outcome:
    """Frames of a folder of images, or a fault.

    ``keep``: frames of the store's size are normalised already, see
    :func:`nasgait.data.normalise.fit_frames`.
    """
    folder = os.path.join(root, raw.folder)

    def read() -> Outcome:
        found = look(folder, IMAGES, spare=True)
        names = _in_order(found.files, options.modality)
        if not names:
            return _no_frames(found)
        frames, coloured, notes, unreadable = _read_images(folder, names, options)
        return fitted(frames, size, found, notes, unreadable, keep, coloured, options)

    return faults_of(read, folder)


read_and_normalise = partial(read_frames, keep=False)
"""The reader of layouts that are published as whole pictures."""


def faults_of(read: Callable[[], Outcome], folder: str) -> Outcome:
    """What ``read`` gives; what it raises is the fault of the sequence in ``folder``."""
    try:
        return read()
    except DataError as error:
        return str(error)
    except OSError as error:
        return reason(error, folder)
    except (MemoryError, cv2.error):
        return "reading it takes more memory than there is; make it smaller, or take fewer workers"


def fitted(
    frames: Sequence[np.ndarray] | np.ndarray,
    size: tuple[int, int],
    found: Entries,
    notes: set[str],
    left_out: list[str],
    keep: bool = True,
    coloured: bool = False,
    options: Options = DEFAULTS,
) -> Outcome:
    """The frames as the store keeps them; or the fault, if none shows anything.

    Args:
        frames: As decoded, at least one: uint8 [h, w] each; or, of a pickle, uint8 [s, h, w],
            whose empty sides may have been cut off.
        size: Height and width of the store's frames.
        found: What lies in the folder.
        notes: What was decided about the files.
        left_out: Frames that are left out.
        keep: As in :func:`read_frames`.
        coloured: Whether the values are the brightness of colours.
        options: How the pixels are read.

    Raises:
        DataError: the pixels do not tell the person from the background.
    """
    meaning = Meaning(options.threshold, options.invert)
    masks, decided = silhouettes(frames, meaning, coloured)
    if isinstance(frames, np.ndarray):
        masks = _with_sides(np.asarray(masks), size)
    kept, dropped = fit_frames(masks, size, keep)
    if not len(kept):
        return f"none of its {len(masks)} frames shows anything"
    if found.beside:
        decided.append(f"beside frames: {told(found.beside)}")
    told_once = tuple(sorted({*notes, *decided}))
    return Reading(kept, dropped, told_once, (*left_out, *found.left_out))


def _with_sides(frames: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Frames [s, h, w] of the full height, whose empty sides were cut off, with their sides."""
    side, odd = divmod(size[1] - frames.shape[2], 2)
    if frames.shape[1] != size[0] or side <= 0 or odd:
        return frames
    whole = np.zeros((len(frames), *size), np.uint8)
    whole[:, :, side:-side] = frames
    return whole


def _read_images(
    folder: str, names: list[str], options: Options
) -> tuple[list[np.ndarray], bool, set[str], list[str]]:
    """Grey frames, whether some have colours, what was decided, and frames left out."""
    frames: list[np.ndarray] = []
    coloured, pixels, alpha = False, 0, options.alpha
    notes: set[str] = set()
    unreadable: list[str] = []
    for name in names:
        try:
            frame, colours, note = decode(read_bounded(f"{folder}/{name}", MAX_BYTES), alpha)
            if frame.dtype != np.uint8:
                frame, decided = eight_bits(frame)
                notes.update(decided)
        except DataError as error:
            fault = f"{shown(name)} {error}"
            if not options.skip_frames:
                raise DataError(fault) from None
            unreadable.append(f"frame {fault}")
            continue
        pixels += frame.size
        if pixels > MAX_SEQUENCE:
            raise DataError(
                f"its {len(names)} frames have more than {MAX_SEQUENCE} pixels together; scale "
                "the pictures down or divide the sequence"
            )
        frames.append(frame)
        coloured = coloured or colours
        if note:
            notes.add(note)
    if not frames:
        raise DataError(f"none of its {len(names)} frames can be read; {unreadable[0]}")
    return frames, coloured, notes, unreadable


def _in_order(names: list[str], modality: str | None) -> list[str]:
    """The names of the frames, 2.png before 10.png.

    Raises:
        DataError: two files for the same frame, and no ``modality`` to choose one.
    """
    if modality is None and len({name.translate(ZEROS) for name in names}) <= 1:
        return names  # sorted already, and all numbers have the same length
    parts = {name: re.split(r"(\d+)", name) for name in names}
    if modality is not None:
        word = modality.lower()
        parts = {
            name: p for name, p in parts.items() if word in re.split(r"[-_. \d]+", name.lower())
        }
        if names and not parts:
            raise DataError(
                f"no frame is named after the modality {modality!r}, e.g. {shown(names[0])}"
            )
    if len({tuple(part[::2]) for part in parts.values()}) > 1:
        _refuse_doubles(parts)
    return sorted(
        parts, key=lambda name: [int(p) if i % 2 else p for i, p in enumerate(parts[name])]
    )


def _refuse_doubles(parts: dict[str, list[str]]) -> None:
    """Raise DataError for files of different kinds with the same number."""
    seen: dict[tuple[str, ...], str] = {}
    for name, part in parts.items():
        frame = tuple(part[1::2]) or (os.path.splitext(name)[0],)
        if frame in seen:
            first, second = seen[frame], name
            words = [set(re.split(r"[-_. \d]+", each.lower())) for each in (first, second)]
            one, other = (sorted(words[i] - words[1 - i]) for i in (0, 1))
            cure = " or ".join(f"--modality {word}" for word in [*one[:1], *other[:1]])
            raise DataError(
                f"{shown(first)} and {shown(second)} are the same frame twice: choose by "
                + (cure or "removing one of them")
            )
        seen[frame] = name


def _no_frames(found: Entries) -> str:
    """The fault of a folder without frames."""
    inner = [name.split(":")[0].split(" and ")[0] for name in found.left_out if "a folder" in name]
    if inner:
        return f"no images in the folder; it holds folders, e.g. {inner[0]}, one level too deep"
    if found.left_out:
        return f"no images in the folder; {found.left_out[0]}"
    return "no images in the folder"
