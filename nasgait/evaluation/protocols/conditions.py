"""What the protocols of CASIA-B and OU-MVLP share: conditions, and views that are compared."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nasgait.core.errors import DataError
from nasgait.evaluation.evaluation_set import (
    EvaluationSet,
    Outcome,
    Positions,
    Strings,
    listed_types,
)
from nasgait.evaluation.protocols.base import Protocol

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ViewSplit:
    """Probes by condition and view, and the gallery; positions are those in the set."""

    conditions: tuple[str, ...]
    views: Strings
    """[v] sorted."""
    probes: Positions
    """[k]."""
    condition: NDArray[np.int64]
    """[k] of each probe, a place in ``conditions``."""
    view: NDArray[np.int64]
    """[k] of each probe, a place in ``views``."""
    gallery: Positions
    """[m]."""

    def cells(self) -> list[list[NDArray[np.int64]]]:
        """The probes, numbered from 0, of each condition and view."""
        return [
            [
                np.flatnonzero((self.condition == condition) & (self.view == view))
                for view in range(len(self.views))
            ]
            for condition in range(len(self.conditions))
        ]


@dataclass(frozen=True)
class ConditionOutcome(Outcome):
    """Tables for each condition; single numbers are means over conditions."""

    split: ViewSplit

    def summary(self) -> dict[str, float]:
        """Return ``rank1``, ``rank5`` and ``map``, means over the conditions, in percent.

        Identical views are excluded.  With several conditions ``rank1_nm`` and so on
        are the rank-1 of each.
        """
        tables = self.metrics()
        means = {
            name: float(np.mean([table[name] for table in tables.values()]))
            for name in ("rank1", "rank5", "map")
        }
        if len(tables) > 1:
            means |= {f"rank1_{name}": table["rank1"] for name, table in tables.items()}
        return means

    def by_view(self, values: Floats) -> dict[str, float]:
        """Values [v] by the names of the views."""
        return dict(zip(self.split.views.tolist(), values.tolist(), strict=True))


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

        Raises:
            DataError: fewer than two views, or a view without a gallery or without probes of
                one of the conditions: the mean over its cell would be empty.
        """
        number = {kind: c for c, kinds in enumerate(self.probe_types.values()) for kind in kinds}
        probes = np.flatnonzero(np.isin(sequences.types, list(number)))
        gallery = np.flatnonzero(np.isin(sequences.types, self.gallery_types))
        views = np.unique(sequences.views[np.concatenate([probes, gallery])])
        types = sequences.types[probes].tolist()
        split = ViewSplit(
            conditions=tuple(self.probe_types),
            views=views,
            probes=probes,
            condition=np.array([number[kind] for kind in types], np.int64),
            view=np.searchsorted(views, sequences.views[probes]),
            gallery=gallery,
        )
        self._check(sequences, split)
        return split

    def _check(self, sequences: EvaluationSet, split: ViewSplit) -> None:
        """Raise DataError for a cell without sequences."""
        for c, (name, kinds) in enumerate(self.probe_types.items()):
            if not (split.condition == c).any():
                raise DataError(
                    f"{self.title}: no {name} probe ({', '.join(kinds)}) among "
                    f"{listed_types(sequences)}"
                )
        if not len(split.gallery):
            raise DataError(
                f"{self.title}: no gallery sequence ({', '.join(self.gallery_types)}) among "
                f"{listed_types(sequences)}"
            )
        if len(split.views) < 2:
            raise DataError(
                f"{self.title}: all sequences are of view {split.views[0]}; it compares views, "
                "so it needs two"
            )
        for v, view in enumerate(split.views):
            for name, cells in zip(split.conditions, split.cells(), strict=True):
                if not len(cells[v]):
                    raise DataError(f"{self.title}: no {name} probe of view {view}")
            if not (sequences.views[split.gallery] == view).any():
                raise DataError(f"{self.title}: no gallery sequence of view {view}")
