"""Leave-one-out: each sequence against all others."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nasgait.core.errors import ConfigError, DataError
from nasgait.evaluation.evaluation_set import EvaluationSet, Outcome, Positions, evaluation_set
from nasgait.evaluation.metrics import join
from nasgait.evaluation.protocols.base import Protocol


class LeaveOneOutOutcome(Outcome):
    """The sequences left out as probes are the only ones of their identities."""

    def _unmatched_note(self, rates: bool) -> str:
        return (
            f"{self.left_out} of {len(self.probes) + self.left_out} sequences are the only one of "
            "their identity: they are in the gallery, but are no probes"
        )


class LeaveOneOut(Protocol):
    """Splits the sorted identities into galleries of ``gallery_ids``, or slightly fewer.

    A sequence that is the only one of its identity is in the gallery, but is no probe: nothing
    could match it.
    """

    def probes_and_gallery(self, sequences: EvaluationSet) -> tuple[Positions, Positions]:
        """Return the sequences whose identity has another one, and all sequences."""
        _, codes, counts = np.unique(sequences.labels, return_inverse=True, return_counts=True)
        if len(counts) < 2 or counts.max() < 2:
            raise DataError(
                f"{self.title}: {len(counts)} identities with at most {max(counts, default=0)} "
                "sequences; it needs two identities, one of them with two sequences"
            )
        return np.flatnonzero(counts[codes] > 1), np.arange(len(codes))

    def outcome(self, sequences: EvaluationSet) -> Outcome:
        """Search each gallery; ConfigError for ``gallery_ids`` below 2."""
        probes, everyone = self.probes_and_gallery(sequences)
        names, codes = np.unique(sequences.labels, return_inverse=True)
        size = len(names) if sequences.gallery_ids is None else sequences.gallery_ids
        if size < 2:
            raise ConfigError(f"gallery_ids: must be at least 2, not {size}")
        found, order = [], []
        for members in np.array_split(np.arange(len(names)), -(-len(names) // size)):
            chosen, gallery = (part[np.isin(codes[part], members)] for part in (probes, everyone))
            if len(chosen):
                found.append(sequences.search(chosen, gallery, self.title))
                order.append(chosen)
        retrieval = join(found)[np.argsort(np.concatenate(order))]
        alone = len(everyone) - len(probes)
        return LeaveOneOutOutcome(probes, sequences.labels[probes], retrieval, left_out=alone)


LEAVE_ONE_OUT = LeaveOneOut(
    name="leave-one-out",
    description="any dataset: each sequence against all others",
    options=("gallery_ids",),
)


def leave_one_out(
    embeddings: NDArray[np.float32],
    labels: Sequence[str],
    metric: str = "euc",
    gallery_ids: int | None = None,
) -> Outcome:
    """Evaluate embeddings [n, c, p] of identities [n].

    Raises:
        ConfigError: ``gallery_ids`` below 2, or unknown metric.
        DataError: NaN embeddings, fewer than two identities, or none with two sequences.
    """
    none = [""] * len(labels)
    known = evaluation_set(embeddings, labels, none, none, metric, gallery_ids=gallery_ids)
    return LEAVE_ONE_OUT.evaluate(known)
