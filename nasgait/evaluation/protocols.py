"""Which sequences are probes, which the gallery, and what is reported: one judge for all.

A protocol is a function from a :class:`Trial` to an :class:`Outcome`; the outcome knows
each probe's result and words the table that the protocol is published with.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasgait.errors import ConfigError, DataError
from nasgait.evaluation.distance import blocks, check_embeddings
from nasgait.evaluation.metrics import Retrieval, cmc, join, rates, retrieve

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


@dataclass(frozen=True)
class Outcome:
    """The result of every probe, and the table made of it."""

    probes: NDArray[np.int64]
    """[k] positions of the probes in the sequences judged."""
    labels: Strings
    """[k] their identities: the clusters of paired statistics."""
    retrieval: Retrieval
    """Place of the first hit and average precision of each."""

    def rates(self) -> dict[str, Any]:
        """Return the protocol's table, in percent."""
        return dict(rates(self.retrieval))

    def cmc(self, top: int = 20) -> NDArray[np.float64]:
        """Return rank-1 to rank-``top`` in percent, [top]."""
        return cmc(self.retrieval, top)


class LocalOutcome(Outcome):
    """GREW's gallery 01 against probe 02, which is not the benchmark's number."""

    def rates(self) -> dict[str, Any]:
        """Return the table with ``_local`` behind each key.

        As published, a rank-k is rounded to two decimals.
        """
        return {
            f"{name}_local": round(rate, 2) if name.startswith("rank") else rate
            for name, rate in super().rates().items()
        }


def evaluate(
    protocol: str,
    embeddings: NDArray[np.float32],
    labels: Sequence[str],
    types: Sequence[str],
    views: Sequence[str],
    metric: str = "euc",
    probes: Sequence[str] | None = None,
    gallery_ids: int | None = None,
) -> dict[str, Any]:
    """Return a protocol's table in percent; arguments and errors are those of :func:`judge`."""
    return judge(protocol, embeddings, labels, types, views, metric, probes, gallery_ids).rates()


def judge(
    protocol: str,
    embeddings: NDArray[np.float32],
    labels: Sequence[str],
    types: Sequence[str],
    views: Sequence[str],
    metric: str = "euc",
    probes: Sequence[str] | None = None,
    gallery_ids: int | None = None,
) -> Outcome:
    """Judge embedded sequences by a protocol, probe by probe.

    Args:
        protocol: ``grew`` (gallery 01 against probe 02) or ``leave-one-out``.
        embeddings: float32 [n, c, p].
        labels, types, views: [n] each.
        metric: ``euc`` or ``cos``, mean over parts.
        probes: keys of the probes, for protocols that list them.
        gallery_ids: leave-one-out only: identities in each disjoint gallery.

    Raises:
        ConfigError: unknown protocol or metric.
        DataError: NaN embeddings, other numbers of labels than of embeddings, no probes,
            an empty gallery.
    """
    if protocol not in _PROTOCOLS:
        raise ConfigError(f"protocol {protocol!r} is unknown, known are {', '.join(_PROTOCOLS)}")
    subject = trial(embeddings, labels, types, views, metric, probes, gallery_ids)
    return _PROTOCOLS[protocol](subject)


def trial(
    embeddings: NDArray[np.float32],
    labels: Sequence[str] | Strings,
    types: Sequence[str],
    views: Sequence[str],
    metric: str = "euc",
    probes: Sequence[str] | None = None,
    gallery_ids: int | None = None,
) -> Trial:
    """Check that embeddings and labels belong together.

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
    )


def search_gallery(
    subject: Trial, probes: NDArray[np.int64], gallery: NDArray[np.int64], what: str
) -> Retrieval:
    """Rank the gallery for each probe; both are positions in the trial, ``what`` names it.

    A sequence that is probe and in the gallery never meets itself.

    Raises:
        DataError: no probes, or an empty gallery.
    """
    for name, chosen in (("probe", probes), ("gallery sequence", gallery)):
        if not len(chosen):
            types = ", ".join(np.unique(subject.types)[:20].tolist())
            raise DataError(
                f"{what}: no {name} among {len(subject.types)} sequences, whose types are {types}"
            )
    embeddings, labels = subject.embeddings, subject.labels
    parts = []
    for part, block in blocks(embeddings[probes], embeddings[gallery], subject.metric):
        chosen = probes[part]
        same = chosen[:, None] == gallery
        parts.append(retrieve(block, labels[chosen], labels[gallery], excluded=same))
    return join(parts)


def leave_one_out(
    embeddings: NDArray[np.float32],
    labels: Sequence[str] | Strings,
    metric: str = "euc",
    gallery_ids: int | None = None,
) -> Outcome:
    """Look for every sequence among all others of its gallery.

    The identities, sorted, are cut into consecutive galleries of ``gallery_ids`` or, where
    that does not come out even, slightly fewer; all in one by default.  A sequence that is
    the only one of its identity stays in the gallery, but is no probe.

    Raises:
        ConfigError: ``gallery_ids`` below 2, or unknown metric.
        DataError: NaN embeddings, fewer than two identities, or none seen twice.
    """
    unused = [""] * len(labels)
    return _leave_one_out(
        trial(embeddings, labels, unused, unused, metric, gallery_ids=gallery_ids)
    )


def _leave_one_out(subject: Trial) -> Outcome:
    names, codes, counts = np.unique(subject.labels, return_inverse=True, return_counts=True)
    if len(names) < 2 or counts.max() < 2:
        raise DataError(
            f"leave-one-out: {len(names)} identities with at most {counts.max()} sequences; "
            "it needs two identities, one of them with two sequences"
        )
    size = len(names) if subject.gallery_ids is None else subject.gallery_ids
    if size < 2:
        raise ConfigError(f"gallery_ids: must be at least 2, not {size}")
    found: list[tuple[NDArray[np.int64], Retrieval]] = []
    for members in np.array_split(np.arange(len(names)), -(-len(names) // size)):
        gallery = np.flatnonzero(np.isin(codes, members))
        probes = gallery[counts[codes[gallery]] > 1]
        if len(probes):
            found.append((probes, search_gallery(subject, probes, gallery, "leave-one-out")))
    probes = np.concatenate([part for part, _ in found])
    order = np.argsort(probes)
    retrieval = join([part for _, part in found])[order]
    return Outcome(probes[order], subject.labels[probes[order]], retrieval)


def _grew(subject: Trial) -> Outcome:
    """Gallery 01 against probe 02: what can be told of GREW without a submission."""
    probes = np.flatnonzero(subject.types == "02")
    gallery = np.flatnonzero(subject.types == "01")
    found = search_gallery(subject, probes, gallery, "protocol grew (gallery 01, probe 02)")
    return LocalOutcome(probes, subject.labels[probes], found)


_PROTOCOLS: dict[str, Callable[[Trial], Outcome]] = {
    "grew": _grew,
    "leave-one-out": _leave_one_out,
}
