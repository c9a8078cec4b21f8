"""What the protocols of CASIA-B and OU-MVLP share: conditions, and views that are compared."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasgait.core.errors import DataError
from nasgait.evaluation.evaluation_set import (
    MATCHED,
    EvaluationSet,
    Outcome,
    Positions,
    Strings,
    without_them,
)
from nasgait.evaluation.protocols.base import Protocol

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ViewSplit:
    """Probes by condition and view, and the gallery; positions are those in the set."""

    conditions: tuple[str, ...]
    """Those that have probes."""
    missing: tuple[str, ...]
    """The protocol's other conditions."""
    views: Strings
    """[v] sorted."""
    probes: Positions
    """[k]."""
    gallery: Positions
    """[m]."""
    view: NDArray[np.int64]
    """[k] view of each probe, a place in ``views``."""
    cells: list[list[NDArray[np.int64]]]
    """Probes of each condition and view, as places in ``probes``."""


@dataclass(frozen=True)
class ConditionOutcome(Outcome):
    """Tables for each condition; single numbers are means over conditions."""

    split: ViewSplit

    def tables(self, counted: NDArray[np.bool_]) -> dict[str, dict[str, Any]]:
        """Return the table of each condition over the searches ``counted``, in percent.

        ``counted`` has the shape of ``found``; a cell without any is left out of the means.
        """
        raise NotImplementedError

    def metrics(self) -> dict[str, Any]:
        """Return a table for each condition that has probes, in percent.

        Where probes have no match, the table also has their number, ``unmatched_probes``, that of
        the searches without a match, ``unmatched_searches``, and the metrics without these,
        ``matched``.  ``missing_conditions`` lists the conditions without probes, if any.
        """
        whole: dict[str, Any] = self.tables(np.ones_like(self.found))
        matched = self._matched()
        for condition, table in whole.items():
            lost = self._lost(condition)
            if lost.any():
                table["unmatched_probes"] = int(np.count_nonzero(lost.any(axis=1)))
                table["unmatched_searches"] = int(np.count_nonzero(lost))
                if condition in matched:
                    table["matched"] = matched[condition]
        if self.split.missing:
            whole["missing_conditions"] = list(self.split.missing)
        return whole

    def summary(self) -> dict[str, Any]:
        """Return ``rank1``, ``rank5`` and ``map``, means over the conditions, in percent.

        Where the protocol has several conditions, ``rank1_nm`` and so on are the rank-1 of each.
        """
        tables = self.tables(np.ones_like(self.found))
        means = self._means(tables)
        if len(tables) + len(self.split.missing) > 1:
            means |= {f"rank1_{name}": table["rank1"] for name, table in tables.items()}
        return means

    def without_unmatched(self) -> dict[str, float]:
        """Return the means over the conditions that have a match; empty if none has."""
        return self._means(self._matched())

    def _matched(self) -> dict[str, dict[str, Any]]:
        """The tables of the searches that have a match, of the conditions that have any."""
        tables = self.tables(self.found)
        return {name: table for name, table in tables.items() if np.isfinite(table["rank1"])}

    def notes(self, rates: bool = True) -> list[str]:
        """What has to be said beside the tables: missing conditions, probes without a match."""
        found = (self._condition_note(name, rates) for name in self.split.conditions)
        return [*self.remarks, *filter(None, found)]

    def _condition_note(self, condition: str, rates: bool) -> str:
        """The probes of a condition that have no match; empty without any."""
        lost, where = self._lost(condition), "in the gallery"
        if not lost.any():
            return ""
        if lost.shape[1] > 1:
            searches = f"{np.count_nonzero(lost)} of {lost.size} searches"
            where = f"in the gallery of one view or more ({searches} of a probe in a view)"
        matched = self._matched().get(condition, {}) if rates else {}
        return (
            f"{condition}: {np.count_nonzero(lost.any(axis=1))} of {len(lost)} probes have no "
            f"match {where} and count as misses{without_them(matched)}"
        )

    def _means(self, tables: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
        """Means of the single numbers over the conditions; empty without any."""
        found = {name: [table[name] for table in tables.values()] for name in MATCHED}
        return {name: float(np.mean(values)) for name, values in found.items() if values}

    def _lost(self, condition: str) -> NDArray[np.bool_]:
        """[probes of the condition, searches of each] True where there is no match."""
        rows = np.concatenate(self.split.cells[self.split.conditions.index(condition)])
        return ~self.found.reshape(len(self.probes), -1)[rows]

    def by_view(self, values: Floats) -> dict[str, float]:
        """Values [v] by the names of the views; those without a value are left out."""
        named = zip(self.split.views.tolist(), values.tolist(), strict=True)
        return {view: value for view, value in named if np.isfinite(value)}


def known_mean(values: Floats, axis: int | None = None) -> Any:
    """Mean of what is not NaN along ``axis`` or altogether; NaN where nothing is known."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0).sum(axis=axis) / known.sum(axis=axis)


@dataclass(frozen=True, kw_only=True)
class ConditionProtocol(Protocol):
    """Compares views, for each condition (``nm``, ``bg``, ``cl``)."""

    probe_types: Mapping[str, tuple[str, ...]]
    """Types of the probes, by condition."""
    gallery_types: tuple[str, ...]
    """Types of the gallery."""

    def probes_and_gallery(self, sequences: EvaluationSet) -> tuple[Positions, Positions]:
        """Return the sequences of these types; raises as :meth:`split` does."""
        split = self.split(sequences)
        return split.probes, split.gallery

    def split(self, sequences: EvaluationSet) -> ViewSplit:
        """Sort sequences by condition and view; those of other types are left out.

        Conditions without any probe are missing ones.

        Raises:
            DataError: no condition has probes, no gallery, no probe with a match, fewer than two
                views, or a view without a gallery or without probes of one of the conditions that
                there are: the mean over its cell would be empty.
        """
        types = sequences.types
        present = {
            name: kinds for name, kinds in self.probe_types.items() if np.isin(types, kinds).any()
        }
        probes = np.flatnonzero(np.isin(types, [k for kinds in present.values() for k in kinds]))
        gallery = np.flatnonzero(np.isin(types, self.gallery_types))
        names = np.unique(sequences.views[np.concatenate([probes, gallery])])
        self._check(sequences, present, names)
        sequences.require_match(probes, gallery, self.title)
        kind, views = types[probes], sequences.views[probes]
        cells = [
            [np.flatnonzero(np.isin(kind, kinds) & (views == name)) for name in names]
            for kinds in present.values()
        ]
        missing = tuple(name for name in self.probe_types if name not in present)
        view = np.searchsorted(names, views)
        return ViewSplit(tuple(present), missing, names, probes, gallery, view, cells)

    def remarks(self, sequences: EvaluationSet, split: ViewSplit) -> tuple[str, ...]:
        """What the sequences lack of the protocol's, a sentence each."""
        found = []
        if split.missing:
            lacking = self._in_words(split.missing)
            found.append(
                f"missing_conditions: no probes of {lacking} among the sequences; means are over "
                f"{', '.join(split.conditions)}"
            )
        kinds = [k for name in split.conditions for k in self.probe_types[name]]
        known = dict.fromkeys([*kinds, *self.gallery_types])
        if absent := [kind for kind in known if kind not in set(sequences.types.tolist())]:
            found.append(
                f"{self.title} also uses sequences of type {', '.join(absent)}; there are none, so "
                "the metrics are not those of the whole protocol"
            )
        return tuple(found)

    def _in_words(self, conditions: tuple[str, ...]) -> str:
        """Conditions with the types of their probes."""
        return ", ".join(f"{name} ({', '.join(self.probe_types[name])})" for name in conditions)

    def _check(
        self,
        sequences: EvaluationSet,
        present: Mapping[str, tuple[str, ...]],
        views: Strings,
    ) -> None:
        """Raise DataError where there are no probes, no gallery, or a cell without sequences."""
        if not present:
            (first, kinds), *others = self.probe_types.items()
            nor = self._in_words(tuple(name for name, _ in others))
            raise DataError(
                f"{self.title}: no {first} probe ({', '.join(kinds)}) among {sequences.overview()}"
                + (f"; nor any of {nor}" if nor else "")
            )
        roles = {f"{name} probe": kinds for name, kinds in present.items()}
        roles["gallery sequence"] = self.gallery_types
        seen = {
            role: set(sequences.views[np.isin(sequences.types, kinds)].tolist())
            for role, kinds in roles.items()
        }
        if not seen["gallery sequence"]:
            known = f"({', '.join(self.gallery_types)}) among {sequences.overview()}"
            raise DataError(f"{self.title}: no gallery sequence {known}")
        instead = "leave-one-out takes any sequences"
        if len(views) < 2:
            raise DataError(
                f"{self.title}: needs two views, all sequences are of view {views[0]}; {instead}"
            )
        for view in views.tolist():
            for role in roles:
                if view not in seen[role]:
                    raise DataError(
                        f"{self.title}: no {role} of view {view}, but others of that view; leave "
                        f"the view out of the store, or evaluate otherwise: {instead}"
                    )
