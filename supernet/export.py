"""``nasgait export``: an architecture's slice of the supernet, as a file."""

import argparse
import logging
from pathlib import Path

from nasgait.core.errors import CheckpointError, ConfigError
from nasgait.training.checkpoint import FORMAT, load_checkpoint, save_checkpoint, sha256_of
from search_spaces import load_architecture
from supernet.network import slice_state
from supernet.weights import check_space

logger = logging.getLogger(__name__)


def run(args: argparse.Namespace) -> int:
    """Write the slice; refuses to overwrite and refuses another space's supernet."""
    out = Path(args.out)
    if out.exists():
        raise ConfigError(f"--out {out}: exists; give another file")
    space, arch = load_architecture(args.arch)
    saved = load_checkpoint(args.supernet, FORMAT)
    if saved.get("kind") != "supernet":
        raise CheckpointError(f"{args.supernet}: holds a {saved.get('kind')}, not a supernet")
    check_space(args.supernet, saved, space)
    payload = {
        "format": FORMAT,
        "kind": "slice",
        "arch": str(arch),
        "space": space.source,
        "space_sha256": space.sha256,
        "supernet_sha256": sha256_of(args.supernet),
        # Cloned: a slice must not drag the memory of the whole supernet into the file.
        "model": {
            name: tensor.clone()
            for name, tensor in slice_state(saved["model"], space.build(arch)).items()
        },
    }
    save_checkpoint(out, payload)
    logger.info("%s: %s of %s", out, arch, args.supernet)
    return 0
