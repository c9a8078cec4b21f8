"""Raw datasets into a store: ``nasgait data import``.

Worker processes read and decode; this process alone writes, in the order of the listing.  So the
store does not depend on the number of workers, nor on interruptions.
"""

import contextlib
import hashlib
import os
import shutil
import sys
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from nasgait.core.errors import ConfigError, DataError, RunFailed
from nasgait.core.pool import cores, in_order
from nasgait.data.append import new_ones, opened_to_append, was_appended
from nasgait.data.geometry import Geometry
from nasgait.data.index import UNLABELLED
from nasgait.data.layouts import PUBLISHED, find_layout, list_dataset
from nasgait.data.meta import META, Meta, read_meta
from nasgait.data.raw import RawSequence
from nasgait.data.readers import Reading
from nasgait.data.store import GaitStore
from nasgait.data.writer import StoreWriter


@dataclass(frozen=True)
class ImportSummary:
    """What an import did."""

    sequences: int
    """Sequences in the store."""
    frames: int
    """Frames in the store."""
    faults: list[str] = field(default_factory=list)
    """Sequences that could not be imported, each with the reason."""
    dropped: int = 0
    """Frames left out in this run because they show nothing."""
    resumed: int = 0
    """Sequences that an earlier, interrupted run had written."""
    added: int = 0
    """Sequences that were added to a complete store, in this run or an interrupted one."""
    already_complete: bool = False
    """The store was complete before; nothing was done."""


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
        partition: who trains and who tests, see :func:`nasgait.data.layouts.list_dataset`.
        data_in_use: which of several pickles to read, see :func:`reading_options`.
        append: add to the complete store at ``out``, which opens as it was until the end.

    Raises:
        ConfigError: unknown layout, missing partition, not one pickle in use, or no worker.
        DataError: no dataset of that layout at ``root``, an identity without any sequence,
            something else at ``out``, or no sequence that can be read; with ``append`` no store
            there, one of another size, or an identity that it has in another subset.
        RunFailed: a worker died or the disk is full; the same call resumes.
    """
    workers = cores() if workers is None else workers
    if workers < 1:
        raise ConfigError(f"{workers} workers; at least 1 is needed")
    place, target = Path(root), Path(out)
    base = opened_to_append(target) if append else None
    geometry = _geometry(target, size, bits, base)
    choice = reading_options(layout, data_in_use)
    listing = list_dataset(layout, place, partition)
    source = source_of(layout, place, partition, choice) | {"listing": _digest(listing)}
    repeated: list[str] = []
    if base:
        if was_appended(base, source):
            return _summary(base)
        listing, repeated = new_ones(target, base, listing)
    elif (target / META).exists():
        return _complete(target, source, geometry)
    size = (geometry.height, geometry.width)
    read = partial(find_layout(layout).read, str(place), size, **choice)
    with StoreWriter(target, size, geometry.bits, {"source": source}, base=base) as writer:
        resumed = writer.added
        dropped, faults = _fill(writer, read, listing, repeated, workers, progress)
    counts, added = read_meta(target).raw["counts"], writer.added if append else 0
    return ImportSummary(counts["sequences"], counts["frames"], faults, dropped, resumed, added)


def _geometry(
    target: Path, size: tuple[int, int] | None, bits: int | None, base: Meta | None
) -> Geometry:
    """The frames that are wanted; DataError unless those of a store to append to are the same."""
    default = base.geometry if base else Geometry(64, 64)
    height, width = (default.height, default.width) if size is None else size
    depth = default.bits if bits is None else bits
    wanted = Geometry(height, width, depth)  # type: ignore[arg-type]
    if base and wanted != default:
        raise DataError(
            f"{target}: has frames of {default.height} x {default.width} pixels at {default.bits} "
            f"bits, and {height} x {width} at {wanted.bits} bits cannot be added to them; leave "
            "--size and --bits out to take the store's"
        )
    return wanted


def reading_options(layout: str, data_in_use: Sequence[bool | int]) -> dict[str, int]:
    """Further arguments of the layout's reader: which pickle of a folder to read.

    ``data_in_use`` has a flag for each pickle of a folder, in the order of their names, as in
    OpenGait's configurations, or the number of the one that holds the silhouettes.  Raises
    ConfigError when the layout has no pickles, or not exactly one of them is chosen.
    """
    if not data_in_use:
        return {}
    if not find_layout(layout).many_files:
        raise ConfigError(f"data_in_use chooses among pickles; layout {layout} has none")
    flags = all(isinstance(value, bool) for value in data_in_use)
    chosen = [i for i, used in enumerate(data_in_use) if used] if flags else list(data_in_use)
    if len(chosen) != 1 or chosen[0] < 0:
        raise ConfigError(
            f"data_in_use {list(data_in_use)} must choose one pickle, that of the silhouettes: "
            "[true, false] or its number from 0, [0]"
        )
    return {"number": int(chosen[0])}


def source_of(
    layout: str, root: Path, partition: str | os.PathLike[str] | None, choice: dict[str, int]
) -> dict[str, Any]:
    """What a store records of its source, without what is not set."""
    named = find_layout(layout).default_partition if partition is None else str(partition)
    if named is not None and named not in PUBLISHED:
        named = str(Path(named).resolve())
    source = {"layout": layout, "root": str(root.resolve()), "partition": named} | choice
    return {key: value for key, value in source.items() if value is not None}


def _fill(
    writer: StoreWriter,
    read: partial[Reading],
    listing: Sequence[RawSequence],
    faults: list[str],
    workers: int,
    progress: bool,
) -> tuple[int, list[str]]:
    """Read and write what is not there yet, and close the store; raises as import_dataset.

    Returns the number of dropped frames, and all faults, with those that were known before.
    """
    place, done = Path(read.args[0]), writer.done
    todo = [raw for raw in listing if raw.key not in done]
    if progress:
        _announce(place, todo, writer.geometry, writer.path, workers)
    try:
        dropped, found = _import(writer, read, todo, workers, progress, len(done))
        if not writer.added:
            raise DataError(f"{place}: no sequence can be read; the first: {found[0]}")
        faults = faults + found + _lost_identities(listing, writer.done)
        writer.close({"import": {"faults": faults}})
    except (BrokenProcessPool, OSError) as error:
        raise RunFailed(
            f"import into {writer.path} stopped: {error}; the same command resumes it"
        ) from error
    return dropped, faults


def _import(
    writer: StoreWriter,
    read: partial[Reading],
    todo: Sequence[RawSequence],
    workers: int,
    progress: bool,
    done: int,
) -> tuple[int, list[str]]:
    """Read and write ``todo``; returns the number of dropped frames, and the faults."""
    dropped, faults = 0, []
    total, disable = done + len(todo), not progress
    bar = tqdm(
        total=total, initial=done, desc="import", unit="seq", disable=disable, mininterval=0.5
    )
    with bar, contextlib.closing(in_order(read, todo, workers)) as results:
        for raw, result in zip(todo, results, strict=True):
            if not isinstance(result, str):
                frames, black = result
                dropped += black
                try:
                    writer.add(raw.label, raw.type, raw.view, raw.subset, frames)
                except DataError as error:
                    result = str(error)
            if isinstance(result, str):
                faults.append(f"{raw.folder}: {result}")
            bar.update()
    return dropped, faults


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
    return _summary(read_meta(target))


def _summary(meta: Meta) -> ImportSummary:
    """The summary of a store to which nothing was done."""
    counts = meta.raw["counts"]
    faults = meta.raw.get("import", {}).get("faults", [])
    return ImportSummary(counts["sequences"], counts["frames"], faults, already_complete=True)


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
    mean = sum(len(os.listdir(root / raw.folder)) for raw in sample) / max(1, len(sample))
    frames = int(mean * len(todo))
    need, free = frames * geometry.frame_bytes / 1e9, shutil.disk_usage(target).free / 1e9
    print(
        f"import: {len(todo)} sequences, about {frames} files, {workers} workers, "
        f"{need:.2f} GB of {free:.0f} GB free" + (": NOT ENOUGH" if need > free else ""),
        file=sys.stderr,
    )


def _lost_identities(listing: Sequence[RawSequence], stored: set[str]) -> list[str]:
    kept = {raw.label for raw in listing if raw.key in stored}
    lost = {raw.label: None for raw in listing if raw.label not in kept | {UNLABELLED}}
    return [f"identity {label}: none of its sequences could be imported" for label in lost]


def _digest(listing: Sequence[RawSequence]) -> str:
    """sha256 of the names of all sequences, which identifies the listing."""
    text = "\n".join(f"{raw.folder}\t{raw.subset}" for raw in listing)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
