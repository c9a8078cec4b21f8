"""GREW: gallery 01 against probe 02 locally; gallery 01 + 02 against probe 03 by submission."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from nasgait.core.errors import DataError
from nasgait.evaluation.evaluation_set import (
    EvaluationSet,
    Outcome,
    Positions,
    require_both,
    search_gallery,
)
from nasgait.evaluation.protocols.base import Protocol
from nasgait.evaluation.submission import Submission, plain_number

DISTRACTOR_TYPE = "04"
"""Type of the distractors: sequences of people that no probe shows."""


class LocalOutcome(Outcome):
    """Gallery 01 against probe 02, which is not the benchmark's result."""

    def metrics(self) -> dict[str, Any]:
        """Return the metrics with ``_local`` appended to each key.

        As published, a rank-k is rounded to two decimals.
        """
        return {
            f"{name}_local": round(value, 2) if name.startswith("rank") else value
            for name, value in super().metrics().items()
        }


@dataclass(frozen=True)
class BenchmarkOutcome(Outcome):
    """The unlabelled probes by their true labels, beside the local outcome."""

    local: LocalOutcome

    def metrics(self) -> dict[str, Any]:
        """Return the metrics of both."""
        return self.local.metrics() | super().metrics()


class Grew(Protocol):
    """Evaluates what can be known without a submission and, with true labels, what cannot."""

    @property
    def title(self) -> str:
        """What messages call the local evaluation."""
        return "protocol grew (gallery 01, probe 02)"

    def probes_and_gallery(self, sequences: EvaluationSet) -> tuple[Positions, Positions]:
        """Return the sequences of type 02, and those of type 01 with distractors if wanted."""
        probes = np.flatnonzero(sequences.types == "02")
        gallery = np.flatnonzero(np.isin(sequences.types, gallery_types(sequences, "01")))
        require_both(sequences, probes, gallery, self.title)
        return probes, gallery

    def outcome(self, sequences: EvaluationSet) -> Outcome:
        """Evaluate locally and, with true labels, the unlabelled probes, which then count."""
        probes, gallery = self.probes_and_gallery(sequences)
        found = search_gallery(sequences, probes, gallery, self.title)
        local = LocalOutcome(probes, sequences.labels[probes], found)
        if not sequences.truth:
            return local
        scored = SUBMISSION.evaluate(sequences)
        return BenchmarkOutcome(scored.probes, scored.labels, scored.retrieval, local)


def gallery_types(sequences: EvaluationSet, *types: str) -> tuple[str, ...]:
    """``types`` and, if wanted, that of the distractors; DataError if there are none."""
    if not sequences.distractors:
        return types
    if not (sequences.types == DISTRACTOR_TYPE).any():
        raise DataError(
            f"distractors: none (type {DISTRACTOR_TYPE}) among {len(sequences.types)} sequences"
        )
    return (*types, DISTRACTOR_TYPE)


SUBMISSION = Submission(
    title="GREW (gallery 01 + 02, probe 03)",
    columns=("videoId", *(f"rank{k}" for k in range(1, 21))),
    split=lambda sequences: (
        sequences.types == "03",
        np.isin(sequences.types, gallery_types(sequences, "01", "02")),
    ),
    videos=lambda sequences, probes: sequences.views[probes],
    identity=plain_number,
)
"""Lists the identities of the 20 nearest gallery sequences, nearest first, as whole numbers
without leading zeros.  An identity may be listed twice: it has two sequences."""

GREW = Grew(
    name="grew",
    description="GREW: 02 against 01; unlabelled 03 against 01 + 02 by submission or true labels",
    options=("truth", "distractors", "rerank"),
    submission=SUBMISSION,
)
