"""Raw datasets into a store: ``nasgait data import``.

Worker processes read and decode; this process alone writes, in the order of the listing.  So the
store does not depend on the number of workers, nor on interruptions.
"""

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from nasgait.core.errors import ConfigError, DataError, RunFailed
from nasgait.core.pool import cores, in_order
from nasgait.data.append import appended, new_ones, opened_to_append, was_appended
from nasgait.data.entries import shown
from nasgait.data.geometry import Geometry
from nasgait.data.index import UNLABELLED
from nasgait.data.layouts import Listing, find_layout, survey
from nasgait.data.layouts.opengait_pkl import positions
from nasgait.data.meta import META, Meta, read_meta
from nasgait.data.raw import RawSequence
from nasgait.data.readers import DEFAULTS, Options, Outcome, Reading
from nasgait.data.remarks import Remarks
from nasgait.data.sources import digest, other_source, reading_options, source_of
from nasgait.data.store import GaitStore
from nasgait.data.writer import StoreWriter

MAX_SIZE = 1024
"""Rows and columns of the store's frames, at most; the largest networks take 128."""


@dataclass(frozen=True)
class ImportSummary:
    """What an import did."""

    sequences: int
    """Sequences in the store."""
    frames: int
    """Frames in the store."""
    faults: list[str] = field(default_factory=list)
    """What lies in the dataset and was not imported, each with the reason."""
    dropped: int = 0
    """Frames left out in this run because they show nothing."""
    resumed: int = 0
    """Sequences that an earlier, interrupted run had written."""
    added: int = 0
    """Sequences that were added to a complete store, in this run or an interrupted one."""
    already_complete: bool = False
    """The store was complete before; nothing was done."""
    notes: list[str] = field(default_factory=list)
    """How files were understood that are no plain silhouettes, each kind once."""


def import_dataset(
    layout: str,
    root: str | os.PathLike[str],
    out: str | os.PathLike[str],
    bits: int | None = None,
    size: tuple[int, int] | None = None,
    workers: int | None = None,
    progress: bool = True,
    partition: str | os.PathLike[str] | None = None,
    data_in_use: Sequence[bool | int] = (),
    append: bool = False,
    options: Options = DEFAULTS,
) -> ImportSummary:
    """Import a raw dataset into a store; an interrupted import is resumed.

    A sequence that cannot be read (a damaged image, a pickle of anything but an array) is left
    out and named in the summary.  Frames are normalised, except those of GREW and of pickles that
    have the store's size: these were published normalised.  Frames that show nothing are dropped.

    Args:
        layout: a name from :data:`nasgait.data.layouts.LAYOUTS`.
        root: the dataset's folder.
        out: the store's directory: absent, empty, or the same import's store, which is resumed
            if it is partial and left alone if it is complete.
        bits, size: bits per pixel in the store, 8 or 1; height and width of its frames: 8 and
            64 x 64 by default, or those of the store that is appended to.
        workers: processes that read; all cores by default, 1 reads in this process.
        progress: show a progress bar on stderr.
        partition: who trains and who tests, see :func:`nasgait.data.layouts.survey`.
        data_in_use: which of several pickles, see :func:`nasgait.data.sources.reading_options`.
        append: add to the complete store at ``out``, which opens as it was until the end.
        options: how files are chosen and their pixels understood.

    Raises:
        ConfigError: unknown layout, missing partition, not one pickle in use, frames above
            1024 x 1024, or no worker.
        DataError: no dataset of that layout at ``root``, something else at ``out``, or no sequence
            that can be read; with ``append`` no store there, one of another size, or an identity
            that it has in another subset.
        RunFailed: a worker died or the disk is full; the same call resumes.
    """
    workers = cores() if workers is None else workers
    if workers < 1:
        raise ConfigError(f"{workers} workers; at least 1 is needed")
    place, target = Path(root), Path(out)
    base = opened_to_append(target) if append else None
    geometry = _geometry(target, size, bits, base)
    options = reading_options(layout, data_in_use, options)
    found = survey(layout, place, partition)
    source = source_of(layout, place, partition, options) | {"listing": digest(found.sequences)}
    if complete := _complete(target, base, source, geometry):
        return complete
    found = _to_import(found, place, target, base, options, len(data_in_use))
    size = (geometry.height, geometry.width)
    read = _reader(layout, place, size, options)
    with StoreWriter(target, size, geometry.bits, {"source": source}, base=base) as writer:
        resumed = writer.added
        dropped = _fill(writer, read, found, workers, progress)
    summary, added = _summary(read_meta(target).raw, source), writer.added if base else 0
    return replace(summary, dropped=dropped, resumed=resumed, added=added)


def _geometry(
    target: Path, size: tuple[int, int] | None, bits: int | None, base: Meta | None
) -> Geometry:
    """The frames that are wanted; DataError unless those of a store to append to are the same."""
    default = base.geometry if base else Geometry(64, 64)
    height, width = (default.height, default.width) if size is None else size
    depth = default.bits if bits is None else bits
    if max(height, width) > MAX_SIZE:
        raise ConfigError(f"size {max(height, width)}: frames have {MAX_SIZE} rows at most")
    wanted = Geometry(height, width, depth)  # type: ignore[arg-type]
    if base and wanted != default:
        raise DataError(
            f"{target}: has frames of {default.height} x {default.width} pixels at {default.bits} "
            f"bits, and {height} x {width} at {wanted.bits} bits cannot be added to them; leave "
            "--size and --bits out to take the store's"
        )
    return wanted


