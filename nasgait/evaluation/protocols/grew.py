"""GREW: gallery 01 against probe 02 locally; gallery 01 + 02 against probe 03 by submission."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from nasgait.core.errors import DataError
from nasgait.evaluation.evaluation_set import EvaluationSet, Outcome, Positions
from nasgait.evaluation.protocols.base import Protocol
from nasgait.evaluation.submission import Submission, plain_number

DISTRACTOR_TYPE = "04"
"""Type of the distractors: sequences of people that no probe shows."""


@dataclass(frozen=True)
class GrewOutcome(Outcome):
    """The unlabelled probes where their true labels are known, else the local outcome."""

    local: Outcome

    def metrics(self) -> dict[str, Any]:
        """Return local metrics, rank-k rounded as published, and the benchmark's if known."""
        table = {
            name: round(value, 2) if name.startswith("rank") else value
            for name, value in _local(self.local.metrics()).items()
        }
        return table if self._no_truth else table | super().metrics()

    def coverage(self) -> dict[str, Any]:
        """As metrics: that of the local evaluation, ``probes_local``, and the benchmark's."""
        table = _local(self.local.coverage())
        return table if self._no_truth else table | super().coverage()

    def notes(self, rates: bool = True) -> list[str]:
        """What has to be said beside the metrics of either."""
        local = [f"gallery 01 against probe 02: {note}" for note in self.local.notes(rates)]
        return local + (list(self.remarks) if self._no_truth else super().notes(rates))

    @property
    def _no_truth(self) -> bool:
        return self.probes is self.local.probes


def _local(table: dict[str, Any]) -> dict[str, Any]:
    """The same by the names of the local evaluation."""
    return {f"{name}_local": value for name, value in table.items()}


class Grew(Protocol):
    """Evaluates gallery 01 against probe 02 and, with true labels, the unlabelled probes."""

    @property
    def title(self) -> str:
        """What messages call the local evaluation."""
        return "protocol grew (gallery 01, probe 02)"

    def probes_and_gallery(self, sequences: EvaluationSet) -> tuple[Positions, Positions]:
        """Return the sequences of type 02, and those of type 01 with distractors if wanted."""
        probes = np.flatnonzero(sequences.types == "02")
        gallery = np.flatnonzero(np.isin(sequences.types, gallery_types(sequences, "01")))
        sequences.require(probes, gallery, self.title)
        sequences.require_match(probes, gallery, self.title)
        return probes, gallery

    def outcome(self, sequences: EvaluationSet) -> GrewOutcome:
        """Search the local gallery and, with true labels, the benchmark's."""
        local = super().outcome(sequences)
        main = SUBMISSION.evaluate(sequences) if sequences.truth else local
        return GrewOutcome(main.probes, main.labels, main.retrieval, local)


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
