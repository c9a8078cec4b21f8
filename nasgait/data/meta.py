"""``meta.json``, which makes a directory a store: its format, its frames, its files.

A store is a directory::

    meta.json         format, frame size, bits per pixel, counts, bytes and sha256 of every file
    index.csv         one row per sequence: id,type,view,shard,offset,length,subset
    frames.crc32      a CRC-32 for each frame (:mod:`nasgait.data.checksums`)
    shard-00000.bin   frames one after another, row by row; ``offset`` and ``length`` count frames

This is format ``nasgait-store/2``, whose ``meta.json`` also carries a sha256 of its own content.
Format ``nasgait-store/1`` has neither that nor ``frames.crc32``.

Index and checksums may be longer than recorded while sequences are appended: what is behind the
recorded end belongs to the ``meta.json`` to come.
"""

import hashlib
import json
import re
import reprlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasgait.core.errors import DataError
from nasgait.data.checksums import CHECKSUMS, DTYPE
from nasgait.data.geometry import MAX_SIDE, Geometry

FORMAT, WITHOUT_CHECKSUMS = "nasgait-store/2", "nasgait-store/1"
META, INDEX, WRITING = "meta.json", "index.csv", "writing.json"
REMARKS = "remarks.jsonl"
MAX_META_BYTES = 2**28
"""A ``meta.json`` above this is not read: that of a million faults has half of it."""
MAX_COUNT = 2**53
"""No store has so many frames or bytes."""
SEAL = "sha256"
"""Entry of ``meta.json`` with the checksum of the others."""


@dataclass(frozen=True)
class Recorded:
    """A file as ``meta.json`` records it."""

    file: str
    bytes: int | None
    """None for the index of a store of format 1."""
    sha256: str


@dataclass(frozen=True)
class Meta:
    """The part of ``meta.json`` that reading needs; ``raw`` is all of it."""

    geometry: Geometry
    shards: tuple[Recorded, ...]
    index: Recorded
    checksums: Recorded | None
    """None in format 1."""
    sequences: int
    frames: int
    raw: dict[str, Any]

    @cached_property
    def first_frames(self) -> NDArray[np.int64]:
        """Frames of the store before the first one of each shard, int64 [shards]."""
        return np.cumsum([0] + [self.frames_of(n) for n in range(len(self.shards))])[:-1]

    def frames_of(self, shard: int) -> int:
        """How many frames a shard holds."""
        return (self.shards[shard].bytes or 0) // self.geometry.frame_bytes


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
        if file.stat().st_size > MAX_META_BYTES:
            raise ValueError(f"{file.stat().st_size} bytes")
        raw = json.loads(file.read_text(encoding="utf-8"))
        version = raw["format"]
    except (ValueError, KeyError, TypeError, OSError, RecursionError) as error:
        fault = f"{file}: not the meta.json of a store ({_short(error)})"
        raise DataError(f"{fault}; {remedy(path)}") from None
    if version not in (FORMAT, WITHOUT_CHECKSUMS):
        raise DataError(
            f"{file}: store format {_quoted(version)}; this version reads {WITHOUT_CHECKSUMS!r} "
            f"and {FORMAT!r} only, so make the store again from its source"
        )
    try:
        return _parsed(raw)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file}: {_short(error)}; {remedy(path)}") from None


def remedy(path: Path) -> str:
    """What to do about a damaged store."""
    return f"restore the file from a copy, or remove {path} and make the store again"


def seal(raw: dict[str, Any]) -> str:
    """sha256 of the entries of ``meta.json`` but for the seal itself."""
    rest = {key: value for key, value in raw.items() if key != SEAL}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _parsed(raw: dict[str, Any]) -> Meta:
    """The entries that reading needs; ValueError names the first that is missing or malformed."""
    size = _entry(raw, "size", list)
    if len(size) != 2 or not all(type(side) is int and 1 <= side <= MAX_SIDE for side in size):
        raise ValueError(
            f"size is {_quoted(size)}, must be the height and width of the frames, each from 1 to "
            f"{MAX_SIDE}"
        )
    bits = _entry(raw, "bits", int)
    if bits not in (1, 8):
        raise ValueError(f"bits is {_quoted(bits)}, must be 1 or 8")
    shards = _entry(raw, "shards", list)
    numbered = range(len(shards))
    found = tuple(_recorded(raw, f"shards.{n}", shard_name(n)) for n in numbered)
    checksums = None
    if raw["format"] == FORMAT:
        checksums = _recorded(raw, "checksums", CHECKSUMS)
    meta = Meta(
        geometry=Geometry(size[0], size[1], bits),
        shards=found,
        index=_recorded(raw, "index", INDEX, sized=checksums is not None),
        checksums=checksums,
        sequences=_entry(raw, "counts.sequences", int),
        frames=_entry(raw, "counts.frames", int),
        raw=raw,
    )
    _require_origin(raw)
    if "appended" in raw:
        for number in range(len(_entry(raw, "appended", list))):
            _entry(raw, f"appended.{number}.sequences", int)
            _require_origin(raw, f"appended.{number}.")
    return meta


