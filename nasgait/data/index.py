"""The store's files on disk: ``meta.json``, ``index.csv`` and how frames are packed.

A store (format ``nasgait-store/1``) is a directory::

    meta.json         format, frame size, bits per pixel, counts, size and sha256 of every file
    index.csv         one row per sequence: id,type,view,shard,offset,length,subset
    shard-00000.bin   frames one after another, row by row; ``offset`` and ``length`` count frames

With 8 bits per pixel a frame is ``height * width`` bytes.  With 1 bit it is
``ceil(height * width / 8)`` bytes, most significant bit first, 1 for a pixel of 128 or more.
"""

import csv
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from nasgait.core.errors import DataError
from nasgait.core.files import parse_json

FORMAT = "nasgait-store/1"
META, INDEX, WRITING = "meta.json", "index.csv", "writing.json"
COLUMNS = ("id", "type", "view", "shard", "offset", "length", "subset")
UNLABELLED = "probe"
"""Label of test sequences of unknown identity (GREW's probes)."""
SUBSETS = ("train", "search-val", "test", "distractor")
THRESHOLD = 128
"""Pixels at or above it are 1 in a store of 1 bit per pixel."""


@dataclass(frozen=True, slots=True)
class Sequence:
    """One walk of one person, seen by one camera."""

    label: str
    """Identity; ``id`` in the index."""
    type: str
    """Condition or number of the walk, e.g. ``nm-01`` or GREW's ``01`` and ``02``."""
    view: str
    """Camera or angle; for GREW's unlabelled probes the name of the video."""
    subset: str
    """One of :data:`SUBSETS`."""
    length: int
    """Frames."""
    shard: int
    """Number of the shard that holds them."""
    offset: int
    """Frames before the first one in that shard."""

    @property
    def labelled(self) -> bool:
        """Whether the identity is known."""
        return self.label != UNLABELLED

    @property
    def key(self) -> str:
        """``label-type-view``, unique in a store."""
        return f"{self.label}-{self.type}-{self.view}"

    def row(self) -> list[str]:
        """The sequence as a row of the index."""
        place = (self.shard, self.offset, self.length)
        return [self.label, self.type, self.view, *map(str, place), self.subset]


