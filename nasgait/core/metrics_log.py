"""What a training logs: metrics.jsonl, TensorBoard events, lines on stderr."""

import logging
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from nasgait.core.files import write_atomically
from nasgait.core.jsonl import line_of, parse_lines

METRICS = "metrics.jsonl"
PACKAGES = ("nasgait", "search_spaces", "supernet", "retrain")

logger = logging.getLogger(__name__)


class MetricsLog:
    """``metrics.jsonl`` (an object with ``step`` per line) and TensorBoard events, side by side.

    A run that resumes at ``start_step`` cuts off what was logged after it, so that both read
    as if the run had never stopped.  Only the first process writes.
    """

    def __init__(self, directory: str | os.PathLike[str], start_step: int = 0) -> None:
        # Takes a second or two, which commands that train nothing do not wait for.
        from torch.utils.tensorboard import SummaryWriter

        self.path = Path(directory) / METRICS
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            cut_metrics(self.path, start_step)
        self._file = self.path.open("a", encoding="utf-8")
        # TensorBoard hides events from purge_step on; those of start_step itself are good.
        self._events = SummaryWriter(str(directory), purge_step=start_step + 1)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Write the values (numbers or tensors of one element) of a step and flush them."""
        numbers = {name: float(value) for name, value in values.items()}
        line = {name: value if math.isfinite(value) else None for name, value in numbers.items()}
        self._file.write(line_of({"step": step, **line}))
        self._file.flush()
        for name, value in numbers.items():
            self._events.add_scalar(name, value, step)

    def picture(self, name: str, step: int, image: np.ndarray) -> None:
        """Show a grey image [h, w] in 0..1 in TensorBoard."""
        self._events.add_image(name, image, step, dataformats="HW")

    def close(self) -> None:
        """Write what is left and close both."""
        self._file.close()
        self._events.close()


def read_metrics(path: str | os.PathLike[str]) -> list[dict[str, float | None]]:
    """The lines of a ``metrics.jsonl``, without a torn last one that a kill may have left.

    Damaged lines are named in a warning and left out.
    """
    rows = []
    raw = Path(path).read_bytes()
    lines = parse_lines(raw.splitlines())
    for line in lines:
        if line.fault is None and _are_metrics(line.values):
            rows.append(line.values)
        elif line.number < len(lines) or raw.endswith(b"\n"):
            fault = line.fault or "it has no step, or more than numbers"
            logger.warning("%s:%d: damaged (%s) and left out", path, line.number, fault)
    return rows


def _are_metrics(row: dict[str, Any]) -> bool:
    """Whether a line holds numbers alone, a whole step among them."""
    numbers = (value for value in row.values() if value is not None)
    return isinstance(row.get("step"), int) and all(isinstance(v, int | float) for v in numbers)


def cut_metrics(path: Path, last_step: int) -> None:
    """Replace the file by one without the lines after ``last_step``, torn and damaged ones."""
    kept = [row for row in read_metrics(path) if (row["step"] or 0) <= last_step]
    write_atomically(path, "".join(map(line_of, kept)))


class _BarHandler(logging.Handler):
    """Writes to the current stderr, above progress bars."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            tqdm.write(self.format(record), file=sys.stderr)
        except Exception:
            self.handleError(record)


def setup_logging(verbose: bool = False) -> None:
    """Send the project's log lines to stderr: from INFO on, or DEBUG if ``verbose``.

    Other libraries log from WARNING on.  Calling it again only changes the level.
    """
    handler = _BarHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname).1s %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for package in PACKAGES:
        logging.getLogger(package).setLevel(logging.DEBUG if verbose else logging.INFO)
