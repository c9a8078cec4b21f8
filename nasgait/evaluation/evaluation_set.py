"""The sequences that a protocol evaluates, the search of a gallery, and its outcome."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasgait.core.errors import DataError
from nasgait.data.index import Sequence as StoredSequence
from nasgait.evaluation.distance import blocks, check_embeddings
from nasgait.evaluation.metrics import Retrieval, cmc, join, retrieval_metrics, retrieve
from nasgait.evaluation.rerank import reranked

Strings = NDArray[np.str_]
Positions = NDArray[np.int64]
"""Sequences, by their positions in an evaluation set."""


@dataclass(frozen=True)
class EvaluationSet:
    """Embedded sequences and what is known about them; checked by :func:`evaluation_set`."""

    embeddings: NDArray[np.float32]
    """[n, c, p]."""
    labels: Strings
    """[n] identities."""
    types: Strings
    """[n] types, e.g. ``01``, ``nm-05``."""
    views: Strings
    """[n] views, e.g. ``090``."""
    metric: str = "euc"
    """Distance: ``euc`` or ``cos``, mean over parts."""
    probes: frozenset[str] | None = None
    """Keys ``label-type-view`` of the probes, for protocols that list them."""
    gallery_ids: int | None = None
    """Identities in each of the galleries of leave-one-out; one gallery by default."""
    distractors: bool = False
    """Whether GREW's distractors are in the gallery."""
    rerank: bool = False
    """Whether galleries are re-ranked by k-reciprocal neighbours."""
    truth: Mapping[str, str] | None = None
    """True identity of each unlabelled probe, by the name of its video."""

    def distances(
        self, probes: Positions, gallery: Positions
    ) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """Yield slices of the probes with their distances [rows, m], re-ranked if wanted."""
        blocks_of = reranked if self.rerank else blocks
        return blocks_of(self.embeddings[probes], self.embeddings[gallery], self.metric)

    def search(
        self, probes: Positions, gallery: Positions, title: str, other_views: bool = False
    ) -> Retrieval:
        """Rank the gallery [m] for each probe [k]; a sequence is never compared with itself.

        ``title`` names the search in messages.  With ``other_views``, gallery sequences of the
        probe's identity from the probe's view are left out.

        Raises:
            ConfigError: unknown metric.
            DataError: no probes, or an empty gallery.
        """
        self.require(probes, gallery, title)
        labels, views, found = self.labels, self.views, []
        for rows, block in self.distances(probes, gallery):
            chosen = probes[rows]
            excluded = chosen[:, None] == gallery
            if other_views:
                same_view = views[chosen][:, None] == views[gallery]
                excluded |= same_view & (labels[chosen][:, None] == labels[gallery])
            found.append(retrieve(block, labels[chosen], labels[gallery], excluded=excluded))
        return join(found)

    def require(self, probes: Positions, gallery: Positions, title: str) -> None:
        """Raise DataError if there are no probes or no gallery."""
        for name, chosen in (("probe", probes), ("gallery sequence", gallery)):
            if not len(chosen):
                raise DataError(f"{title}: no {name} among {self.overview()}")

    def require_match(self, probes: Positions, gallery: Positions, title: str) -> None:
        """Raise DataError if no probe has its identity in the gallery: every metric would be 0."""
        if not np.isin(self.labels[probes], self.labels[gallery]).any():
            raise DataError(
                f"{title}: the gallery has the identity of no probe (probes e.g. "
                f"{self.labels[probes[0]]}, gallery e.g. {self.labels[gallery[0]]}); the two must "
                "name people alike"
            )

    def remarks(self) -> tuple[str, ...]:
        """What is strange about the embeddings: several sequences share one."""
        counts = Counter(hash(embedding.tobytes()) for embedding in self.embeddings)
        shared = sum(count for count in counts.values() if count > 1)
        if not shared:
            return ()
        return (
            f"{shared} of {len(self.embeddings)} sequences have the embedding of another one (the "
            "same frames twice, or a network that has collapsed); equal distances keep the order "
            "of the gallery, so the metrics depend on it",
        )

    def overview(self) -> str:
        """How many sequences there are and of which types, for messages."""
        if not len(self.types):
            return (
                "0 sequences: nobody in the store is of subset test; import it with a --partition "
                "whose TEST_SET names identities of the dataset"
            )
        types = ", ".join(np.unique(self.types)[:20].tolist()) or "none"
        return f"{len(self.types)} sequences, whose types are {types}"


def evaluation_set(
    embeddings: NDArray[np.float32],
    labels: Sequence[str] | Strings,
    types: Sequence[str],
    views: Sequence[str],
    metric: str = "euc",
    probes: Iterable[str] | None = None,
    **settings: Any,
) -> EvaluationSet:
    """Make an :class:`EvaluationSet`, whose fields are the arguments, and check it.

    Raises:
        DataError: NaN embeddings, naming the first sequence, or not one label, type and view for
            each embedding.
    """
    for name, given in (("labels", labels), ("types", types), ("views", views)):
        if len(given) != len(embeddings):
            raise DataError(f"{len(given)} {name} for {len(embeddings)} embeddings: one for each")
    check_embeddings(embeddings, names=keys(labels, types, views))
    known, kinds, seen = (np.asarray(given, dtype=np.str_) for given in (labels, types, views))
    listed = None if probes is None else frozenset(probes)
    return EvaluationSet(embeddings, known, kinds, seen, metric, listed, **settings)


