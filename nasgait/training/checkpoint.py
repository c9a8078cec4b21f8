"""Checkpoints that a kill at any moment leaves whole, and clear errors about damaged ones.

A checkpoint is a dict saved by ``torch.save`` and read with ``weights_only=True``::

    format          FORMAT
    kind            "supernet", "slice" (of one), "pretraining" or "network"
    model, optimizer, scheduler, scaler     state dicts
    rng             torch's generator state
    step            steps done, which is also the sampler's position
    ...             what the model is and how it was trained

A file is written beside its place, flushed to disk and renamed.  ``manifest.json``, which lists
the good ones with their checksums, is replaced last, so that it never names a partial file.  Each
file also carries a checksum of its own (:mod:`nasgait.core.checked_zip`), which
:func:`load_checkpoint` checks: one that was copied alone is checked as well.
"""

import logging
import os
import pickle
import re
import sys
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import nn

from nasgait.core.checked_zip import add_checksum, check_zip
from nasgait.core.checksum import Damaged, checked, has_checksum, with_checksum
from nasgait.core.errors import CheckpointError
from nasgait.core.files import file_sha256, parse_json, write_atomically, write_json

FORMAT = "nasgait-checkpoint/1"
MANIFEST = "manifest.json"
ZIP_HEAD = b"PK\x03\x04"
"""The first bytes of files of ``torch.save``, except very old ones."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CheckpointEntry:
    """A line of the manifest."""

    file: str
    """Name within the directory."""
    step: int
    """Steps done."""
    sha256: str
    """Checksum of the file."""
    score: float | None = None
    """Higher is better; None if nothing was measured."""
    seconds: float = 0.0
    """Wall time of the training so far; not in the file, so that equal trainings write equal
    checkpoints."""
    interim: bool = False
    """Written because a signal asked for it: kept until the next one, and beside ``keep``."""


class Checkpoints:
    """The checkpoints of one training: the newest ``keep`` and the one of the best score.

    The first :meth:`save` makes the directory.  One process writes at a time.
    """

    def __init__(self, directory: str | os.PathLike[str], keep: int = 2) -> None:
        self.directory = Path(directory)
        self.keep = max(keep, 1)

    def entries(self) -> list[CheckpointEntry]:
        """What the manifest lists, oldest step first; CheckpointError if it cannot be read.

        A damaged row is left out with a warning: its checkpoint counts as damaged.
        """
        path = self.directory / MANIFEST
        found = []
        try:
            rows = parse_json(path.read_text(encoding="utf-8"))
            required = any(map(has_checksum, rows))  # those of earlier versions have none
            for number, row in enumerate(rows, start=1):
                try:
                    found.append(CheckpointEntry(**checked(row, required)))
                except Damaged as error:
                    log.warning("%s: row %d is damaged (%s) and left out", path, number, error)
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise CheckpointError(
                f"{path}: damaged, not a list of checkpoints ({type(error).__name__}); "
                "delete it to start this training again"
            ) from error
        if rows and not found:
            raise CheckpointError(
                f"{path}: all of its rows are damaged; delete it to start this training again"
            )
        return sorted(found, key=lambda entry: entry.step)

    def save(
        self,
        step: int,
        payload: Mapping[str, Any],
        score: float | None = None,
        seconds: float = 0.0,
        interim: bool = False,
    ) -> Path:
        """Write ``payload`` as the checkpoint of ``step`` and remove those no longer kept.

        Others of this and later steps go too: the run was resumed from an earlier step.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.directory / f"step-{step:06d}.pt"
        entries = [e for e in self.entries() if e.step < step and not e.interim]
        sha256 = save_checkpoint(path, payload)
        entries.append(CheckpointEntry(path.name, step, sha256, score, seconds, interim))
        kept = self._kept(entries)
        write_json(self.directory / MANIFEST, [with_checksum(asdict(entry)) for entry in kept])
        self._clean({entry.file for entry in kept})
        return path

    def latest(self) -> Path | None:
        """The file of :meth:`newest`."""
        entry = self.newest()
        return self.directory / entry.file if entry else None

    def newest(self) -> CheckpointEntry | None:
        """The newest checkpoint that is whole, or None if there is none at all.

        Raises CheckpointError when there are checkpoints and all are damaged.
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

    def _kept(self, entries: list[CheckpointEntry]) -> list[CheckpointEntry]:
        scored = [entry for entry in entries if entry.score is not None]
        best = max(scored, key=lambda entry: (entry.score, entry.step), default=None)
        newest = [entry for entry in entries if not entry.interim][-self.keep :]
        return [e for e in entries if e in newest or e == best or e.interim]

    def _clean(self, kept: set[str]) -> None:
        """Remove checkpoints that the manifest does not list, and temporary files."""
        # "*.tmp" is what earlier versions left.
        for pattern in ("step-*.pt", ".step-*", f".{MANIFEST}.*", "*.tmp"):
            for path in self.directory.glob(pattern):
                if path.name not in kept:
                    path.unlink(missing_ok=True)


def save_checkpoint(path: str | os.PathLike[str], payload: Mapping[str, Any]) -> str:
    """Write ``payload`` and its checksum to ``path``: whole and flushed to disk, or not at all.

    Returns the sha256 of the file.
    """
    sha256 = ""

    def write(file: BinaryIO) -> None:
        nonlocal sha256
        sha256 = add_checksum(file, lambda part: torch.save(dict(payload), part))

    write_atomically(path, write)
    return sha256


def load_checkpoint(
    path: str | os.PathLike[str], expected_format: str | None = None
) -> dict[str, Any]:
    """Read a checkpoint onto the CPU without running code from it.

    Its checksum is checked first, for about three seconds per GB; then the file is mapped, and
    tensors that are not used take no memory.  ``expected_format`` is what ``payload["format"]``
    must be; None takes any dict.

    Raises CheckpointError for no such file, a truncated or changed one, anything but a checkpoint,
    a pickle that holds more than data, or another format.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(len(ZIP_HEAD))
        if head == ZIP_HEAD:
            check_zip(path)
    except IsADirectoryError as error:
        raise CheckpointError(
            f"{path}: Is a directory; give a file in it, such as checkpoints/step-001000.pt"
        ) from error
    except OSError as error:
        raise CheckpointError(f"{path}: no checkpoint can be read ({error.strerror})") from error
    except Damaged as error:
        raise CheckpointError(
            f"{path}: truncated or damaged ({error}); take another file, or train again"
        ) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's guesses about damaged files
            payload = torch.load(path, map_location="cpu", weights_only=True, mmap=head == ZIP_HEAD)
    except Exception as error:  # damaged bytes can raise anything in torch
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
    if expected_format is not None:
        require(path, payload, "model")
    return payload


