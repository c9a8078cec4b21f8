"""What a protocol is; each other file of this package holds the protocols of one family."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from nasgait.core.errors import ConfigError
from nasgait.evaluation.evaluation_set import EvaluationSet, Outcome, Positions
from nasgait.evaluation.submission import Submission

OPTIONS = {
    "truth": "has unlabelled probes",
    "gallery_ids": "splits its gallery",
    "probes": "lists its probes",
    "distractors": "has distractors",
    "rerank": "re-ranks",
}
"""Settings that only some protocols accept, and what distinguishes these protocols."""


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """Which sequences are probes, which the gallery, and what is reported."""

    name: str
    """What configurations and ``--protocol`` call it."""
    description: str
    """Probes and gallery in a line, for people."""
    options: tuple[str, ...] = ()
    """Which of ``OPTIONS`` it accepts."""
    required: Mapping[str, str] = field(default_factory=dict)
    """Options that it cannot do without, and what to do about a missing one."""
    submission: Submission | None = None
    """Its unlabelled probes and the table to submit, where it has any."""

    @property
    def title(self) -> str:
        """What messages call it."""
        return f"protocol {self.name}"

    def probes_and_gallery(self, sequences: EvaluationSet) -> tuple[Positions, Positions]:
        """Return the positions of probes and gallery; embeddings are not looked at.

        Raises:
            DataError: sequences that cannot be evaluated by this protocol.
        """
        raise NotImplementedError

    def evaluate(self, sequences: EvaluationSet) -> Outcome:
        """Find every probe in the gallery.

        Raises:
            ConfigError: unknown metric, re-ranking where there is none, or a missing option.
            DataError: as :meth:`probes_and_gallery`.
        """
        if sequences.rerank and "rerank" not in self.options:
            raise ConfigError(f"rerank: protocol {self.name} has no re-ranking")
        for option, advice in self.required.items():
            if not getattr(sequences, option):
                raise ConfigError(f"{option}: protocol {self.name} {advice}")
        outcome = self.outcome(sequences)
        return replace(outcome, remarks=(*outcome.remarks, *sequences.remarks()))

    def outcome(self, sequences: EvaluationSet) -> Outcome:
        """What :meth:`evaluate` returns, once its options are checked."""
        probes, gallery = self.probes_and_gallery(sequences)
        found = sequences.search(probes, gallery, self.title)
        return Outcome(probes, sequences.labels[probes], found)
