"""Output directories: never mix two runs, never overwrite one, never write one twice at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nasgait.config.load import dump_config
from nasgait.config.schema import ExperimentConfig
from nasgait.core.errors import ConfigError
from nasgait.core.files import write_atomically

LOCK = ".lock"


def claim(out: Path, resume: bool) -> None:
    """Make ``out`` ready to be written to.

    Raises:
        ConfigError: it holds something and ``resume`` is false, or it cannot be a directory.
    """
    if is_used(out) and not resume:
        raise ConfigError(f"--out {out}: is not empty; go on with --resume or give another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"--out {out}: no directory can be made there ({error.strerror})"
        ) from None


def is_used(out: Path) -> bool:
    """Whether the directory holds anything but traces of a start that did not come far."""
    return out.is_dir() and any(not entry.name.startswith(".") for entry in out.iterdir())


def record(out: Path, config: ExperimentConfig) -> None:
    """Write ``config.yaml``, the resolved configuration that the directory was begun with."""
    if not (out / "config.yaml").exists():
        write_atomically(out / "config.yaml", dump_config(config))


@contextmanager
def locked(out: Path, main: bool = True) -> Iterator[None]:
    """Keep every other process out of the directory; the kernel frees it when this one dies.

    Args:
        out: the directory.
        main: False on ranks that write nothing.

    Raises:
        ConfigError: another process is writing there.
    """
    if not main:
        yield
        return
    handle = os.open(out / LOCK, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            writer = os.read(handle, 20).decode() or "unknown"
            raise ConfigError(
                f"--out {out}: another process (pid {writer}) is writing there; wait for it or "
                "end it"
            ) from None
        os.truncate(handle, 0)
        os.write(handle, str(os.getpid()).encode())
        yield
    finally:
        os.close(handle)
