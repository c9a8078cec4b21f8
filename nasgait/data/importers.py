"""Raw datasets into a store: ``nasgait data import``.

Worker processes read and decode; this process alone writes, in the order of the listing.  So the
store does not depend on the number of workers, nor on interruptions.
"""

import contextlib
import hashlib
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
from nasgait.data.entries import shown
from nasgait.data.index import META, UNLABELLED, Geometry, read_meta
from nasgait.data.layouts import PUBLISHED, Listing, find_layout, survey
from nasgait.data.layouts.opengait_pkl import positions
from nasgait.data.raw import RawSequence
from nasgait.data.readers import DEFAULTS, Options, Outcome, Reading
from nasgait.data.remarks import Remarks
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
    already_complete: bool = False
    """The store was complete before; nothing was done."""
    notes: list[str] = field(default_factory=list)
    """How files were understood that are no plain silhouettes, each kind once."""


def import_dataset(
    layout: str,
    root: str | os.PathLike[str],
    out: str | os.PathLike[str],
    bits: int = 8,
    size: tuple[int, int] = (64, 64),
    workers: int | None = None,
    progress: bool = True,
    partition: str | os.PathLike[str] | None = None,
    data_in_use: Sequence[bool | int] = (),
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
        bits, size: bits per pixel in the store, 8 or 1; height and width of its frames.
        workers: processes that read; all cores by default, 1 reads in this process.
        progress: show a progress bar on stderr.
        partition: who trains and who tests, see :func:`nasgait.data.layouts.survey`.
        data_in_use: which of several pickles to read, see :func:`reading_options`.
        options: how files are chosen and their pixels understood.

    Raises:
        ConfigError: unknown layout, missing partition, not one pickle in use, or no worker.
        DataError: no dataset of that layout at ``root``, something else at ``out``, or no sequence
            that can be read.
        RunFailed: a worker died or the disk is full; the same call resumes.
    """
    workers = cores() if workers is None else workers
    if workers < 1:
        raise ConfigError(f"{workers} workers; at least 1 is needed")
    if max(size) > MAX_SIZE:
        raise ConfigError(f"size {max(size)}: frames have {MAX_SIZE} rows at most")
    place, target, geometry = Path(root), Path(out), Geometry(*size, bits)  # type: ignore[arg-type]
    options = reading_options(layout, data_in_use, options)
    found = survey(layout, place, partition)
    source = source_of(layout, place, partition, options)
    source |= {"listing": _digest(found.sequences)}
    if (target / META).exists():
        return _complete(target, source, geometry)
    if options.number is not None:
        agreed, others = positions(str(place), found.sequences, options.number, len(data_in_use))
        found = replace(found, sequences=agreed, faults=found.faults + others)
    # Without options a reader of three arguments will do.
    chosen = {"options": options} if options != DEFAULTS else {}
    read = partial(find_layout(layout).read, str(place), size, **chosen)
    with StoreWriter(target, size, bits, {"source": source}) as writer:
        resumed = len(writer.done)
        dropped = _fill(writer, read, found, workers, progress)
    return replace(_summary(read_meta(target).raw), dropped=dropped, resumed=resumed)


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
            if not (stored := writer.done):
                remarks.remove()
                raise DataError(
                    f"{shown(str(place))}: no sequence can be read; the first: {faults[0]}"
                )
            faults += _lost_identities(found.sequences, stored)
            notes = found.notes + remarks.notes(found.sequences)
            writer.close({"import": {"faults": faults, "notes": notes}})
            remarks.remove()
    except (BrokenProcessPool, OSError) as error:
        fault = f"import into {writer.path} stopped: {error}; the same command resumes it"
        raise RunFailed(fault) from error
    return dropped


def reading_options(
    layout: str, data_in_use: Sequence[bool | int], options: Options = DEFAULTS
) -> Options:
    """``options`` with the pickle that ``data_in_use`` chooses.

    ``data_in_use`` has a flag for each pickle of a folder, in the order of their names, as in
    OpenGait's configurations, or the number of the one that holds the silhouettes.  Raises
    ConfigError when the layout has no pickles, or not exactly one of them is chosen.
    """
    if not data_in_use:
        return options
    if not find_layout(layout).many_files:
        raise ConfigError(f"data_in_use chooses among pickles; layout {layout} has none")
    if options.modality is not None:
        raise ConfigError("data_in_use and modality both choose a pickle; give one of them")
    flags = all(isinstance(value, bool) for value in data_in_use)
    chosen = [i for i, used in enumerate(data_in_use) if used] if flags else list(data_in_use)
    if len(chosen) != 1 or chosen[0] < 0:
        raise ConfigError(
            f"data_in_use {list(data_in_use)} must choose one pickle, that of the silhouettes: "
            "[true, false] or its number from 0, [0]"
        )
    return replace(options, number=int(chosen[0]))


def source_of(
    layout: str, root: Path, partition: str | os.PathLike[str] | None, options: Options
) -> dict[str, Any]:
    """What a store records of its source, without what is not set."""
    named = find_layout(layout).default_partition if partition is None else str(partition)
    if named is not None and named not in PUBLISHED:
        named = str(Path(named).resolve())
    source = {"layout": layout, "root": str(root.resolve()), "partition": named}
    return {key: value for key, value in source.items() if value is not None} | options.chosen()


def _import(
    writer: StoreWriter,
    read: Callable[[RawSequence], Outcome],
    todo: Sequence[RawSequence],
    workers: int,
    progress: bool,
    remarks: Remarks,
) -> int:
    """Read and write ``todo``; returns the number of dropped frames."""
    dropped, done = 0, len(writer.done)
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


def _complete(target: Path, source: dict[str, Any], geometry: Geometry) -> ImportSummary:
    """The summary of a complete store; DataError if another import made it."""
    store = GaitStore.open(target)
    found = store.meta.get("source", {})
    if found != source:
        raise DataError(
            f"{target}: holds a complete store made from {_other(found, source)}; "
            "name another directory, or remove this one"
        )
    if read_meta(target).geometry != geometry:
        raise DataError(
            f"{target}: holds a complete store of {store.size[0]} x {store.size[1]} pixels at "
            f"{store.meta['bits']} bits; name another directory, or remove this one"
        )
    return replace(_summary(store.meta), already_complete=True)


def _summary(meta: dict[str, Any]) -> ImportSummary:
    """What ``meta.json`` tells of an import."""
    counts, said = meta["counts"], meta.get("import", {})
    faults, notes = said.get("faults", []), said.get("notes", [])
    return ImportSummary(counts["sequences"], counts["frames"], faults, notes=notes)


def _other(found: dict[str, Any], source: dict[str, Any]) -> str:
    """What a store was made from, where that is not ``source``, for a message."""
    changed = [key for key in source | found if found.get(key) != source.get(key)]
    if not found or "layout" in changed or "root" in changed:
        return f"{found.get('layout')} {found.get('root')}" if found else "something else"
    if changed[0] == "listing":
        return "this folder when it held other sequences"
    return f"this folder with {changed[0]} {found.get(changed[0])}"


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
    kept = {raw.label for raw in listing if raw.key in stored}
    lost = {raw.label: None for raw in listing if raw.label not in kept | {UNLABELLED}}
    return [f"identity {shown(label)}: none of its sequences could be imported" for label in lost]


def _digest(listing: Sequence[RawSequence]) -> str:
    """sha256 of the names of all sequences, which identifies the listing."""
    text = "\n".join(f"{raw.folder}\t{raw.subset}" for raw in listing)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
