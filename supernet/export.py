"""``nasgait export``: an architecture's slice of the supernet, as a file."""

import logging
from pathlib import Path

from nasgait.core.errors import CheckpointError, ConfigError
from nasgait.training.checkpoint import FORMAT, load_checkpoint, save_checkpoint, sha256_of
from search_spaces import load_architecture
from supernet.network import slice_state
from supernet.weights import check_space

logger = logging.getLogger(__name__)


def export(arch: str, supernet: Path, out: Path) -> None:
    """Write an architecture's slice of a supernet.

    Args:
        arch: printed form or file.
        supernet: checkpoint of a supernet over its space.
        out: file to write.

    Raises:
        ConfigError: ``out`` exists, or the architecture is unknown.
        CheckpointError: no supernet, or one of another space.
    """
    if out.exists():
        raise ConfigError(f"--out {out}: exists; give another file")
    space, architecture = load_architecture(arch)
    saved = load_checkpoint(supernet, FORMAT)
    if saved.get("kind") != "supernet":
        raise CheckpointError(f"{supernet}: holds a {saved.get('kind')}, not a supernet")
    check_space(supernet, saved, space)
    payload = {
        "format": FORMAT,
        "kind": "slice",
        "arch": str(architecture),
        "space": space.source,
        "space_sha256": space.sha256,
        "supernet_sha256": sha256_of(supernet),
        # Cloned: a slice must not drag the memory of the whole supernet into the file.
        "model": {
            name: tensor.clone()
            for name, tensor in slice_state(saved["model"], space.build(architecture)).items()
        },
    }
    save_checkpoint(out, payload)
    logger.info("%s: %s of %s", out, architecture, supernet)
