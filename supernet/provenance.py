"""What the scores of a ledger depend on, noted beside it, so that no others are added."""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nasgait.config.renamed import with_new_keys
from nasgait.config.schema import ExperimentConfig
from nasgait.core.distributed import pick_device, share_of_threads
from nasgait.core.errors import CheckpointError
from nasgait.core.files import parse_json, write_json
from nasgait.data.split import Split, fingerprint
from nasgait.data.store import GaitStore
from supernet.weights import Weights

logger = logging.getLogger(__name__)

NOTE = "scoring.json"

CHANGEABLE = ("max_epochs", "chunk", "backend", "ray", "memory")
"""Keys of ``search`` that may change when a search is resumed: how long it is, where it scores and
how many at a time."""


@dataclass(frozen=True)
class Provenance:
    """What a search and its scores depend on, as ``scoring.json`` records it."""

    binding: Mapping[str, Any]
    """What must be the same: with another value it is another search."""
    advisory: Mapping[str, Any]
    """What changes the last digits of a score, and so perhaps what is bred."""

    @classmethod
    def of(
        cls, config: ExperimentConfig, weights: Weights, store: GaitStore, split: Split
    ) -> "Provenance":
        """The provenance of a search that begins here."""
        search = config.search
        on_ray = search.backend == "ray"
        gpu = search.ray.gpus > 0 if on_ray else pick_device(config.device).type == "cuda"
        binding = {
            "supernet": weights.sha256,
            "data": fingerprint(store, [*split.train, *split.search_val]),
            "search_val": fingerprint(store, split.search_val),
            "seed": config.seed,
            "metric": config.evaluation.metric,
            **{name: value for name, value in asdict(search).items() if name not in CHANGEABLE},
        }
        advisory = {
            # For each scorer: with equal numbers both backends give equal scores.
            "threads": share_of_threads(config.threads, search.ray.workers if on_ray else 1),
            "memory": int(search.memory),  # batches are as large as it allows
            "device": "cuda" if gpu else "cpu",
        }
        # As the note is read back: tuples are lists.
        return cls(json.loads(json.dumps(binding)), advisory)

    def write(self, out: Path) -> None:
        """Write the note."""
        write_json(out / NOTE, {**self.binding, **self.advisory})

    def compare(self, out: Path) -> None:
        """Compare with the note in ``out``; log a warning if advisory values differ.

        Raises CheckpointError naming the binding values that differ, or for a note it cannot read.
        """
        before = read_note(out / NOTE)
        changed = [name for name, value in self.binding.items() if before.get(name) != value]
        if changed:
            raise CheckpointError(
                f"{out}: its search was begun with another {', '.join(changed)}; resume with the "
                "same, or give another --out"
            )
        differ = [
            f"{name} {before[name]}, not {value}"
            for name, value in self.advisory.items()
            if before.get(name, value) != value
        ]
        if differ:
            logger.warning(
                f"{out}: its scores were measured with {'; '.join(differ)}; the last digits of new "
                "scores may differ, and so may what is bred from them"
            )


def read_note(path: Path) -> dict[str, Any]:
    """The note, by the keys of today; CheckpointError if it is damaged or missing."""
    try:
        note = parse_json(path.read_text(encoding="utf-8"))
        if not isinstance(note, dict):
            raise ValueError("not an object")
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path}: does not say what the scores beside it were measured with ({error}); put it "
            "back, or search into a new folder"
        ) from error
    return with_new_keys(note, "search")
