"""What an import says about its sequences, kept beside a partial store until it is complete.

A resumed import does not read again what is stored.  What was said about those sequences must not
be lost with the interruption, so each remark is a line of ``remarks.jsonl``, written before its
sequence is stored.  ``meta.json`` keeps the result.
"""

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from nasgait.core.files import sync, write_atomically
from nasgait.data.entries import shown
from nasgait.data.meta import REMARKS
from nasgait.data.raw import RawSequence
from nasgait.data.readers import Reading

SYNC_SECONDS = 1.0
"""As often as the store itself is flushed to disk."""


class Remarks:
    """Faults and notes of the sequences of an import."""

    def __init__(self, store: Path, done: set[str]) -> None:
        """Go on with the remarks on the sequences ``done``, by their keys, of an earlier run."""
        self._path = store / REMARKS
        lines = _lines(self._path)
        self._said = {key: said for key, said in lines if key in done}
        if lines and not self._said:
            self.remove()  # of an import that was given up: not of what is stored from now on
        self._file: IO[str] | None = None
        self._synced = time.monotonic()

    def __enter__(self) -> "Remarks":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()

    def add(self, raw: RawSequence, reading: Reading) -> None:
        """Remember what a reading says beside its frames; before the sequence is stored."""
        said = {
            "left_out": [f"{shown(raw.folder)}/{text}" for text in reading.left_out],
            "notes": list(reading.notes),
        }
        if any(said.values()):
            self._write(raw.key, said)
            self._said[raw.key] = said

    def fault(self, raw: RawSequence, fault: str) -> None:
        """Remember why a sequence is not in the store; a resumed import reads it again."""
        self._said[raw.key] = {"left_out": [f"{shown(raw.folder)}: {fault}"], "notes": []}

    def faults(self, listing: Iterable[RawSequence]) -> list[str]:
        """All faults, in the order of the listing."""
        return [
            fault
            for raw in listing
            if raw.key in self._said
            for fault in self._said[raw.key]["left_out"]
        ]

    def notes(self, listing: Iterable[RawSequence]) -> list[str]:
        """Each note once, with the number of sequences and the first of them."""
        found: dict[str, list[RawSequence]] = {}
        for raw in listing:
            for note in self._said.get(raw.key, {"notes": []})["notes"]:
                found.setdefault(note, []).append(raw)
        return [
            f"{note}: {len(raws)} sequence{'s' if raws[1:] else ''}, e.g. {shown(raws[0].folder)}"
            for note, raws in sorted(found.items())
        ]

    def remove(self) -> None:
        """Remove the file: the store is complete, or there is none."""
        self._path.unlink(missing_ok=True)

    def _write(self, key: str, said: dict[str, Any]) -> None:
        if self._file is None:
            # Written anew, so that the torn last line of a killed run does not run into the next.
            known = ({"key": before} | said for before, said in self._said.items())
            write_atomically(self._path, "".join(json.dumps(line) + "\n" for line in known))
            self._file = self._path.open("a", encoding="utf-8")
        self._file.write(json.dumps({"key": key} | said) + "\n")
        self._file.flush()
        if time.monotonic() - self._synced > SYNC_SECONDS:
            sync(self._file)
            self._synced = time.monotonic()


def _lines(file: Path) -> list[tuple[str, dict[str, Any]]]:
    """The whole lines of a file of remarks."""
    if not file.exists():
        return []
    found = []
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            said = json.loads(line)
            key = said.pop("key")
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # torn by a kill: its sequence was not stored
        found.append((key, said))
    return found
