"""Adding to a complete store: ``nasgait data import --append``.

What is added goes into shards of its own and behind the recorded end of index and checksums, so
that the store opens as it was until its ``meta.json`` is replaced, at the very end.
"""

from pathlib import Path
from typing import Any, BinaryIO

from nasgait.core.errors import DataError
from nasgait.core.files import file_sha256, write_atomically, write_json
from nasgait.data.checksums import CHECKSUMS
from nasgait.data.entries import shown
from nasgait.data.frame_files import sums_of_shard
from nasgait.data.index import UNLABELLED, read_index
from nasgait.data.meta import FORMAT, INDEX, META, SEAL, Meta, read_meta, remedy, seal
from nasgait.data.raw import RawSequence
from nasgait.data.reader import GaitStore


def opened_to_append(path: Path) -> Meta:
    """A complete store as a writer adds to it; one of format 1 gets checksums first.

    Raises DataError where there is no complete store, or a damaged one.
    """
    GaitStore.open(path)
    meta = read_meta(path)
    return meta if meta.checksums else with_checksums(path, meta)


def with_checksums(path: Path, meta: Meta) -> Meta:
    """Give a store of format 1 its checksums, which makes it one of format 2.

    Raises DataError for a shard that is not as it was written: its damage would be sealed.
    """
    for shard in meta.shards:
        if file_sha256(path / shard.file) != shard.sha256:
            raise DataError(
                f"{path / shard.file}: its sha256 is not the one recorded in {META}; {remedy(path)}"
            )

    def write(file: BinaryIO) -> None:
        for number, shard in enumerate(meta.shards):
            frames = meta.frames_of(number)
            file.write(sums_of_shard(path / shard.file, frames, meta.geometry.frame_bytes).data)

    write_atomically(path / CHECKSUMS, write)
    files = {name: (path / name) for name in (INDEX, CHECKSUMS)}
    found = {
        name: {"file": name, "bytes": file.stat().st_size, "sha256": file_sha256(file)}
        for name, file in files.items()
    }
    raw: dict[str, Any] = meta.raw | {
        "format": FORMAT,
        "index": found[INDEX],
        "checksums": found[CHECKSUMS],
    }
    write_json(path / META, raw | {SEAL: seal(raw)})
    return read_meta(path)


def appended(raw: dict[str, Any]) -> list[dict[str, Any]]:
    """What ``meta.json`` records of each addition to a store: its source, its sequences."""
    parts: list[dict[str, Any]] = raw.get("appended", [])
    return parts


def was_appended(meta: Meta, source: dict[str, Any]) -> bool:
    """Whether this very source has been added before."""
    return any(part.get("source") == source for part in appended(meta.raw))


def new_ones(
    path: Path, meta: Meta, listing: list[RawSequence]
) -> tuple[list[RawSequence], list[str]]:
    """The sequences that a store does not have, and a fault for each that it has.

    Raises DataError when it has all of them, or for an identity that it has in another subset.
    """
    rows = read_index(path, meta)[0]
    keys = {row.key for row in rows}
    subsets = {row.label: row.subset for row in rows if row.label != UNLABELLED}
    for raw in listing:
        if (subset := subsets.get(raw.label, raw.subset)) != raw.subset:
            raise DataError(
                f"identity {shown(raw.label)}: is in subset {subset} of {path}, "
                f"{shown(raw.folder)} would be in {raw.subset}, and an identity belongs to one; "
                "say who trains and who tests with --partition JSON (TRAIN_SET, TEST_SET)"
            )
    new = [raw for raw in listing if raw.key not in keys]
    if not new:
        raise DataError(
            f"{path}: has all {len(listing)} sequences already, e.g. {listing[0].key}; "
            "there is nothing to append"
        )
    return new, [
        f"{shown(raw.folder)}: the store already has a sequence {raw.key}"
        for raw in listing
        if raw.key in keys
    ]
