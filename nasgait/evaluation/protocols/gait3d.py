"""Gait3D: a list of probes against all other sequences."""

import logging

import numpy as np

from nasgait.core.errors import DataError
from nasgait.evaluation.evaluation_set import EvaluationSet, Outcome, Positions
from nasgait.evaluation.protocols.base import Protocol

logger = logging.getLogger(__name__)


class Gait3D(Protocol):
    """Looks for the listed probes among all other sequences."""

    def probes_and_gallery(self, sequences: EvaluationSet) -> tuple[Positions, Positions]:
        """Return the listed sequences, and all others.

        Raises:
            DataError: the list names none or all of the sequences, or the gallery has the
                identity of no probe.
        """
        wanted, found = sequences.probes or frozenset(), keys(sequences)
        listed = np.array([key in wanted for key in found], dtype=bool)
        if not listed.any():
            raise DataError(
                f"{self.title}: none of the {len(wanted)} listed probes (e.g. "
                f"{min(wanted, default='none')}) is among the {len(found)} sequences (e.g. "
                f"{min(found, default='none')})"
            )
        probes, gallery = np.flatnonzero(listed), np.flatnonzero(~listed)
        sequences.require(probes, gallery, self.title)
        if not np.isin(sequences.labels[probes], sequences.labels[gallery]).any():
            raise DataError(f"{self.title}: the gallery has the identity of no probe")
        return probes, gallery

    def outcome(self, sequences: EvaluationSet) -> Outcome:
        """Search the gallery; as published, a probe whose identity it lacks is left out.

        Logs a warning about listed probes that are not among the sequences.
        """
        everyone = super().outcome(sequences)
        wanted = sequences.probes or frozenset()
        if missing := wanted.difference(keys(sequences)):
            count = f"{len(missing)} of {len(wanted)}"
            message = "%s: %s listed probes are not among the sequences, e.g. %s"
            logger.warning(message, self.title, count, min(missing))
        matched = np.flatnonzero(everyone.retrieval.first_hit >= 0)
        probes = everyone.probes[matched]
        return Outcome(probes, sequences.labels[probes], everyone.retrieval[matched])


def keys(sequences: EvaluationSet) -> list[str]:
    """The keys ``label-type-view`` of the sequences."""
    columns = (sequences.labels.tolist(), sequences.types.tolist(), sequences.views.tolist())
    return ["-".join(names) for names in zip(*columns, strict=True)]


GAIT3D = Gait3D(
    name="gait3d",
    description="Gait3D: the listed probes against all other sequences",
    options=("probes", "rerank"),
    required={"probes": "needs the list of its probes; give OpenGait's Gait3D.json"},
)
