"""Output directories: one run each, never overwritten, written by one process at a time."""

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
    """Prepare ``out`` for writing.

    Raises ConfigError when it is not empty and ``resume`` is false, or it cannot be made.
    """
    if is_used(out) and not resume:
        raise ConfigError(f"--out {out}: is not empty; resume with --resume or give another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"--out {out}: no directory can be made there ({error.strerror})"
        ) from None


def is_used(out: Path) -> bool:
    """Whether the directory holds anything but the hidden files of a failed start."""
    return out.is_dir() and any(not entry.name.startswith(".") for entry in out.iterdir())


def record(out: Path, config: ExperimentConfig, changed: bool = False) -> None:
    """Write ``config.yaml``, the resolved configuration, unless it is there and not ``changed``."""
    if changed or not (out / "config.yaml").exists():
        write_atomically(out / "config.yaml", dump_config(config))


def record_training(out: Path, config: ExperimentConfig, changed: bool = False) -> None:
    """Write ``config.yaml`` of a training that has no checkpoint yet, or whose recipe changed."""
    record(out, config, changed or not (out / "checkpoints").is_dir())


@contextmanager
def locked(out: Path, main: bool = True) -> Iterator[None]:
    """Keep other processes out of the directory; the kernel unlocks it if this one dies.

    ``main`` is False on ranks that write nothing.  Raises ConfigError while another process is
    writing there.
    """
    if not main:
        yield
        return
    handle = os.open(out / LOCK, os.O_CREAT | os.O_RDWR, 0o666)
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
