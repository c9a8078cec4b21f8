"""Architectures, and the two forms that refer to one: printed, or a YAML file."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nasgait.config.load import dump_config, load_config, parse_yaml, read_yaml
from nasgait.core.checksum import KEY, Damaged, checked, with_checksum
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


@dataclass(frozen=True, kw_only=True)
class ArchitectureFile:
    """The contents of an architecture file."""

    checksum: str | None = None
    """Of all other values (:mod:`nasgait.core.checksum`), and before them, so that a file that was
    cut off still has it; one written by hand has none."""
    space: str
    """Name of the space, or its YAML file."""
    space_sha256: str
    """Checksum of the space; another one is refused."""
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
    """Its metrics in the search (rank1 and map, in percent)."""
    origin: dict[str, Any] | None = None
    """Where it comes from (sha256 of the supernet's checkpoint, seed, generation)."""


@dataclass(frozen=True)
class ArchitectureRef:
    """An architecture as a user gives it, not yet checked against its space."""

    space: str | None
    """Name or file of the space; None when only choices were given."""
    choices: tuple[int, ...]
    """The chosen block of each layer."""
    space_sha256: str | None = None
    """The checksum of the space that a file records."""


def read_ref(text: str) -> ArchitectureRef:
    """Read ``sposgait-small:0-5-5-4``, ``0-5-5-4`` or an architecture file.

    Raises ConfigError for none of these, as well as :func:`read_architecture_file`.
    """
    space, _, choices = text.rpartition(":")
    if _CHOICES.fullmatch(choices):
        return ArchitectureRef(space or None, tuple(int(part) for part in choices.split("-")))
    path = Path(text).expanduser()
    if not path.is_file():
        raise ConfigError(
            f"architecture {text!r}: no such file, and not of the form sposgait-small:0-5-5-4"
        )
    record = read_architecture_file(path)
    return ArchitectureRef(record.space, record.choices, record.space_sha256)


def read_architecture_file(path: Path) -> ArchitectureFile:
    """Read an architecture file; one that carries a checksum must be as it was written.

    Raises ConfigError naming every fault.
    """
    try:
        checked(read_yaml(path))
    except Damaged as error:
        raise ConfigError(
            f"{path}: damaged ({error}); search again with --resume to have it written anew, or, "
            f"if you changed it yourself, remove the line with its {KEY}"
        ) from None
    return load_config(path, (), schema=ArchitectureFile)


def architecture_text(record: ArchitectureFile) -> str:
    """The file as YAML, with its checksum."""
    plain = parse_yaml(dump_config(record), "architecture")
    return dump_config(replace(record, checksum=with_checksum(plain)[KEY]))
