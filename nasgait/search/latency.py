"""Latency as a cost of architectures: measured once for each, kept in a file.

Two measurements differ, so a resumed search must not measure again what decided which
architectures were bred: thanks to the file it breeds the same ones.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from nasgait.core.errors import DataError
from nasgait.core.files import parse_json
from nasgait.core.jsonl import append_line, complete_lines, cut_to
from nasgait.search.budget import Choices
from nasgait.search.ledger import LedgerEntry


class Latencies:
    """Seconds that one sequence takes, by architecture; a line for each in the file ``path``.

    Args:
        path: the file.
        time: measures an architecture [s].
        conditions: device, threads and frames of the measurement; every line repeats them.
        limit: the largest latency that the search allows.
        scored: the ledger's entries; the latencies of removed lines are restored from them,
            unless all lines were removed, as nothing then says under which conditions.

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
        self._seconds = dict(self._parse(number, line) for number, line in enumerate(lines, 1))
        cut_to(self.path, lines)
        for entry in scored if lines else ():
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

    def _parse(self, number: int, text: bytes) -> tuple[Choices, float]:
        try:
            line = parse_json(text)
            choices = tuple(int(choice) for choice in line.pop("key").split("-"))
            seconds = float(line.pop("seconds"))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DataError(
                f"{self.path}:{number}: not a measured latency ({error}); remove the line"
            ) from error
        if line != self._conditions:
            raise DataError(
                f"{self.path}:{number}: measured with {_words(line)}, not "
                f"{_words(self._conditions)}; resume under the same conditions, or search "
                "into a new folder"
            )
        return choices, seconds


def _words(conditions: Mapping[str, int | str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in conditions.items())
