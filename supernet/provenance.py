"""What the scores of a ledger were measured with, noted beside it: no others are added to them."""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nasgait.config.schema import ExperimentConfig
from nasgait.core.distributed import pick_device, share_of_threads
from nasgait.core.errors import CheckpointError
from nasgait.core.files import write_atomically
from nasgait.data.split import Split, fingerprint
from nasgait.data.store import GaitStore
from supernet.weights import Weights

logger = logging.getLogger(__name__)

NOTE = "scoring.json"

FREE = ("max_epochs", "chunk", "backend", "ray", "memory")
"""Keys of ``search`` that may be others when a search goes on: how long it is, where and in which
portions it scores."""


@dataclass(frozen=True)
class Conditions:
    """What a search and its scores depend on, as ``scoring.json`` tells it."""

    decisive: Mapping[str, Any]
    """What makes it another search."""
    slight: Mapping[str, Any]
    """What changes the last digits of a score, and so perhaps what is bred."""

    @classmethod
    def of(
        cls, config: ExperimentConfig, weights: Weights, store: GaitStore, parts: Split
    ) -> "Conditions":
        """Those of a search that begins here."""
        search = config.search
        on_ray = search.backend == "ray"
        gpu = search.ray.gpus > 0 if on_ray else pick_device(config.device).type == "cuda"
        decisive = {
            "supernet": weights.sha256,
            "data": fingerprint(store, [*parts.train, *parts.search_val]),
            "search_val": fingerprint(store, parts.search_val),
            "seed": config.seed,
            "metric": config.evaluation.metric,
            **{name: value for name, value in asdict(search).items() if name not in FREE},
        }
        slight = {
            # Of each scorer: with as many, both backends score alike.
            "threads": share_of_threads(config.threads, search.ray.workers if on_ray else 1),
            "memory": int(search.memory),  # batches are as large as it allows
            "device": "cuda" if gpu else "cpu",
        }
        # As the note will read: tuples are lists.
        return cls(json.loads(json.dumps(decisive)), slight)

    def write(self, out: Path) -> None:
        """Write the note."""
        write_atomically(out / NOTE, json.dumps({**self.decisive, **self.slight}, indent=1) + "\n")

    def compare(self, out: Path) -> None:
        """Hold the search against the note in ``out``; warn of what is slight.

        Raises CheckpointError naming what else differs, or for a note that cannot be read.
        """
        before = read_note(out / NOTE)
        changed = [name for name, value in self.decisive.items() if before.get(name) != value]
        if changed:
            raise CheckpointError(
                f"{out}: its search was begun with another {', '.join(changed)}; resume with the "
                "same, or give another --out"
            )
        now = self.slight
        differ = [
            f"{name} {before[name]}, not {value}"
            for name, value in now.items()
            if before.get(name, value) != value
        ]
        if differ:
            logger.warning(
                "%s: its scores were measured with %s; the last digits of those to come may "
                "differ for it, and the search may take another way than undisturbed",
                out,
                "; ".join(differ),
            )


def read_note(path: Path) -> dict[str, Any]:
    """The note; CheckpointError if it is none."""
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(path, str(error)) from error
    if not isinstance(note, dict):
        raise _damaged(path, "not an object")
    return note


def _damaged(path: Path, fault: str) -> CheckpointError:
    return CheckpointError(
        f"{path}: does not tell what the scores beside it were measured with ({fault}); put it "
        "back, or search into a new folder"
    )