@dataclass(frozen=True)
class Geometry:
    """Size of the frames and how many bytes one takes."""

    height: int
    width: int
    bits: Literal[1, 8] = 8

    def __post_init__(self) -> None:
        if self.bits not in (1, 8):
            raise DataError(f"a store keeps 1 or 8 bits per pixel, not {self.bits}")
        if self.height < 1 or self.width < 1:
            raise DataError(f"frames of {self.height} x {self.width} pixels cannot be stored")

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame in a shard."""
        return -(-self.height * self.width * self.bits // 8)

    def pack(self, frames: np.ndarray) -> np.ndarray:
        """Frames uint8 [s, h, w] as stored: uint8 [s, frame_bytes]."""
        flat = np.ascontiguousarray(frames).reshape(len(frames), -1)
        return flat if self.bits == 8 else np.packbits(flat >= THRESHOLD, axis=1)

    def unpack(self, packed: np.ndarray) -> np.ndarray:
        """Inverse of :meth:`pack`; frames of 1 bit per pixel come back as 0 and 255."""
        if self.bits == 1:
            bits = np.unpackbits(packed, axis=1, count=self.height * self.width)
            packed = np.multiply(bits, 255, out=bits)
        return packed.reshape(len(packed), self.height, self.width)


@dataclass(frozen=True)
class Shard:
    """A file of frames as ``meta.json`` records it."""

    file: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Meta:
    """The part of ``meta.json`` that reading needs; ``raw`` is all of it."""

    geometry: Geometry
    shards: tuple[Shard, ...]
    index_sha256: str
    sequences: int
    raw: dict[str, Any]


def shard_name(number: int) -> str:
    """File name of a shard."""
    return f"shard-{number:05d}.bin"


def read_meta(path: Path) -> Meta:
    """Read a store's ``meta.json``.

    Raises:
        DataError: no store here, a partial one, one of another format version, or a
            ``meta.json`` that does not follow the format.
    """
    file = path / META
    if not file.is_file():
        if (path / WRITING).is_file():
            raise DataError(
                f"{path}: a partial store; run the command that makes it again to resume it"
            )
        what = "no meta.json in it, so it is not a store" if path.is_dir() else "no such store"
        raise DataError(f"{path}: {what}; make one with 'nasgait data import' or 'data synth'")
    try:
        raw = parse_json(file.read_text(encoding="utf-8"))
        version = raw["format"]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise DataError(f"{file}: not the meta.json of a store ({error!r})") from None
    if version != FORMAT:
        raise DataError(
            f"{file}: store format {version!r}; this version reads {FORMAT!r} only, "
            "so make the store again from its source"
        )
    try:
        height, width = map(int, raw["size"])
        return Meta(
            geometry=Geometry(height, width, raw["bits"]),
            shards=tuple(
                Shard(str(shard["file"]), int(shard["bytes"]), str(shard["sha256"]))
                for shard in raw["shards"]
            ),
            index_sha256=str(raw["index"]["sha256"]),
            sequences=int(raw["counts"]["sequences"]),
            raw=raw,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file}: an entry is missing or malformed ({error!r})") from None


def parse_row(row: list[str]) -> Sequence:
    """A row of the index as a :class:`Sequence`; ValueError says what is wrong with it."""
    if len(row) != len(COLUMNS):
        raise ValueError(f"{len(row)} columns, not {len(COLUMNS)}")
    label, kind, view, shard, offset, length, subset = row
    if subset not in SUBSETS:
        raise ValueError(f"subset {subset!r} is none of {', '.join(SUBSETS)}")
    if not label:
        raise ValueError("no id")
    return Sequence(label, kind, view, subset, int(length), int(shard), int(offset))


def parse_index(lines: Iterable[str], meta: Meta) -> tuple[list[Sequence], list[str]]:
    """The sequences of an index that are sound, and the faults of the others."""
    reader = csv.reader(lines, strict=True)
    sequences: list[Sequence] = []
    faults: list[str] = []
    keys: set[str] = set()
    try:
        if (header := next(reader, [])) != list(COLUMNS):
            return [], [f"{INDEX}: columns are {','.join(header)!r}, not {','.join(COLUMNS)!r}"]
        for row in reader:
            where = f"{INDEX}:{reader.line_num}"
            try:
                sequence = parse_row(row)
            except ValueError as error:
                faults.append(f"{where}: {error}")
                continue
            fault = _place_fault(sequence, meta)
            if fault is None and sequence.key in keys:
                fault = "the same id, type and view as an earlier row"
            keys.add(sequence.key)
            if fault is None:
                sequences.append(sequence)
            else:
                faults.append(f"{where}: sequence {sequence.key}: {fault}")
    except csv.Error as error:
        faults.append(f"{INDEX}:{reader.line_num}: {error}")
    return sequences, faults


def _place_fault(sequence: Sequence, meta: Meta) -> str | None:
    if sequence.length < 1:
        return f"{sequence.length} frames"
    if not 0 <= sequence.shard < len(meta.shards):
        return f"shard {sequence.shard} of {len(meta.shards)}"
    frames = meta.shards[sequence.shard].bytes // meta.geometry.frame_bytes
    last = sequence.offset + sequence.length
    if sequence.offset < 0 or last > frames:
        return f"frames {sequence.offset} to {last} of a shard of {frames}"
    return None


def read_index(path: Path, meta: Meta) -> tuple[list[Sequence], list[str]]:
    """Sequences and faults of a store's index, with its checksum and number of rows."""
    file = path / INDEX
    try:
        data = file.read_bytes()
        text = data.decode("utf-8")
    except FileNotFoundError:
        return [], [f"{INDEX}: missing"]
    except (OSError, UnicodeDecodeError) as error:
        return [], [f"{INDEX}: cannot be read ({error})"]
    sequences, faults = parse_index(text.splitlines(keepends=True), meta)
    if hashlib.sha256(data).hexdigest() != meta.index_sha256:
        faults.append(f"{INDEX}: its sha256 is not the one recorded in {META}")
    if len(sequences) != meta.sequences and not faults:
        faults.append(f"{INDEX}: {len(sequences)} sequences, {META} records {meta.sequences}")
    return sequences, faults


def shard_faults(path: Path, meta: Meta) -> list[str]:
    """Shards that are missing or differ from their recorded size."""
    faults = []
    for shard in meta.shards:
        file = path / shard.file
        if not file.is_file():
            faults.append(f"{shard.file}: missing")
        elif (size := file.stat().st_size) != shard.bytes:
            faults.append(f"{shard.file}: {size} bytes, {META} records {shard.bytes}")
    frames = sum(shard.bytes for shard in meta.shards) / meta.geometry.frame_bytes
    if not faults and frames != meta.raw["counts"]["frames"]:
        faults.append(
            f"{META}: {meta.raw['counts']['frames']} frames of {meta.geometry.frame_bytes} bytes "
            "are not what the shards hold; its size or bits were changed"
        )
    return faults


def require_free(path: Path, header: dict[str, Any]) -> None:
    """Raise DataError unless a store described by ``header`` may be written at ``path``."""
    if not path.exists():
        return
    if (path / META).exists():
        raise DataError(f"{path}: there is a complete store already; name another directory")
    if not (path / WRITING).exists():
        # A writer that was killed at its very first file left the half of it.
        if not path.is_dir() or any(
            not entry.name.startswith(f".{WRITING}.") for entry in path.iterdir()
        ):
            raise DataError(f"{path}: not empty and not a store; name another directory")
        return
    try:
        found = parse_json((path / WRITING).read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path / WRITING}: damaged ({error}); remove {path}") from None
    if found != header:
        changed = [key for key in header | found if header.get(key) != found.get(key)]
        raise DataError(
            f"{path}: a partial store with another {', '.join(changed)}; "
            "name another directory, or remove this one to start again"
        )
