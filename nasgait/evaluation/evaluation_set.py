"""What a protocol is given, the search of a gallery, and what comes of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasgait.core.errors import DataError
from nasgait.data.index import Sequence as RowOfStore
from nasgait.evaluation.distance import blocks, check_embeddings
from nasgait.evaluation.metrics import Retrieval, cmc, join, rates, retrieve
from nasgait.evaluation.rerank import reranked

Strings = NDArray[np.str_]


@dataclass(frozen=True)
class Trial:
    """Embedded sequences and what is known about them; checked by :func:`trial`."""

    embeddings: NDArray[np.float32]
    """[n, c, p]."""
    labels: Strings
    """[n] identities."""
    types: Strings
    """[n] types, e.g. ``01``, ``nm-05``."""
    views: Strings
    """[n] views, e.g. ``090``."""
    metric: str
    """``euc`` or ``cos``."""
    probes: frozenset[str] | None = None
    """Keys ``label-type-view`` of the probes, for protocols that list them."""
    gallery_ids: int | None = None
    """Identities in each disjoint gallery of leave-one-out; all in one by default."""
    distractors: bool = False
    """Whether GREW's distractors are in the gallery."""
    rerank: bool = False
    """Whether galleries are re-ranked by k-reciprocal neighbours."""


def trial(
    embeddings: NDArray[np.float32],
    labels: Sequence[str] | Strings,
    types: Sequence[str],
    views: Sequence[str],
    metric: str = "euc",
    probes: Sequence[str] | None = None,
    gallery_ids: int | None = None,
    distractors: bool = False,
    rerank: bool = False,
) -> Trial:
    """Check that embeddings and labels belong together.

    Args:
        embeddings: float32 [n, c, p].
        labels, types, views: [n] each.
        metric: ``euc`` or ``cos``, mean over parts.
        probes: ``gait3d`` only: keys ``label-type-view`` of the probes.
        gallery_ids: ``leave-one-out`` only: identities in each disjoint gallery.
        distractors: ``grew`` only: put those of type 04 in the gallery.
        rerank: ``grew``, ``gait3d`` and ``hid`` only: re-rank by k-reciprocal neighbours.

    Raises:
        DataError: NaN embeddings, or other numbers of labels than of embeddings.
    """
    check_embeddings(embeddings)
    for name, given in (("labels", labels), ("types", types), ("views", views)):
        if len(given) != len(embeddings):
            raise DataError(f"{len(given)} {name} for {len(embeddings)} embeddings: one for each")
    return Trial(
        embeddings,
        np.asarray(labels, dtype=np.str_),
        np.asarray(types, dtype=np.str_),
        np.asarray(views, dtype=np.str_),
        metric,
        None if probes is None else frozenset(probes),
        gallery_ids,
        distractors,
        rerank,
    )


def unembedded(
    sequences: Iterable[RowOfStore],
    probes: frozenset[str] | None = None,
    distractors: bool = False,
) -> Trial:
    """What is known of sequences before they are embedded, to see whether they can be judged."""
    names = [(row.label, row.type, row.view) for row in sequences]
    labels, types, views = np.array(names, dtype=np.str_).reshape(-1, 3).T
    nothing = np.empty((len(names), 0, 0), np.float32)
    return Trial(nothing, labels, types, views, "euc", probes, distractors=distractors)


@dataclass(frozen=True)
class Outcome:
    """The result of every probe, and the table made of it."""

    probes: NDArray[np.int64]
    """[k] positions of the probes in the sequences judged."""
    labels: Strings
    """[k] their identities: the clusters of paired statistics."""
    retrieval: Retrieval
    """Place of the first hit and average precision of each."""

    @property
    def hits(self) -> NDArray[np.float64]:
        """[k] 1 where the nearest gallery sequence is right, else 0."""
        return (self.retrieval.first_hit == 0).astype(np.float64)

    @property
    def ap(self) -> NDArray[np.float64]:
        """[k] average precision, 0..1."""
        return self.retrieval.ap

    def rates(self) -> dict[str, Any]:
        """Return the protocol's table, in percent."""
        return dict(rates(self.retrieval))

    def summary(self) -> dict[str, float]:
        """Return single figures, in percent: those that networks are compared by."""
        return self.rates()

    def cmc(self, top: int = 20) -> NDArray[np.float64]:
        """Return rank-1 to rank-``top`` in percent, [top]."""
        return cmc(self.retrieval, top)


def search_gallery(
    subject: Trial,
    probes: NDArray[np.int64],
    gallery: NDArray[np.int64],
    what: str,
    other_views: bool = False,
) -> Retrieval:
    """Rank the gallery for each probe.

    A sequence that is probe and in the gallery never meets itself.

    Args:
        subject: the sequences.
        probes: their positions in it, [k].
        gallery: positions, [m].
        what: names the search in messages.
        other_views: a probe's own identity is in the gallery from other views only.

    Raises:
        DataError: no probes, or an empty gallery.
    """
    require_both(subject, probes, gallery, what)
    embeddings, labels, views = subject.embeddings, subject.labels, subject.views
    ranking = reranked if subject.rerank else blocks
    parts = []
    for part, block in ranking(embeddings[probes], embeddings[gallery], subject.metric):
        chosen = probes[part]
        excluded = chosen[:, None] == gallery
        if other_views:
            same_view = views[chosen][:, None] == views[gallery]
            excluded |= same_view & (labels[chosen][:, None] == labels[gallery])
        parts.append(retrieve(block, labels[chosen], labels[gallery], excluded=excluded))
    return join(parts)


def require_both(
    subject: Trial, probes: NDArray[np.int64], gallery: NDArray[np.int64], what: str
) -> None:
    """Raise DataError where there is nothing to look for, or nowhere to look."""
    for name, chosen in (("probe", probes), ("gallery sequence", gallery)):
        if not len(chosen):
            types = ", ".join(np.unique(subject.types)[:20].tolist()) or "none"
            raise DataError(
                f"{what}: no {name} among {len(subject.types)} sequences, whose types are {types}"
            )
