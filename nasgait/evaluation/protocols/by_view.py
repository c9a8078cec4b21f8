"""CASIA-B and OU-MVLP with one gallery for each view (Chao et al., GaitSet, 2019).

As in OpenGait, SPOSGait and HSTL, every pair of a probe view and a gallery view is a cell,
rounded to two decimals, and the tables are means of cells, with and without the pairs of
identical views.
"""

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
class ByViewOutcome(ConditionOutcome):
    """A gallery for each view: the arrays of ``retrieval`` are [k, v]."""

    @property
    def hits(self) -> Floats:
        """[k] share of the galleries of other views whose nearest sequence is right."""
        return self._other_views((self.retrieval.first_hit == 0).astype(np.float64))

    @property
    def ap(self) -> Floats:
        """[k] mean average precision over the galleries of other views."""
        return self._other_views(self.retrieval.ap)

    def _other_views(self, values: Floats) -> Floats:
        """Mean of [k, v] over the views that are not the probe's own."""
        own = np.take_along_axis(values, self.split.view[:, None], axis=1)[:, 0]
        return (values.sum(axis=1) - own) / (values.shape[1] - 1)

    def cells(self, rank: int = 1) -> Floats:
        """Return rank-k in percent, [conditions, probe views, gallery views]."""
        return self._cells(self._within(rank), np.ones_like(self.found))

    def _within(self, rank: int) -> NDArray[np.bool_]:
        """[k, v] whether the first match is among the nearest ``rank``."""
        return self.found & (self.retrieval.first_hit < rank)

    def _cells(self, scores: NDArray[Any], counted: NDArray[np.bool_]) -> Floats:
        """Mean in percent of [k, v] for each condition and probe view, rounded.

        Only what is ``counted``, [k, v], is; NaN where nothing is.
        """
        cells = self.split.cells
        sums = np.array(
            [[scores[rows].sum(0, where=counted[rows]) for rows in row] for row in cells]
        )
        counts = np.array([[counted[rows].sum(0) for rows in row] for row in cells])
        with np.errstate(invalid="ignore"):
            return np.round(sums * 100 / counts, 2)

    def tables(self, counted: NDArray[np.bool_]) -> dict[str, dict[str, Any]]:
        """Return the table of each condition, in percent, over the searches ``counted``, [k, v].

        ``rank1``, ``rank5``, ``map`` and ``per_view``, the rank-1 of each probe view,
        leave identical views out; ``rank1_with_identical_view`` does not.
        """
        rank1, rank5 = (self._cells(self._within(rank), counted) for rank in (1, 5))
        precision = self._cells(self.retrieval.ap, counted)
        return {
            name: {
                "rank1": float(known_mean(off_diagonal(rank1[c]))),
                "rank1_with_identical_view": float(known_mean(rank1[c])),
                "per_view": self.by_view(off_diagonal(rank1[c])),
                "rank5": float(known_mean(off_diagonal(rank5[c]))),
                "map": float(known_mean(off_diagonal(precision[c]))),
            }
            for c, name in enumerate(self.split.conditions)
        }

    def cmc(self, top: int = 20) -> Floats:
        """Return rank-1 to rank-``top``, identical views excluded, mean over conditions, [top]."""
        ranks = (self.cells(rank) for rank in range(1, top + 1))
        return np.array([np.mean([off_diagonal(cell).mean() for cell in rank]) for rank in ranks])


class ByView(ConditionProtocol):
    """Searches the gallery of one view at a time."""

    def outcome(self, sequences: EvaluationSet) -> ByViewOutcome:
        """Search the galleries of all views; raises as :meth:`split` does."""
        split = self.split(sequences)
        gallery_views = sequences.views[split.gallery]
        found = [
            sequences.search(split.probes, split.gallery[gallery_views == view], self.title)
            for view in split.views
        ]
        retrieval = Retrieval(
            np.stack([one.first_hit for one in found], axis=1),
            np.stack([one.ap for one in found], axis=1),
            np.stack([one.inp for one in found], axis=1),
        )
        labels, remarks = sequences.labels[split.probes], self.remarks(sequences, split)
        return ByViewOutcome(split.probes, labels, retrieval, split, remarks=remarks)


def off_diagonal(cells: Floats) -> Floats:
    """Mean of what is known of each row of [v, v] without its own view, [v]."""
    others = cells.copy()
    np.fill_diagonal(others, np.nan)
    means: Floats = known_mean(others, axis=1)
    return means


CASIA_B = ByView(
    name="casia-b",
    description="CASIA-B: nm-05/06, bg and cl against nm-01 to nm-04 of one view at a time",
    probe_types={"nm": ("nm-05", "nm-06"), "bg": ("bg-01", "bg-02"), "cl": ("cl-01", "cl-02")},
    gallery_types=("nm-01", "nm-02", "nm-03", "nm-04"),
)
OUMVLP = ByView(
    name="oumvlp",
    description="OU-MVLP: 00 against 01 of one view at a time",
    probe_types={"nm": ("00",)},
    gallery_types=("01",),
)
