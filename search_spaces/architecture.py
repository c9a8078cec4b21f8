"""Architectures with their spaces: loading them, and writing architecture files."""

from pathlib import Path
from typing import Any

from nasgait.core.errors import ConfigError
from nasgait.core.files import write_atomically
from search_spaces.architecture_ref import (
    Architecture,
    ArchitectureFile,
    architecture_text,
    read_ref,
)
from search_spaces.space import SearchSpace, load_space


def load_architecture(text_or_path: str | Path) -> tuple[SearchSpace, Architecture]:
    """Read the printed form (``sposgait-small:0-5-5-4``) or a file, and load its space.

    Raises ConfigError for neither, a damaged file, an unknown space, choices that it lacks, or a
    space that has changed since the file was written.
    """
    ref = read_ref(str(text_or_path))
    if ref.space is None:
        raise ConfigError(
            f"architecture {str(text_or_path)!r}: name its space as well, "
            "as in sposgait-small:0-5-5-4"
        )
    space = load_space(ref.space)
    return space, space.parse(str(text_or_path))


def save_architecture(
    path: str | Path,
    space: SearchSpace,
    arch: Architecture,
    frames: int | None = None,
    score: dict[str, Any] | None = None,
    origin: dict[str, Any] | None = None,
) -> None:
    """Write an architecture file, which names a user's own space by its absolute path.

    Args:
        path: the file, which is replaced whole.
        frames: frames for which MACs are stated; the space's own by default.
        score: its metrics in the search, e.g. {"rank1": 61.2, "map": 50.3}.
        origin: sha256 of the supernet's checkpoint, search seed, generation.
    """
    frames = frames or space.frames
    cost = space.cost(arch, frames)
    record = ArchitectureFile(
        space=space.source if space.shipped else str(Path(space.source).expanduser().resolve()),
        space_sha256=space.sha256,
        choices=space.path(arch),
        macs=cost.macs,
        params=cost.params,
        frames=frames,
        size=space.size,
        score=score,
        origin=origin,
    )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, f"# {arch}\n{architecture_text(record)}")