def unembedded(sequences: Iterable[StoredSequence], **settings: Any) -> EvaluationSet:
    """What is known before anything is embedded: enough to check against a protocol."""
    names = [(row.label, row.type, row.view) for row in sequences]
    labels, types, views = np.array(names, dtype=np.str_).reshape(-1, 3).T
    nothing = np.empty((len(names), 0, 0), np.float32)
    return EvaluationSet(nothing, labels, types, views, **settings)


def keys(
    labels: Iterable[str] | Strings, types: Iterable[str] | Strings, views: Iterable[str] | Strings
) -> list[str]:
    """The keys ``label-type-view`` of sequences; names that are empty are left out."""
    return ["-".join(filter(None, map(str, row))) for row in zip(labels, types, views, strict=True)]


@dataclass(frozen=True)
class Outcome:
    """The result of every probe, and the metrics computed from them."""

    probes: Positions
    """[k] positions of the probes in the evaluation set."""
    labels: Strings
    """[k] their identities: the clusters of paired statistics."""
    retrieval: Retrieval
    """Place of the first hit and average precision of each."""
    left_out: int = field(default=0, kw_only=True)
    """Probes beside the k that have no match and, as published, count nowhere."""
    remarks: tuple[str, ...] = field(default=(), kw_only=True)
    """What the metrics do not show of the sequences that they are made of, a sentence each."""

    @property
    def hits(self) -> NDArray[np.float64]:
        """[k] 1 where the nearest gallery sequence is right, else 0."""
        return (self.retrieval.first_hit == 0).astype(np.float64)

    @property
    def ap(self) -> NDArray[np.float64]:
        """[k] average precision, 0..1."""
        return self.retrieval.ap

    @property
    def found(self) -> NDArray[np.bool_]:
        """Where ``retrieval`` has a match: its arrays' shape."""
        return self.retrieval.first_hit >= 0

    @property
    def unmatched(self) -> int:
        """Probes whose identity is not in (one of) their galleries, those left out too."""
        lacking = ~self.found.reshape(len(self.probes), -1).all(axis=1)
        return int(np.count_nonzero(lacking)) + self.left_out

    def metrics(self) -> dict[str, Any]:
        """Return the protocol's own table, in percent.

        Where probes have no match, also their number, ``unmatched_probes``, and the table without
        them, ``matched``.
        """
        table: dict[str, Any] = dict(retrieval_metrics(self.retrieval))
        if self.unmatched:
            table["unmatched_probes"] = self.unmatched
            if matched := self.without_unmatched():
                table["matched"] = matched
        return table

    def summary(self) -> dict[str, Any]:
        """Return the single numbers that networks are compared by, in percent."""
        return self.metrics()

    def without_unmatched(self) -> dict[str, float]:
        """Return rank-k, mAP and mINP of the probes that have a match; empty if none has."""
        found = np.flatnonzero(self.found)
        return retrieval_metrics(self.retrieval[found]) if len(found) else {}

    def coverage(self) -> dict[str, Any]:
        """How many probes there are and lack a match, and what the metrics are without these.

        ``probes``, ``unmatched_probes`` and, where there are any, ``rank1_matched``,
        ``rank5_matched`` and ``map_matched`` in percent.
        """
        table: dict[str, Any] = {
            "probes": len(self.probes) + self.left_out,
            "unmatched_probes": self.unmatched,
        }
        matched = self.without_unmatched() if self.unmatched else {}
        return table | {f"{name}_matched": matched[name] for name in MATCHED if name in matched}

    def notes(self, rates: bool = True) -> list[str]:
        """What has to be said beside the metrics, a sentence each: probes without a match, ...

        Without ``rates`` they hold for every network that is evaluated on these sequences.
        """
        return [*self.remarks, *([self._unmatched_note(rates)] if self.unmatched else [])]

    def _unmatched_note(self, rates: bool) -> str:
        """How many probes have no match, and what that does to the metrics."""
        of = f"{self.unmatched} of {len(self.probes) + self.left_out} probes have no match"
        if self.left_out:
            return f"{of} in the gallery; as published they are left out of the metrics"
        matched = self.without_unmatched() if rates else {}
        return f"{of} in the gallery and count as misses{without_them(matched)}"

    def cmc(self, top: int = 20) -> NDArray[np.float64]:
        """Return rank-1 to rank-``top`` in percent, [top]."""
        return cmc(self.retrieval, top)


MATCHED = ("rank1", "rank5", "map")
"""Metrics that are also told without the probes that have no match."""


def without_them(matched: Mapping[str, float]) -> str:
    """The end of a sentence on probes without a match: the metrics without them."""
    if not matched:
        return ""
    return f"; without them rank-1 is {matched['rank1']:.2f} %, mAP {matched['map']:.2f} %"
