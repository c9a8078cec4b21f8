"""The search's only state: a JSON line for each scored architecture.

A line is on disk as soon as its score is known, so a search that is killed loses only
the scores that were not finished.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nasgait.core.errors import DataError
from nasgait.core.files import parse_json
from nasgait.core.jsonl import append_line, complete_lines, cut_to


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
        the file.  Raises ``DataError`` for any other faulty or repeated line.
        """
        path = Path(path)
        lines = complete_lines(path)
        entries = _parse(path, lines)
        cut_to(path, lines)
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
    """Read a ledger's complete lines and leave the file alone; raises as ``Ledger.open``."""
    return _parse(Path(path), complete_lines(Path(path)))


def _parse(path: Path, lines: list[bytes]) -> list[LedgerEntry]:
    entries: dict[tuple[int, ...], LedgerEntry] = {}
    for number, text in enumerate(lines, start=1):
        try:
            entry = LedgerEntry.parse(parse_json(text))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DataError(
                f"{path}:{number}: not a ledger line ({error}); remove the line to score "
                "its architecture again"
            ) from error
        if entry.choices in entries:
            raise DataError(f"{path}:{number}: {entry.key} appears twice; remove one of the lines")
        entries[entry.choices] = entry
    return list(entries.values())
