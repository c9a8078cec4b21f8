"""How an architecture is written down: as one word, or as a YAML file."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nasgait.config.load import load_config
from nasgait.core.errors import ConfigError

_CHOICES = re.compile(r"\d+(-\d+)*")


@dataclass(frozen=True)
class Architecture:
    """One choice for each layer of a space; prints as ``sposgait-small:0-5-5-4``."""

    space: str
    """Name of a space that comes with nasgait, or the file of another."""
    choices: tuple[int, ...]
    """Position of the chosen block among the candidates of each layer."""

    def __str__(self) -> str:
        return f"{self.space}:{'-'.join(map(str, self.choices))}"


@dataclass(frozen=True)
class ArchitectureFile:
    """What an architecture file says."""

    space: str
    """Name of the space, or its YAML file."""
    space_sha256: str
    """Identity of the space; another one is refused."""
    choices: tuple[int, ...]
    """The chosen block of each layer."""
    macs: int
    """Multiply-accumulates for one sequence of ``frames``."""
    params: int
    """Parameters of the embedding network, without neck and classifier."""
    frames: int
    """Frames that ``macs`` is stated for."""
    size: tuple[int, int]
    """Height and width of the input."""
    score: dict[str, Any] | None = None
    """How it did in the search (rank1 and map, in percent)."""
    origin: dict[str, Any] | None = None
    """Where it comes from (sha256 of the supernet's checkpoint, seed, generation)."""


@dataclass(frozen=True)
class Written:
    """An architecture as somebody wrote it, not yet held against its space."""

    space: str | None
    """Name or file of the space; None when only choices were given."""
    choices: tuple[int, ...]
    """The choices as written."""
    space_sha256: str | None = None
    """The identity of the space that a file records."""


def read_written(text: str) -> Written:
    """Read ``sposgait-small:0-5-5-4``, ``0-5-5-4`` or an architecture file.

    Raises:
        ConfigError: none of these, or one line with every fault of the file.
    """
    space, _, choices = text.rpartition(":")
    if _CHOICES.fullmatch(choices):
        return Written(space or None, tuple(int(part) for part in choices.split("-")))
    path = Path(text).expanduser()
    if not path.is_file():
        raise ConfigError(
            f"architecture {text!r}: no such file, and not of the form sposgait-small:0-5-5-4"
        )
    record = load_config(path, (), schema=ArchitectureFile)
    return Written(record.space, record.choices, record.space_sha256)
