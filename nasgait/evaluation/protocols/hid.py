"""HID: the unlabelled probes against all labelled sequences."""

import numpy as np

from nasgait.data.index import UNLABELLED
from nasgait.evaluation.evaluation_set import EvaluationSet, Outcome, Positions, Strings
from nasgait.evaluation.protocols.base import Protocol
from nasgait.evaluation.submission import Submission


class Hid(Protocol):
    """Evaluates only where the probes' true labels are given."""

    def probes_and_gallery(self, sequences: EvaluationSet) -> tuple[Positions, Positions]:
        """Return the sequences labelled ``probe``, and all others."""
        probes, gallery = SUBMISSION.probes_and_gallery(sequences)
        sequences.require(probes, gallery, SUBMISSION.title)
        return probes, gallery

    def outcome(self, sequences: EvaluationSet) -> Outcome:
        """Evaluate the probes by their true labels."""
        return SUBMISSION.evaluate(sequences)


def videos(sequences: EvaluationSet, probes: Positions) -> Strings:
    """Names of the probes' videos."""
    # OpenGait's preparation names the video in the type, its submission reads the view:
    # whichever distinguishes the probes is meant.
    types, views = sequences.types[probes], sequences.views[probes]
    return types if len(np.unique(types)) >= len(np.unique(views)) else views


SUBMISSION = Submission(
    title=f"HID (probes labelled {UNLABELLED}, all others the gallery)",
    columns=("videoID", "label"),
    split=lambda sequences: (sequences.labels == UNLABELLED, sequences.labels != UNLABELLED),
    videos=videos,
    identity=str,
)
"""Names the identity of the nearest gallery sequence."""

HID = Hid(
    name="hid",
    description="HID: unlabelled probes against all others by submission or true labels",
    options=("truth", "rerank"),
    required={"truth": "has unlabelled probes only; give their true labels"},
    submission=SUBMISSION,
)
