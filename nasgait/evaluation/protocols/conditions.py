"""What the protocols of CASIA-B and OU-MVLP share: conditions, and views that are compared."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nasgait.core.errors import DataError
from nasgait.evaluation.evaluation_set import EvaluationSet, Outcome, Positions, Strings
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

    def summary(self) -> dict[str, float]:
        """Return ``rank1``, ``rank5`` and ``map``, means over the conditions, in percent.

        With several conditions, ``rank1_nm`` and so on are the rank-1 of each.
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
        probe_types = [kind for kinds in self.probe_types.values() for kind in kinds]
        probes = np.flatnonzero(np.isin(sequences.types, probe_types))
        gallery = np.flatnonzero(np.isin(sequences.types, self.gallery_types))
        types, views = sequences.types[probes], sequences.views[probes]
        names = np.unique(sequences.views[np.concatenate([probes, gallery])])
        cells = [
            [np.flatnonzero(np.isin(types, kinds) & (views == name)) for name in names]
            for kinds in self.probe_types.values()
        ]
        self._check(sequences, names)
        view = np.searchsorted(names, views)
        return ViewSplit(tuple(self.probe_types), names, probes, gallery, view, cells)

    def _check(self, sequences: EvaluationSet, views: Strings) -> None:
        """Raise DataError for a cell without sequences."""
        roles = {f"{name} probe": kinds for name, kinds in self.probe_types.items()}
        roles["gallery sequence"] = self.gallery_types
        seen = {}
        for role, kinds in roles.items():
            seen[role] = set(sequences.views[np.isin(sequences.types, kinds)].tolist())
            if not seen[role]:
                known = f"{role} ({', '.join(kinds)}) among {sequences.overview()}"
                raise DataError(f"{self.title}: no {known}")
        if len(views) < 2:
            raise DataError(f"{self.title}: needs two views, all sequences are of view {views[0]}")
        for view in views.tolist():
            for role in roles:
                if view not in seen[role]:
                    raise DataError(f"{self.title}: no {role} of view {view}")
