"""CASIA-B and OU-MVLP: one rate for each condition, probe view and gallery view.

``casia-b`` and ``oumvlp`` search the gallery of one view at a time (Chao et al., GaitSet,
2019; OpenGait, SPOSGait and HSTL alike): every pair of a probe view and a gallery view is
a cell, rounded to two decimals, and the tables are means of cells, with and without the
pairs of identical views.

``casia-b-cross-view`` and ``oumvlp-cross-view`` search the gallery of all views at once,
without the probe's own identity from its own view (Hou et al., 2022; OpenGait's
``cross_view_gallery``), and have one cell for each probe view.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasgait.core.errors import DataError
from nasgait.evaluation.evaluation_set import Outcome, Strings, Trial, search_gallery
from nasgait.evaluation.metrics import Retrieval

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Plan:
    """Which types are probes, by condition, and which the gallery."""

    probes: Mapping[str, tuple[str, ...]]
    gallery: tuple[str, ...]


PLANS = {
    "casia-b": Plan(
        {"nm": ("nm-05", "nm-06"), "bg": ("bg-01", "bg-02"), "cl": ("cl-01", "cl-02")},
        ("nm-01", "nm-02", "nm-03", "nm-04"),
    ),
    "oumvlp": Plan({"nm": ("00",)}, ("01",)),
    "casia-b-cross-view": Plan(
        {"nm": ("nm-01",), "bg": ("bg-01",), "cl": ("cl-01",)}, ("nm-02", "bg-02", "cl-02")
    ),
    "oumvlp-cross-view": Plan({"nm": ("00",)}, ("01",)),
}
"""The published division of each protocol."""


@dataclass(frozen=True)
class Cast:
    """The sequences of a trial that a plan uses."""

    conditions: tuple[str, ...]
    views: Strings
    """[v] sorted."""
    probes: NDArray[np.int64]
    """[k] positions in the trial."""
    condition: NDArray[np.int64]
    """[k] of each probe, a place in ``conditions``."""
    view: NDArray[np.int64]
    """[k] of each probe, a place in ``views``."""
    gallery: NDArray[np.int64]
    """[m] positions in the trial."""

    def rows(self, condition: int, view: int) -> NDArray[np.int64]:
        """The probes, numbered from 0, of a condition and a view."""
        return np.flatnonzero((self.condition == condition) & (self.view == view))


@dataclass(frozen=True)
class ConditionOutcome(Outcome):
    """Tables for each condition; single figures are means over conditions."""

    cast: Cast

    def summary(self) -> dict[str, float]:
        """Return ``rank1``, ``rank5`` and ``map``, means over the conditions, in percent.

        Identical views are excluded.  With several conditions ``rank1_nm`` and so on
        tell the rank-1 of each.
        """
        tables = self.rates()
        figures = {
            name: float(np.mean([table[name] for table in tables.values()]))
            for name in ("rank1", "rank5", "map")
        }
        if len(tables) > 1:
            figures |= {f"rank1_{name}": table["rank1"] for name, table in tables.items()}
        return figures

    def _per_view(self, rates: Floats) -> dict[str, float]:
        return dict(zip(self.cast.views.tolist(), rates.tolist(), strict=True))


@dataclass(frozen=True)
class ViewOutcome(ConditionOutcome):
    """A gallery for each view: the arrays of ``retrieval`` are [k, v]."""

    @property
    def hits(self) -> Floats:
        """[k] share of the galleries of other views whose nearest sequence is right."""
        return self._elsewhere((self.retrieval.first_hit == 0).astype(np.float64))

    @property
    def ap(self) -> Floats:
        """[k] mean average precision over the galleries of other views."""
        return self._elsewhere(self.retrieval.ap)

    def _elsewhere(self, values: Floats) -> Floats:
        """Mean of [k, v] over the views that are not the probe's own."""
        own = np.take_along_axis(values, self.cast.view[:, None], axis=1)[:, 0]
        return (values.sum(axis=1) - own) / (values.shape[1] - 1)

    def cells(self, rank: int = 1) -> Floats:
        """Return rank-k in percent, [conditions, probe views, gallery views]."""
        first = self.retrieval.first_hit
        return self._cells((first >= 0) & (first < rank))

    def _cells(self, scores: NDArray[Any]) -> Floats:
        """Mean in percent of [k, v] for each condition and probe view, rounded."""
        cast = self.cast
        chosen = [[cast.rows(c, v) for v in range(len(cast.views))] for c, _ in _named(cast)]
        sums = np.array([[scores[rows].sum(axis=0) for rows in row] for row in chosen])
        counts = np.array([[[len(rows)] for rows in row] for row in chosen])
        return np.round(sums * 100 / counts, 2)

    def rates(self) -> dict[str, Any]:
        """Return a table for each condition, in percent.

        ``rank1``, ``rank5`` and ``map`` leave identical views out, as do the rank-1 of
        each probe view, ``per_view``; ``rank1_with_identical_view`` does not.
        """
        rank1, rank5 = self.cells(1), self.cells(5)
        precision = self._cells(self.retrieval.ap)
        return {
            name: {
                "rank1": float(off_diagonal(rank1[c]).mean()),
                "rank1_with_identical_view": float(rank1[c].mean()),
                "per_view": self._per_view(off_diagonal(rank1[c])),
                "rank5": float(off_diagonal(rank5[c]).mean()),
                "map": float(off_diagonal(precision[c]).mean()),
            }
            for c, name in _named(self.cast)
        }

    def cmc(self, top: int = 20) -> Floats:
        """Return rank-1 to rank-``top``, identical views excluded, mean over conditions, [top]."""
        return np.array(
            [
                np.mean([off_diagonal(cell).mean() for cell in self.cells(rank)])
                for rank in range(1, top + 1)
            ]
        )


