"""Latency as a cost of architectures: measured once for each, kept in a file.

Two measurements differ, so a resumed search must not measure again what decided which
architectures were bred: thanks to the file it breeds the same ones.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from nasgait.core.errors import DataError
from nasgait.core.jsonl import Line, append_line, complete_lines, cut_to, keep_lines, parse_lines
from nasgait.search.budget import Choices
from nasgait.search.ledger import LedgerEntry

logger = logging.getLogger(__name__)

MEASURED = ("device", "threads", "frames")
"""What each line of the file says of its measurement."""


class Latencies:
    """Seconds that one sequence takes, by architecture; a line for each in the file ``path``.

    Args:
        path: the file.
        time: measures an architecture [s].
        conditions: device, threads and frames of the measurement; every line repeats them.
        limit: the largest latency that the search allows.
        scored: the ledger's entries; the latencies of removed and damaged lines are restored from
            them, unless all are gone, as nothing then says under which conditions.

    Raises:
        DataError: a line is faulty, or was measured under other conditions.
    """

    name = "latency"
    unit = "s"

    def __init__(
        self,
        path: str | Path,
        time: Callable[[Choices], float],
        conditions: Mapping[str, int | str],
        limit: float | None = None,
        scored: Iterable[LedgerEntry] = (),
    ) -> None:
        self.path = Path(path)
        self.limit = limit
        self._time = time
        self._conditions = dict(conditions)
        lines = complete_lines(self.path)
        good = self._good(lines)
        self._seconds = dict(map(self._parse, good))
        if len(good) < len(lines):
            keep_lines(self.path, lines, good)
        else:
            cut_to(self.path, lines)
        for entry in scored if good else ():
            if entry.choices not in self._seconds and self.name in entry.values:
                self._keep(entry.choices, entry.values[self.name])

    def value(self, choices: Choices) -> float:
        """Seconds for one sequence, measured now unless they are known."""
        if choices not in self._seconds:
            self._keep(choices, self._time(choices))
        return self._seconds[choices]

    def _keep(self, choices: Choices, seconds: float) -> None:
        key = "-".join(map(str, choices))
        append_line(self.path, {"key": key, "seconds": seconds, **self._conditions})
        self._seconds[choices] = seconds

    def _good(self, texts: list[bytes]) -> list[Line]:
        """The lines that are not damaged; the others are named."""
        lines = parse_lines(texts)
        for line in lines:
            if line.fault is not None:
                text = "%s:%d: damaged (%s); taken from the ledger, or measured again"
                logger.warning(text, self.path, line.number, line.fault)
        return [line for line in lines if line.fault is None]

    def _parse(self, line: Line) -> tuple[Choices, float]:
        found = dict(line.values)
        try:
            choices = tuple(int(choice) for choice in found.pop("key").split("-"))
            seconds = float(found.pop("seconds"))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DataError(
                f"{self.path}:{line.number}: not a measured latency ({error}); remove the line"
            ) from error
        if found != self._conditions:
            raise DataError(
                f"{self.path}:{line.number}: measured with {_words(found)}, not "
                f"{_words(self._conditions)}; resume under the same conditions, or search "
                "into a new folder"
            )
        return choices, seconds


def _words(conditions: Mapping[str, int | str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in conditions.items())


def read_conditions(path: str | Path) -> dict[str, Any] | None:
    """How latencies were measured, as every line says; None if there is none.

    Raises DataError for a damaged line.
    """
    found = None
    for line in parse_lines(complete_lines(Path(path))):
        absent = [key for key in MEASURED if key not in line.values]
        if line.fault is not None or absent:
            fault = line.fault or f"it lacks {', '.join(absent)}"
            raise DataError(
                f"{path}:{line.number}: damaged ({fault}); the search measures it again (nasgait "
                "search --resume, or the same nasgait run)"
            )
        found = found or {key: line.values[key] for key in MEASURED}
    return found
