"""Latency as a cost of architectures: measured once for each, kept in a file.

Two measurements differ, so a search that goes on must not measure again what decided which
architectures it bred: the file makes a resumed search breed the same.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from nasgait.core.errors import DataError
from nasgait.core.jsonl import append_line, complete_lines, cut_to
from nasgait.search.budget import Choices
from nasgait.search.ledger import Entry


class Latencies:
    """Seconds that one sequence takes, by architecture; a line for each in the file ``path``.

    ``time`` measures an architecture [s] under ``conditions`` (device, threads, frames), which
    are noted with every line.  ``limit`` is the largest latency that the search admits.
    ``scored`` are the ledger's entries: their latencies are put back where lines were removed from
    the file, unless all were, as nothing then tells their conditions.  Raises DataError for a
    faulty line and for one that was measured under other conditions.
    """

    name = "latency"
    unit = "s"

    def __init__(
        self,
        path: str | Path,
        time: Callable[[Choices], float],
        conditions: Mapping[str, int | str],
        limit: float | None = None,
        scored: Iterable[Entry] = (),
    ) -> None:
        self.path = Path(path)
        self.limit = limit
        self._time = time
        self._conditions = dict(conditions)
        lines = complete_lines(self.path)
        self._seconds = dict(self._parse(number, line) for number, line in enumerate(lines, 1))
        cut_to(self.path, lines)
        for entry in scored if lines else ():
            if entry.choices not in self._seconds and self.name in entry.values:
                self._keep(entry.choices, entry.values[self.name])

    def value(self, choices: Choices) -> float:
        """Seconds for one sequence, measured now unless it is known."""
        if choices not in self._seconds:
            self._keep(choices, self._time(choices))
        return self._seconds[choices]

    def _keep(self, choices: Choices, seconds: float) -> None:
        key = "-".join(map(str, choices))
        append_line(self.path, {"key": key, "seconds": seconds, **self._conditions})
        self._seconds[choices] = seconds

    def _parse(self, number: int, text: bytes) -> tuple[Choices, float]:
        try:
            line = json.loads(text)
            choices = tuple(int(choice) for choice in line.pop("key").split("-"))
            seconds = float(line.pop("seconds"))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DataError(
                f"{self.path}:{number}: not a measured latency ({error}); remove the line"
            ) from error
        if line != self._conditions:
            raise DataError(
                f"{self.path}:{number}: measured with {_words(line)}, not "
                f"{_words(self._conditions)}; go on under the same conditions, or search into a "
                "new folder"
            )
        return choices, seconds


def _words(conditions: Mapping[str, int | str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in conditions.items())
