"""The index of a store, ``index.csv``: one row per sequence."""

import csv
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from nasgait.data.meta import INDEX, META, WRITING, Meta, place_fault

COLUMNS = ("id", "type", "view", "shard", "offset", "length", "subset")
UNLABELLED = "probe"
"""Label of test sequences of unknown identity (GREW's probes)."""
SUBSETS = ("train", "search-val", "test", "distractor")


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
    damaged: bool = False
    """Left out: its frames are not those that were written, and the user said to skip such."""

    @property
    def labelled(self) -> bool:
        """Whether the identity is known."""
        return self.label != UNLABELLED

    @property
    def usable(self) -> bool:
        """Whether it has frames, and whole ones."""
        return self.length > 0 and not self.damaged

    @property
    def key(self) -> str:
        """``label-type-view``, unique in a store."""
        return f"{self.label}-{self.type}-{self.view}"

    def row(self) -> list[str]:
        """The sequence as a row of the index."""
        place = (self.shard, self.offset, self.length)
        return [self.label, self.type, self.view, *map(str, place), self.subset]


def parse_row(row: list[str]) -> Sequence:
    """A row of the index as a :class:`Sequence`; ValueError says what is wrong with it."""
    if len(row) != len(COLUMNS):
        raise ValueError(f"{len(row)} columns, not {len(COLUMNS)}")
    label, kind, view, shard, offset, length, subset = row
    if subset not in SUBSETS:
        raise ValueError(f"subset {subset!r} is none of {', '.join(SUBSETS)}")
    if not label or not "".join(row).isprintable():
        raise ValueError("no id, or names that are not one line of text")
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
    frames = meta.frames_of(sequence.shard)
    last = sequence.offset + sequence.length
    if sequence.offset < 0 or last > frames:
        return f"frames {sequence.offset} to {last} of a shard of {frames}"
    return None


def read_index(path: Path, meta: Meta) -> tuple[list[Sequence], list[str]]:
    """Sequences and faults of a store's index, with its checksum and number of rows."""
    try:
        if fault := place_fault(path, INDEX):
            return [], [f"{INDEX}: {fault}"]
        # While sequences are appended, rows behind the recorded end do not count yet.
        end = meta.index.bytes if (path / WRITING).exists() else None
        with (path / INDEX).open("rb") as file:
            data = file.read(-1 if end is None else end)
        text = data.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return [], [f"{INDEX}: cannot be read ({error})"]
    sequences, faults = parse_index(text.splitlines(keepends=True), meta)
    if hashlib.sha256(data).hexdigest() != meta.index.sha256:
        faults.append(f"{INDEX}: its sha256 is not the one recorded in {META}")
    if len(sequences) != meta.sequences and not faults:
        faults.append(f"{INDEX}: {len(sequences)} sequences, {META} records {meta.sequences}")
    return sequences, faults