@dataclass(frozen=True)
class CrossViewOutcome(ConditionOutcome):
    """One gallery of all views: the arrays of ``retrieval`` are [k]."""

    def rates(self) -> dict[str, Any]:
        """Return ``rank1``, ``rank5``, ``map`` and both by view, for each condition, in percent.

        As published, a probe without a match counts in the ranks, not in ``map``.
        """
        rank1, rank5 = self.cells(1), self.cells(5)
        precision = self._cells(_mean_precision)
        return {
            name: {
                "rank1": float(rank1[c].mean()),
                "map": float(precision[c].mean()),
                "per_view": self._per_view(rank1[c]),
                "map_per_view": self._per_view(precision[c]),
                "rank5": float(rank5[c].mean()),
            }
            for c, name in _named(self.cast)
        }

    def cells(self, rank: int = 1) -> Floats:
        """Return rank-k in percent, [conditions, probe views]."""
        return self._cells(lambda cell: _share(cell, rank))

    def _cells(self, score: Callable[[Retrieval], float]) -> Floats:
        """Score of each condition and probe view, rounded."""
        cast = self.cast
        chosen = [[cast.rows(c, v) for v in range(len(cast.views))] for c, _ in _named(cast)]
        return np.array([[score(self.retrieval[rows]) for rows in row] for row in chosen]).round(2)

    def cmc(self, top: int = 20) -> Floats:
        """Return rank-1 to rank-``top``, mean over conditions, [top]."""
        return np.array([self.cells(rank).mean() for rank in range(1, top + 1)])


def off_diagonal(cells: Floats) -> Floats:
    """Mean of each row of [v, v] without its own view, [v]."""
    return (cells.sum(axis=1) - cells.diagonal()) / (len(cells) - 1)


def by_view(subject: Trial, protocol: str) -> ViewOutcome:
    """Judge by ``casia-b`` or ``oumvlp``; raises as :func:`cast_of` does."""
    cast = cast_of(subject, protocol)
    seen_from = subject.views[cast.gallery]
    found = [
        search_gallery(subject, cast.probes, cast.gallery[seen_from == view], protocol)
        for view in cast.views
    ]
    retrieval = Retrieval(
        np.stack([part.first_hit for part in found], axis=1),
        np.stack([part.ap for part in found], axis=1),
        np.stack([part.inp for part in found], axis=1),
    )
    return ViewOutcome(cast.probes, subject.labels[cast.probes], retrieval, cast)


def across_views(subject: Trial, protocol: str) -> CrossViewOutcome:
    """Judge by a cross-view protocol; raises as :func:`cast_of` does."""
    cast = cast_of(subject, protocol)
    found = search_gallery(subject, cast.probes, cast.gallery, protocol, other_views=True)
    return CrossViewOutcome(cast.probes, subject.labels[cast.probes], found, cast)


def cast_of(subject: Trial, protocol: str) -> Cast:
    """Who plays what in a protocol; sequences of other types are left out.

    Raises:
        DataError: fewer than two views, or a view without a gallery or without probes of
            one of the conditions: the cell would be empty.
    """
    plan = PLANS[protocol]
    named = {kind: c for c, kinds in enumerate(plan.probes.values()) for kind in kinds}
    probes = np.flatnonzero(np.isin(subject.types, list(named)))
    gallery = np.flatnonzero(np.isin(subject.types, plan.gallery))
    views = np.unique(subject.views[np.concatenate([probes, gallery])])
    cast = Cast(
        conditions=tuple(plan.probes),
        views=views,
        probes=probes,
        condition=np.array([named[kind] for kind in subject.types[probes].tolist()], np.int64),
        view=np.searchsorted(views, subject.views[probes]),
        gallery=gallery,
    )
    _check(subject, protocol, plan, cast)
    return cast


def _check(subject: Trial, protocol: str, plan: Plan, cast: Cast) -> None:
    """Raise DataError for a cell without sequences."""
    types = ", ".join(np.unique(subject.types)[:20].tolist())
    found = f"{len(subject.types)} sequences, whose types are {types}"
    for c, name in _named(cast):
        if not (cast.condition == c).any():
            kinds = ", ".join(plan.probes[name])
            raise DataError(f"protocol {protocol}: no {name} probe ({kinds}) among {found}")
    if not len(cast.gallery):
        kinds = ", ".join(plan.gallery)
        raise DataError(f"protocol {protocol}: no gallery sequence ({kinds}) among {found}")
    if len(cast.views) < 2:
        raise DataError(
            f"protocol {protocol}: all sequences are of view {cast.views[0]}; it compares views, "
            "so it needs two"
        )
    for v, view in enumerate(cast.views):
        for c, name in _named(cast):
            if not len(cast.rows(c, v)):
                raise DataError(f"protocol {protocol}: no {name} probe of view {view}")
        if not (subject.views[cast.gallery] == view).any():
            raise DataError(f"protocol {protocol}: no gallery sequence of view {view}")


def _named(cast: Cast) -> list[tuple[int, str]]:
    return list(enumerate(cast.conditions))


def _share(cell: Retrieval, rank: int) -> float:
    """Probes with a match among the first ``rank``, in percent."""
    return 100 * float(np.mean((cell.first_hit >= 0) & (cell.first_hit < rank)))


def _mean_precision(cell: Retrieval) -> float:
    """Mean average precision, in percent, of the probes that have a match; 0 if none has."""
    matched = cell.first_hit >= 0
    return 100 * float(cell.ap[matched].mean()) if matched.any() else 0.0
