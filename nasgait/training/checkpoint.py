"""Checkpoints that survive a kill at any moment, and clear words about those that did not.

A checkpoint is a dict saved by ``torch.save`` and read with ``weights_only=True``::

    format          FORMAT
    kind            "supernet", "slice" (of one), "pretraining" or "network"
    model, optimizer, scheduler, scaler     state dicts
    rng             torch's generator state
    step            steps done, which is also the sampler's position
    ...             whatever says what the model is and how it was trained

Files are written beside their place, flushed to disk and renamed, and ``manifest.json``,
which lists the good ones with their checksums, is replaced last.  So the manifest never
names a file that is not whole.
"""

import hashlib
import json
import logging
import os
import pickle
import re
import sys
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from nasgait.core.errors import CheckpointError
from nasgait.core.files import sync_folder, write_atomically

FORMAT = "nasgait-checkpoint/1"
MANIFEST = "manifest.json"
TEMPORARY = ".tmp"
ZIP_HEAD = b"PK\x03\x04"
"""How files of ``torch.save`` begin, but for very old ones."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """A line of the manifest."""

    file: str
    """Name within the directory."""
    step: int
    """Steps done."""
    sha256: str
    """Checksum of the file."""
    score: float | None = None
    """The higher the better; None where nothing was measured."""
    seconds: float = 0.0
    """Wall time of the training so far.  It stands here and not in the file, so that equal
    trainings write equal checkpoints."""


class Checkpoints:
    """The checkpoints of one training: the newest ``keep`` and the one of the best score.

    The directory is made by the first :meth:`save`.  One process writes at a time.
    """

    def __init__(self, directory: str | os.PathLike[str], keep: int = 2) -> None:
        self.directory = Path(directory)
        self.keep = max(keep, 1)

    def entries(self) -> list[Entry]:
        """What the manifest lists, oldest step first.

        Raises:
            CheckpointError: the manifest cannot be read.
        """
        path = self.directory / MANIFEST
        try:
            rows = json.loads(path.read_text(encoding="utf-8"))
            return sorted((Entry(**row) for row in rows), key=lambda entry: entry.step)
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError) as error:
            raise CheckpointError(
                f"{path}: not a list of checkpoints ({type(error).__name__}); "
                "delete it to start this training again"
            ) from error

    def save(
        self,
        step: int,
        payload: Mapping[str, Any],
        score: float | None = None,
        seconds: float = 0.0,
    ) -> Path:
        """Write ``payload`` as the checkpoint of ``step`` and drop those no longer kept.

        Checkpoints of this step or later ones are replaced: they belong to a run that was
        resumed from an earlier step.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.directory / f"step-{step:06d}.pt"
        entries = [entry for entry in self.entries() if entry.step < step]
        save_checkpoint(path, payload)
        kept = self._kept([*entries, Entry(path.name, step, sha256_of(path), score, seconds)])
        text = json.dumps([asdict(entry) for entry in kept], indent=1) + "\n"
        write_atomically(self.directory / MANIFEST, text)
        self._clean({entry.file for entry in kept})
        return path

    def latest(self) -> Path | None:
        """The file of :meth:`newest`."""
        entry = self.newest()
        return self.directory / entry.file if entry else None

    def newest(self) -> Entry | None:
        """The newest checkpoint that is whole, or None where there is none at all.

        Raises:
            CheckpointError: there are checkpoints, and all are damaged.
        """
        entries = self.entries()
        for entry in reversed(entries):
            path = self.directory / entry.file
            try:
                if sha256_of(path) == entry.sha256:
                    return entry
                fault = "its content has changed since it was written"
            except CheckpointError as error:
                fault = str(error)
            log.warning("%s: skipped a damaged checkpoint: %s", path, fault)
        if entries:
            raise CheckpointError(
                f"{self.directory}: all {len(entries)} checkpoints are damaged; "
                "delete the directory to start this training again"
            )
        return None

    def _kept(self, entries: list[Entry]) -> list[Entry]:
        scored = [entry for entry in entries if entry.score is not None]
        best = max(scored, key=lambda entry: (entry.score, entry.step), default=None)
        newest = entries[-self.keep :]
        return [entry for entry in entries if entry in newest or entry == best]

    def _clean(self, kept: set[str]) -> None:
        """Remove checkpoints the manifest does not list, and what a kill left half written."""
        for pattern in ("step-*.pt", f"*{TEMPORARY}", f".{MANIFEST}.*"):
            for path in self.directory.glob(pattern):
                if path.name not in kept:
                    path.unlink(missing_ok=True)


def save_checkpoint(path: str | os.PathLike[str], payload: Mapping[str, Any]) -> None:
    """Put ``payload`` in the place of ``path`` in one go: whole and on disk, or not at all."""
    path = Path(path)
    temporary = path.with_name(path.name + TEMPORARY)
    with open(temporary, "wb") as file:
        torch.save(dict(payload), file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    sync_folder(path.parent)


def load_checkpoint(
    path: str | os.PathLike[str], expected_format: str | None = None
) -> dict[str, Any]:
    """Read a checkpoint onto the CPU, without running any code that it may hold.

    Args:
        path: The file.  It is mapped, so tensors that nobody touches are not read.
        expected_format: What ``payload["format"]`` must be; None takes any dict.

    Raises:
        CheckpointError: no such file, a truncated one, something else than a checkpoint, a
            pickle that holds more than data, another format.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(len(ZIP_HEAD))
    except OSError as error:
        raise CheckpointError(f"{path}: no checkpoint can be read ({error.strerror})") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # guesses about what a damaged file may be
            payload = torch.load(path, map_location="cpu", weights_only=True, mmap=head == ZIP_HEAD)
    except Exception as error:  # torch lets out whatever damaged bytes lead to
        raise CheckpointError(_load_fault(path, head, error)) from error
    if not isinstance(payload, dict):
        raise CheckpointError(
            f"{path}: holds a {type(payload).__name__}, a checkpoint is a dict; take another file"
        )
    if expected_format is not None and payload.get("format") != expected_format:
        raise CheckpointError(
            f"{path}: has the format {payload.get('format')!r}, needed is {expected_format!r}; "
            "take another file or convert it ('nasgait convert')"
        )
    return payload


def interned(state: Any) -> Any:
    """A state dict of optimizer or scheduler, with Python's own copy of each text in it.

    Pickle writes a text once for each copy of it.  With the copies that a checkpoint
    brought, a resumed training would not write the bytes of an undisturbed one.
    """
    if isinstance(state, dict):
        return {interned(key): interned(value) for key, value in state.items()}
    if isinstance(state, list):
        return [interned(value) for value in state]
    return sys.intern(state) if isinstance(state, str) else state


def _load_fault(path: str | os.PathLike[str], head: bytes, error: Exception) -> str:
    foreign = re.search(r"GLOBAL (\S+)", str(error))
    if isinstance(error, pickle.UnpicklingError) and foreign:
        return (
            f"{path}: refused, because it holds {foreign[1]} beside tensors and plain data, and "
            "reading that could run foreign code; save it again as a state dict"
        )
    whole = "truncated or damaged" if head in (ZIP_HEAD, b"") else "not a checkpoint"
    return f"{path}: {whole}; take another file, or train again"


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Checksum of a file, as hexadecimal digits.

    Raises:
        CheckpointError: it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error