def _require_origin(raw: dict[str, Any], before: str = "") -> None:
    """ValueError for an entry below ``before`` that says amiss where sequences come from."""
    part = _entry(raw, before[:-1], dict) if before else raw
    for key in ("source", "synthetic", "import"):
        if key in part:
            _entry(raw, f"{before}{key}", dict)
    if said := part.get("import", {}):
        for key in ("faults", "notes") if "notes" in said else ("faults",):
            _entry(raw, f"{before}import.{key}", list)


def meta_faults(meta: Meta) -> list[str]:
    """Where ``meta.json`` contradicts itself, or has changed since it was written."""
    faults = amount_faults(meta)
    if meta.checksums and seal(meta.raw) != meta.raw.get(SEAL):
        fault = "damaged or changed by hand: its content does not match its own sha256"
        faults.append(f"{META}: {fault}")
    added = sum(part["sequences"] for part in meta.raw.get("appended", []))
    if added > meta.sequences:
        faults.append(f"{META}: {added} appended sequences are more than {meta.sequences} in all")
    return faults


def amount_faults(meta: Meta) -> list[str]:
    """Where the recorded sizes of the files contradict each other."""
    frame_bytes, faults = meta.geometry.frame_bytes, []
    if any((shard.bytes or 0) % frame_bytes for shard in meta.shards) or (
        sum(map(meta.frames_of, range(len(meta.shards)))) != meta.frames
    ):
        faults.append(
            f"{META}: {meta.frames} frames of {frame_bytes} bytes are not what the shards hold; "
            "its counts, size or bits were changed"
        )
    if meta.checksums and meta.checksums.bytes != meta.frames * DTYPE.itemsize:
        faults.append(
            f"{META}: checksums.bytes is {meta.checksums.bytes}, must be {DTYPE.itemsize} for "
            f"each of {meta.frames} frames"
        )
    return faults


def _recorded(raw: dict[str, Any], key: str, name: str, sized: bool = True) -> Recorded:
    """The file of this name; no other, so that none outside the store is ever opened."""
    if (found := _entry(raw, f"{key}.file", str)) != name:
        raise ValueError(f"{key}.file is {_quoted(found)}, must be {name!r}")
    sha256 = _entry(raw, f"{key}.sha256", str)
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        raise ValueError(f"{key}.sha256 is {_quoted(sha256)}, must be 64 hexadecimal digits")
    return Recorded(name, _entry(raw, f"{key}.bytes", int) if sized else None, sha256)


def _entry(raw: Any, key: str, kind: type) -> Any:
    """The entry at a dotted key, of this type; numbers are not negative.  ValueError says more."""
    value = raw
    for word in key.split("."):
        if isinstance(value, dict) and word in value:
            value = value[word]
        elif isinstance(value, list) and word.isdecimal() and int(word) < len(value):
            value = value[int(word)]
        else:
            raise ValueError(f"has no {key}")
    names: dict[type, str] = {int: f"a whole number from 0 to {MAX_COUNT}", str: "a text"}
    names |= {list: "a list", dict: "a mapping"}
    if type(value) is not kind or (isinstance(value, int) and not 0 <= value <= MAX_COUNT):
        raise ValueError(f"{key} is {_quoted(value)}, must be {names[kind]}")
    return value


def _quoted(value: Any) -> str:
    """A value for a message, cut where it is long."""
    return reprlib.repr(value)


def _short(error: Exception) -> str:
    """An error in a few words on one line."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    text = f"no {error}" if isinstance(error, KeyError) else str(error)
    return " ".join(text.split())[:200]


def file_faults(path: Path, meta: Meta) -> dict[str, str]:
    """Shards and checksums that are missing, lead out of the store, or have another size: why."""
    appending = (path / WRITING).exists()
    faults = {}
    for recorded in (*meta.shards, *([meta.checksums] if meta.checksums else [])):
        if fault := size_fault(path, recorded, appending and recorded.file == CHECKSUMS):
            faults[recorded.file] = fault
    return faults


def size_fault(path: Path, recorded: Recorded, longer: bool = False) -> str | None:
    """Why a file cannot be what is recorded, without reading it; it may be ``longer`` or not."""
    if fault := place_fault(path, recorded.file):
        return fault
    size, wanted = (path / recorded.file).stat().st_size, recorded.bytes
    if wanted is None or size == wanted or (longer and size > wanted):
        return None
    return f"{size} bytes, {META} records {wanted}"


def place_fault(path: Path, name: str) -> str | None:
    """Why a file of the store cannot be opened, or must not be."""
    file = path / name
    if not file.is_file():
        return "is no file" if file.exists() else "missing"
    if file.resolve().parent != path.resolve():
        return f"a link that leads out of the store, to {file.resolve()}"
    return None


def checksums_fault(path: Path, meta: Meta) -> str | None:
    """Why ``frames.crc32`` itself is damaged, if it is."""
    if not (recorded := meta.checksums):
        return None
    with (path / CHECKSUMS).open("rb") as file:
        data = file.read(recorded.bytes)
    if hashlib.sha256(data).hexdigest() == recorded.sha256:
        return None
    return f"{CHECKSUMS}: its sha256 is not the one recorded in {META}"
