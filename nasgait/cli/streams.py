"""Standard streams that end no command: closed ones, terminals that know ASCII only."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Any


class _Lasting(io.RawIOBase):
    """Writes to stderr while someone reads it, and to nowhere from then on."""

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return 2

    def isatty(self) -> bool:
        return os.isatty(2)

    def write(self, content: Any, /) -> int:
        """Write all of it, or give stderr up: a log that is lost ends no training."""
        try:
            return os.write(2, content)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            return memoryview(content).nbytes


@contextlib.contextmanager
def lasting() -> Iterator[None]:
    """Within this block nothing that is printed raises, but for a stdout that nobody reads."""
    for number in range(3):
        # The next file that is opened would take the number of a stream that is closed.
        with contextlib.suppress(OSError):
            os.fstat(number)
            continue
        os.open(os.devnull, os.O_RDWR)
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (as long as the process)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    before = sys.stderr
    if before is None or (isinstance(before, io.TextIOWrapper) and _is_stderr(before)):
        encoding = before.encoding if before else "utf-8"
        raw = io.BufferedWriter(_Lasting(), 2**13)
        sys.stderr = io.TextIOWrapper(raw, encoding, "backslashreplace", line_buffering=True)
    try:
        yield
    finally:
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            nobody_reads()
        if sys.stderr is not before:
            sys.stderr.flush()
        if before is not None:
            sys.stderr = before


def nobody_reads() -> None:
    """Send what is still to be printed nowhere; Python would fail once more when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _is_stderr(stream: io.TextIOWrapper) -> bool:
    with contextlib.suppress(OSError, ValueError):
        return stream.fileno() == 2
    return False