def warn_if_unfinished(path: str | os.PathLike[str], saved: Mapping[str, Any]) -> None:
    """Log a warning when a training was to go on after this checkpoint of it."""
    recipe, step = saved.get("recipe"), saved.get("step")
    steps = recipe.get("steps") if isinstance(recipe, dict) else None
    if isinstance(step, int) and isinstance(steps, int) and step < steps:
        log.warning("%s: is of an unfinished training, step %d of %d", path, step, steps)


def require(path: str | os.PathLike[str], payload: Mapping[str, Any], *keys: str) -> None:
    """Raise CheckpointError for a checkpoint that lacks some of ``keys``, or weights."""
    absent = [key for key in keys if key not in payload]
    if absent:
        raise CheckpointError(
            f"{path}: lacks {', '.join(absent)}, so it is no checkpoint of nasgait, or one that "
            "was changed; take another file, or train again"
        )
    weights = payload.get("model")
    if not isinstance(weights, Mapping) or not all(map(torch.is_tensor, weights.values())):
        raise CheckpointError(
            f"{path}: its model is no table of tensors by name; take another file, or train again"
        )


def load_weights(path: str | os.PathLike[str], module: nn.Module, weights: Any) -> None:
    """Give ``module`` the weights of a checkpoint; CheckpointError where they do not fit."""
    try:
        module.load_state_dict(weights)
    except (RuntimeError, KeyError, TypeError, AttributeError) as error:
        first = next(iter(str(error).split("\n\t")[1:]), str(error)).split(". ")[0]
        raise CheckpointError(
            f"{path}: its weights do not fit the network that it names ({first.strip()[:200]}); "
            "take another file, or train again"
        ) from None


def interned(state: Any) -> Any:
    """A state dict of an optimizer or scheduler, with every string interned.

    Pickle writes a string once for each copy.  With the copies from a checkpoint, a resumed
    training would write other bytes than an uninterrupted one.
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
    """Checksum of a file, as hexadecimal digits; CheckpointError if it cannot be read."""
    try:
        return file_sha256(path)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error
