"""Output directories: never mix two runs, never overwrite one."""

from pathlib import Path

from nasgait.errors import ConfigError


def claim(out: Path, resume: bool) -> None:
    """Make ``out`` ready to be written to.

    Raises:
        ConfigError: it holds something and ``resume`` is false, or it is a file.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out}: is a file; give a directory")
    if out.is_dir() and any(out.iterdir()) and not resume:
        raise ConfigError(f"--out {out}: is not empty; go on with --resume or give another --out")
    out.mkdir(parents=True, exist_ok=True)