def _to_import(
    found: Listing, place: Path, target: Path, base: Meta | None, options: Options, flags: int
) -> Listing:
    """``found`` without what no position chooses, and what a store to append to has already."""
    sequences, faults = found.sequences, found.faults
    if options.number is not None:
        sequences, others = positions(str(place), sequences, options.number, flags)
        faults = faults + others
    if base:
        sequences, repeated = new_ones(target, base, sequences)
        faults = faults + repeated
    return replace(found, sequences=sequences, faults=faults)


def _reader(layout: str, place: Path, size: tuple[int, int], options: Options) -> partial[Outcome]:
    """What reads one sequence; without options a reader of three arguments will do."""
    chosen = {"options": options} if options != DEFAULTS else {}
    return partial(find_layout(layout).read, str(place), size, **chosen)


def _fill(
    writer: StoreWriter, read: partial[Outcome], found: Listing, workers: int, progress: bool
) -> int:
    """Read and write what is not there yet, and close the store; raises as import_dataset.

    Returns the number of dropped frames.
    """
    place, done = Path(read.args[0]), writer.done
    todo = [raw for raw in found.sequences if raw.key not in done]
    if progress:
        _announce(place, todo, writer.geometry, writer.path, workers)
    try:
        with Remarks(writer.path, done) as remarks:
            dropped = _import(writer, read, todo, workers, progress, remarks)
            faults = found.faults + remarks.faults(found.sequences)
            if not writer.added:
                remarks.remove()
                raise DataError(
                    f"{shown(str(place))}: no sequence can be read; the first: {faults[0]}"
                )
            faults += _lost_identities(found.sequences, writer.labels)
            notes = found.notes + remarks.notes(found.sequences)
            writer.close({"import": {"faults": faults, "notes": notes}})
            remarks.remove()
    except (BrokenProcessPool, OSError) as error:
        fault = f"import into {writer.path} stopped: {error}; the same command resumes it"
        raise RunFailed(fault) from error
    return dropped


def _import(
    writer: StoreWriter,
    read: Callable[[RawSequence], Outcome],
    todo: Sequence[RawSequence],
    workers: int,
    progress: bool,
    remarks: Remarks,
) -> int:
    """Read and write ``todo``; returns the number of dropped frames."""
    dropped, done = 0, writer.added
    total, disable = done + len(todo), not progress
    bar = tqdm(
        total=total, initial=done, desc="import", unit="seq", disable=disable, mininterval=0.5
    )
    with bar, contextlib.closing(in_order(read, todo, workers)) as results:
        for raw, result in zip(todo, results, strict=True):
            if isinstance(result, Reading):
                dropped += result.dropped
                remarks.add(raw, result)
                try:
                    writer.add(raw.label, raw.type, raw.view, raw.subset, result.frames)
                except DataError as error:
                    result = str(error)
            if isinstance(result, str):
                remarks.fault(raw, result)
            bar.update()
    return dropped


def _complete(
    target: Path, base: Meta | None, source: dict[str, Any], geometry: Geometry
) -> ImportSummary | None:
    """The summary of a store that has all of ``source``, None while there is something to do.

    Raises DataError for a complete store that another import made, unless it is appended to.
    """
    if base:
        done = was_appended(base, source)
        return replace(_summary(base.raw, source), already_complete=True) if done else None
    if not (target / META).exists():
        return None
    store = GaitStore.open(target)
    found = store.meta.get("source", {})
    if found != source:
        raise DataError(
            f"{target}: holds a complete store made from {other_source(found, source)}; "
            "name another directory, or remove this one"
        )
    if read_meta(target).geometry != geometry:
        raise DataError(
            f"{target}: holds a complete store of {store.size[0]} x {store.size[1]} pixels at "
            f"{store.meta['bits']} bits; name another directory, or remove this one"
        )
    return replace(_summary(store.meta, source), already_complete=True)


def _summary(meta: dict[str, Any], source: dict[str, Any]) -> ImportSummary:
    """What ``meta.json`` tells of the import of ``source``, the latest if it was added twice."""
    parts = [part for part in (meta, *appended(meta)) if part.get("source") == source]
    counts, said = meta["counts"], parts[-1].get("import", {})
    faults, notes = said.get("faults", []), said.get("notes", [])
    return ImportSummary(counts["sequences"], counts["frames"], faults, notes=notes)


def _announce(
    root: Path, todo: Sequence[RawSequence], geometry: Geometry, target: Path, workers: int
) -> None:
    """Print what the import will cost, as estimated from a sample of the folders."""
    sample = todo[:: max(1, len(todo) // 16)]
    counts = [_files(root / raw.folder) for raw in sample]
    mean = sum(counts) / max(1, len(sample))
    frames = int(mean * len(todo))
    need, free = frames * geometry.frame_bytes / 1e9, shutil.disk_usage(target).free / 1e9
    print(
        f"import: {len(todo)} sequences, about {frames} files, {workers} workers, "
        f"{need:.2f} GB of {free:.0f} GB free" + (": NOT ENOUGH" if need > free else ""),
        file=sys.stderr,
    )


def _files(folder: Path) -> int:
    try:
        return len(os.listdir(folder))
    except OSError:
        return 0  # reading it will tell


def _lost_identities(listing: Sequence[RawSequence], stored: set[str]) -> list[str]:
    lost = {raw.label: None for raw in listing if raw.label not in stored | {UNLABELLED}}
    return [f"identity {shown(label)}: none of its sequences could be imported" for label in lost]
