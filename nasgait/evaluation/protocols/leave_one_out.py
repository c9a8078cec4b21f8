"""Leave-one-out: every sequence is looked for among all others."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nasgait.core.errors import ConfigError, DataError
from nasgait.evaluation.evaluation_set import (
    EvaluationSet,
    Outcome,
    Positions,
    Strings,
    evaluation_set,
    search_gallery,
)
from nasgait.evaluation.metrics import join
from nasgait.evaluation.protocols.base import Protocol


class LeaveOneOut(Protocol):
    """Looks for every sequence among all others of its gallery.

    The sorted identities are split into galleries of ``gallery_ids`` consecutive ones, or
    slightly fewer where that does not come out even.  A sequence that is the only one of its
    identity is in the gallery, but is no probe.
    """

    def probes_and_gallery(self, sequences: EvaluationSet) -> tuple[Positions, Positions]:
        """Return the sequences whose identity has another one, and all sequences.

        Raises:
            DataError: fewer than two identities, or none with two sequences.
        """
        _, codes, counts = np.unique(sequences.labels, return_inverse=True, return_counts=True)
        if len(counts) < 2 or counts.max() < 2:
            raise DataError(
                f"{self.name}: {len(counts)} identities with at most {max(counts, default=0)} "
                "sequences; it needs two identities, one of them with two sequences"
            )
        return np.flatnonzero(counts[codes] > 1), np.arange(len(codes))

    def outcome(self, sequences: EvaluationSet) -> Outcome:
        """Search each gallery; ConfigError for ``gallery_ids`` below 2."""
        probes, _ = self.probes_and_gallery(sequences)
        names, codes = np.unique(sequences.labels, return_inverse=True)
        size = len(names) if sequences.gallery_ids is None else sequences.gallery_ids
        if size < 2:
            raise ConfigError(f"gallery_ids: must be at least 2, not {size}")
        galleries = np.array_split(np.arange(len(names)), -(-len(names) // size))
        found, order = [], []
        for members in galleries:
            chosen = probes[np.isin(codes[probes], members)]
            if len(chosen):
                gallery = np.flatnonzero(np.isin(codes, members))
                found.append(search_gallery(sequences, chosen, gallery, self.name))
                order.append(chosen)
        retrieval = join(found)[np.argsort(np.concatenate(order))]
        return Outcome(probes, sequences.labels[probes], retrieval)


LEAVE_ONE_OUT = LeaveOneOut(
    name="leave-one-out",
    description="any dataset: each sequence against all others",
    options=("gallery_ids",),
)


def leave_one_out(
    embeddings: NDArray[np.float32],
    labels: Sequence[str] | Strings,
    metric: str = "euc",
    gallery_ids: int | None = None,
) -> Outcome:
    """Evaluate embeddings [n, c, p] of identities [n] by leave-one-out.

    Raises:
        ConfigError: ``gallery_ids`` below 2, or unknown metric.
        DataError: NaN embeddings, fewer than two identities, or none with two sequences.
    """
    unused = [""] * len(labels)
    sequences = evaluation_set(embeddings, labels, unused, unused, metric, gallery_ids=gallery_ids)
    return LEAVE_ONE_OUT.evaluate(sequences)
