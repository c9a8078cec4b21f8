"""``nasgait export``: an architecture's slice of the supernet, as a file."""

import logging
from pathlib import Path

from nasgait.core.errors import ConfigError
from nasgait.training.checkpoint import FORMAT, save_checkpoint
from search_spaces import load_architecture
from supernet.network import slice_state
from supernet.weights import load_supernet

logger = logging.getLogger(__name__)


def export(arch: str, supernet: Path, out: Path) -> None:
    """Write the slice of a supernet that ``arch`` (printed form or file) uses to the file ``out``.

    Raises ConfigError when ``out`` exists or the architecture is unknown, CheckpointError for no
    supernet or one of another space.
    """
    if out.exists():
        raise ConfigError(f"--out {out}: exists; give another file")
    space, architecture = load_architecture(arch)
    weights = load_supernet(supernet, space.source)
    state = slice_state(weights.state, space.build(architecture))
    payload = {
        "format": FORMAT,
        "kind": "slice",
        "arch": str(architecture),
        "space": space.source,
        "space_sha256": space.sha256,
        "supernet_sha256": weights.sha256,
        # Cloned: a slice must not drag the memory of the whole supernet into the file.
        "model": {name: tensor.clone() for name, tensor in state.items()},
    }
    save_checkpoint(out, payload)
    logger.info("%s: %s of %s", out, architecture, supernet)
