"""The search's only state: a JSON line for each scored architecture.

A line is on disk as soon as its score is known, so a search that is killed loses only
the scores that were not finished.  Each carries a checksum: a damaged one is no score.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nasgait.core.errors import DataError
from nasgait.core.jsonl import Line, append_line, complete_lines, cut_to, keep_lines, parse_lines

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LedgerEntry:
    """One scored architecture."""

    choices: tuple[int, ...]
    """The choice taken in each layer."""
    generation: int
    """The generation it was bred in; 0 is the first, random one."""
    values: Mapping[str, float]
    """Its scores and its costs, by name (``map``, ``rank1``, ``macs``, ``params``, ...)."""
    seconds: float = field(default=0.0, compare=False)
    """How long scoring took."""

    @property
    def key(self) -> str:
        """The choices as text, ``0-5-5-4``."""
        return "-".join(map(str, self.choices))

    def line(self) -> dict[str, Any]:
        """The ledger line as a dict: key, generation, the values, seconds."""
        head = {"key": self.key, "generation": self.generation}
        return {**head, **self.values, "seconds": round(self.seconds, 3)}

    @classmethod
    def parse(cls, line: Mapping[str, Any]) -> "LedgerEntry":
        """Undo :meth:`line`; KeyError, TypeError or ValueError for anything else."""
        values = dict(line)
        choices = tuple(int(choice) for choice in values.pop("key").split("-"))
        generation, seconds = int(values.pop("generation")), float(values.pop("seconds", 0.0))
        if any(isinstance(v, bool) or not isinstance(v, int | float) for v in values.values()):
            raise TypeError("scores and costs must be numbers")
        return cls(choices, generation, values, seconds)


class Ledger:
    """The scored architectures of one search, in order, each at most once."""

    def __init__(self, path: Path, entries: list[LedgerEntry]) -> None:
        self.path = path
        self._entries = {entry.choices: entry for entry in entries}

    @classmethod
    def open(cls, path: str | Path) -> "Ledger":
        """Open a ledger to continue it, or begin one.

        A last line without its newline was cut off by a kill and is removed from
        the file.  So is a damaged line, with a warning: its architecture is scored again.
        Raises ``DataError`` for a repeated line, or one that was written as something else.
        """
        path = Path(path)
        texts = complete_lines(path)
        lines = parse_lines(texts)
        good = [line for line in lines if line.fault is None]
        entries = _entries(path, good)
        for line in lines:
            if line.fault is not None:
                text = "%s:%d: damaged (%s); its architecture is scored again"
                logger.warning(text, path, line.number, line.fault)
        if len(good) < len(lines):
            keep_lines(path, texts, good)
        else:
            cut_to(path, texts)
        return cls(path, entries)

    @property
    def entries(self) -> list[LedgerEntry]:
        """The entries in the order they were scored."""
        return list(self._entries.values())

    def append(self, entry: LedgerEntry) -> None:
        """Add an entry and make sure that it is on disk; ``DataError`` if it was scored before."""
        if entry.choices in self._entries:
            raise DataError(f"{self.path}: {entry.key} was scored before, in an earlier line")
        append_line(self.path, entry.line())
        self._entries[entry.choices] = entry


def read_ledger(path: str | Path) -> list[LedgerEntry]:
    """Read a ledger's complete lines and leave the file alone.

    Raises ``DataError`` for a damaged line, and as ``Ledger.open``.
    """
    lines = parse_lines(complete_lines(Path(path)))
    for line in lines:
        if line.fault is not None:
            raise DataError(
                f"{path}:{line.number}: damaged ({line.fault}); the search scores its "
                "architecture again (nasgait search --resume, or the same nasgait run)"
            )
    return _entries(Path(path), lines)


def _entries(path: Path, lines: list[Line]) -> list[LedgerEntry]:
    entries: dict[tuple[int, ...], LedgerEntry] = {}
    for line in lines:
        try:
            entry = LedgerEntry.parse(line.values)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DataError(
                f"{path}:{line.number}: not a ledger line ({error}); remove the line to score "
                "its architecture again"
            ) from error
        if entry.choices in entries:
            raise DataError(
                f"{path}:{line.number}: {entry.key} appears twice; remove one of the lines"
            )
        entries[entry.choices] = entry
    return list(entries.values())
