"""CASIA-B and OU-MVLP with one gallery of all views (Hou et al., 2022).

As OpenGait's ``cross_view_gallery``: the probe's own identity is in the gallery from other
views only, and every probe view is a cell.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasgait.evaluation.evaluation_set import EvaluationSet
from nasgait.evaluation.metrics import Retrieval
from nasgait.evaluation.protocols.conditions import (
    ConditionOutcome,
    ConditionProtocol,
    Floats,
    known_mean,
)


@dataclass(frozen=True)
class CrossViewOutcome(ConditionOutcome):
    """One gallery of all views: the arrays of ``retrieval`` are [k]."""

    def tables(self, counted: NDArray[np.bool_]) -> dict[str, dict[str, Any]]:
        """Return ``rank1``, ``rank5``, ``map`` and both by view, for each condition, in percent.

        Over the probes ``counted``, [k].  As published, a probe without a match counts in the
        ranks, not in ``map``, which is 0 in a view where none has one.
        """
        rank1, rank5 = self.cells(1, counted), self.cells(5, counted)
        precision = self._cells(_mean_precision, counted)
        return {
            name: {
                "rank1": float(known_mean(rank1[c])),
                "map": float(known_mean(precision[c])),
                "per_view": self.by_view(rank1[c]),
                "map_per_view": self.by_view(precision[c]),
                "rank5": float(known_mean(rank5[c])),
            }
            for c, name in enumerate(self.split.conditions)
        }

    def _condition_note(self, condition: str, rates: bool) -> str:
        return (
            super()
            ._condition_note(condition, rates)
            .replace("misses", "misses in the ranks, not in mAP")
        )

    def cells(self, rank: int = 1, counted: NDArray[np.bool_] | None = None) -> Floats:
        """Return rank-k in percent, [conditions, probe views]."""
        return self._cells(
            lambda cell: 100 * float(np.mean((cell.first_hit >= 0) & (cell.first_hit < rank))),
            counted,
        )

    def _cells(
        self, metric: Callable[[Retrieval], float], counted: NDArray[np.bool_] | None
    ) -> Floats:
        """A metric of the probes counted (all by default) of each condition and view, rounded."""
        cells = [
            [rows if counted is None else rows[counted[rows]] for rows in row]
            for row in self.split.cells
        ]
        values = [[metric(self.retrieval[r]) if len(r) else np.nan for r in row] for row in cells]
        return np.array(values).round(2)

    def cmc(self, top: int = 20) -> Floats:
        """Return rank-1 to rank-``top``, mean over conditions, [top]."""
        return np.array([self.cells(rank).mean() for rank in range(1, top + 1)])


class CrossView(ConditionProtocol):
    """Searches the gallery of all views at once."""

    def outcome(self, sequences: EvaluationSet) -> CrossViewOutcome:
        """Search the gallery; raises as :meth:`split` does."""
        split = self.split(sequences)
        found = sequences.search(split.probes, split.gallery, self.title, other_views=True)
        labels, remarks = sequences.labels[split.probes], self.remarks(sequences, split)
        return CrossViewOutcome(split.probes, labels, found, split, remarks=remarks)


def _mean_precision(cell: Retrieval) -> float:
    """Mean average precision, in percent, of the probes that have a match; 0 if none has."""
    matched = cell.first_hit >= 0
    return 100 * float(cell.ap[matched].mean()) if matched.any() else 0.0


CASIA_B_CROSS_VIEW = CrossView(
    name="casia-b-cross-view",
    description="CASIA-B: nm-01, bg-01, cl-01 against nm-02, bg-02, cl-02 of all views at once",
    probe_types={"nm": ("nm-01",), "bg": ("bg-01",), "cl": ("cl-01",)},
    gallery_types=("nm-02", "bg-02", "cl-02"),
)
OUMVLP_CROSS_VIEW = CrossView(
    name="oumvlp-cross-view",
    description="OU-MVLP: 00 against 01 of all views at once",
    probe_types={"nm": ("00",)},
    gallery_types=("01",),
)
