"""Gait3D: a list of probes against all other sequences."""

import numpy as np

from nasgait.core.errors import DataError
from nasgait.evaluation.evaluation_set import EvaluationSet, Outcome, Positions, keys
from nasgait.evaluation.protocols.base import Protocol


class Gait3D(Protocol):
    """Looks for the listed probes among all other sequences."""

    def probes_and_gallery(self, sequences: EvaluationSet) -> tuple[Positions, Positions]:
        """Return the listed sequences, and all others.

        Raises:
            DataError: the list names none or all of the sequences, or the gallery has the
                identity of no probe.
        """
        wanted = sequences.probes or frozenset()
        found = keys(sequences.labels, sequences.types, sequences.views)
        listed = np.array([key in wanted for key in found], dtype=bool)
        if not listed.any():
            raise DataError(
                f"{self.title}: none of the {len(wanted)} listed probes (e.g. "
                f"{min(wanted, default='none')}) is among the {len(found)} sequences (e.g. "
                f"{min(found, default='none')})"
            )
        probes, gallery = np.flatnonzero(listed), np.flatnonzero(~listed)
        sequences.require(probes, gallery, self.title)
        sequences.require_match(probes, gallery, self.title)
        return probes, gallery

    def outcome(self, sequences: EvaluationSet) -> Outcome:
        """Search the gallery; as published, a probe whose identity it lacks is left out.

        Listed probes that are not among the sequences are a remark of the outcome.
        """
        everyone = super().outcome(sequences)
        wanted = sequences.probes or frozenset()
        remarks: tuple[str, ...] = ()
        if missing := wanted.difference(keys(sequences.labels, sequences.types, sequences.views)):
            count = f"{len(missing)} of {len(wanted)}"
            remarks = (f"{count} listed probes are not among the sequences, e.g. {min(missing)}",)
        matched = np.flatnonzero(everyone.found)
        probes = everyone.probes[matched]
        lost = len(everyone.probes) - len(probes)
        found, labels = everyone.retrieval[matched], sequences.labels[probes]
        return Outcome(probes, labels, found, left_out=lost, remarks=remarks)


GAIT3D = Gait3D(
    name="gait3d",
    description="Gait3D: the listed probes against all other sequences",
    options=("probes", "rerank"),
    required={"probes": "needs the list of its probes; give OpenGait's Gait3D.json"},
)
