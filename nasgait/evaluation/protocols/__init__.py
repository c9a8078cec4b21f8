"""Which sequences are probes, which the gallery, and what is reported: one judge for all.

A protocol is a function from a :class:`Trial` to an :class:`Outcome`; the outcome knows
each probe's result and words the table that the protocol is published with.
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasgait.core.errors import ConfigError, DataError
from nasgait.evaluation.evaluation_set import (
    Outcome,
    Strings,
    Trial,
    require_both,
    search_gallery,
    trial,
)
from nasgait.evaluation.metrics import Retrieval, join
from nasgait.evaluation.protocols.by_view import across_views, by_view

logger = logging.getLogger(__name__)

DISTRACTOR_TYPE = "04"
"""Type of GREW's distractors: sequences of people who are no probes."""
RERANKED = ("grew", "gait3d", "hid")
"""Protocols whose gallery may be re-ranked."""


LOCAL = "protocol grew (gallery 01, probe 02)"
"""What messages call GREW's local figures."""


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
    **settings: Any,
) -> dict[str, Any]:
    """Return a protocol's table in percent.

    Arguments behind ``protocol`` are those of
    :func:`nasgait.evaluation.evaluation_set.trial`, errors also those of :func:`judge`.

    ``gait3d`` and ``leave-one-out`` give rank1, rank5, rank10, rank20, map and minp;
    ``grew`` the same with ``_local`` behind each; the protocols of CASIA-B and OU-MVLP a
    table for each condition (``nm``, ``bg``, ``cl``), see
    :mod:`nasgait.evaluation.protocols.by_view`.
    """
    subject = trial(embeddings, labels, types, views, metric, probes, **settings)
    return judge(protocol, subject).rates()


def judge(protocol: str, subject: Trial) -> Outcome:
    """Judge embedded sequences by one of ``PROTOCOLS``, probe by probe.

    Raises:
        ConfigError: unknown protocol or metric, re-ranking where there is none, or no list of
            probes where one is needed.
        DataError: no probes, or an empty gallery.
    """
    if protocol not in PROTOCOLS:
        raise ConfigError(f"protocol {protocol!r} is unknown, known are {', '.join(PROTOCOLS)}")
    if subject.rerank and protocol not in RERANKED:
        raise ConfigError(f"rerank: protocol {protocol} has none, only {', '.join(RERANKED)}")
    return PROTOCOLS[protocol](subject)


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
    require_company(subject)
    names, codes, counts = np.unique(subject.labels, return_inverse=True, return_counts=True)
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


def require_company(subject: Trial) -> None:
    """Raise DataError unless leave-one-out has someone to find and someone to confuse."""
    names, counts = np.unique(subject.labels, return_counts=True)
    if len(names) < 2 or counts.max() < 2:
        raise DataError(
            f"leave-one-out: {len(names)} identities with at most {max(counts, default=0)} "
            "sequences; it needs two identities, one of them with two sequences"
        )


def _grew(subject: Trial) -> Outcome:
    """Gallery 01 against probe 02: what can be told of GREW without a submission."""
    probes, gallery = local_sides(subject)
    found = search_gallery(subject, probes, gallery, LOCAL)
    return LocalOutcome(probes, subject.labels[probes], found)


def local_sides(subject: Trial) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of GREW's probes and gallery that need no true labels: types 02 and 01.

    Raises DataError when there are none.
    """
    probes = np.flatnonzero(subject.types == "02")
    gallery = np.flatnonzero(np.isin(subject.types, gallery_types(subject, "01")))
    require_both(subject, probes, gallery, LOCAL)
    return probes, gallery


def gallery_types(subject: Trial, *types: str) -> tuple[str, ...]:
    """GREW's gallery: ``types`` and, if wanted, the distractors; DataError if there are none."""
    if not subject.distractors:
        return types
    if not (subject.types == DISTRACTOR_TYPE).any():
        raise DataError(
            f"distractors: none (type {DISTRACTOR_TYPE}) among {len(subject.types)} sequences"
        )
    return (*types, DISTRACTOR_TYPE)


def listed_sides(subject: Trial) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of the probes that Gait3D's list names, and of all others, the gallery.

    Raises:
        ConfigError: no list.
        DataError: a list that names none of the sequences or all of them, or a gallery
            that holds the identity of no probe.
    """
    if not subject.probes:
        raise ConfigError(
            "protocol gait3d: needs the list of its probes, keys id-type-view; they are the "
            "PROBE_SET of OpenGait's partition JSON (evaluation.probes, --probes)"
        )
    keys = _keys(subject)
    listed = np.array([key in subject.probes for key in keys], dtype=bool)
    if not listed.any():
        raise DataError(
            f"protocol gait3d: none of the {len(subject.probes)} listed probes (e.g. "
            f"{min(subject.probes)}) is among the {len(keys)} sequences (e.g. "
            f"{min(keys, default='none')})"
        )
    probes, gallery = np.flatnonzero(listed), np.flatnonzero(~listed)
    require_both(subject, probes, gallery, "protocol gait3d")
    if not np.isin(subject.labels[probes], subject.labels[gallery]).any():
        raise DataError("protocol gait3d: the gallery holds the identity of no probe")
    return probes, gallery


def _keys(subject: Trial) -> list[str]:
    columns = (subject.labels.tolist(), subject.types.tolist(), subject.views.tolist())
    return ["-".join(names) for names in zip(*columns, strict=True)]


def _gait3d(subject: Trial) -> Outcome:
    """The listed probes against all other sequences.

    As published, a probe whose identity the gallery lacks counts nowhere.  Logs a warning
    about listed probes that are not there.
    """
    probes, gallery = listed_sides(subject)
    wanted = subject.probes or frozenset()
    if missing := wanted.difference(_keys(subject)):
        logger.warning(
            "protocol gait3d: %d of %d listed probes are not among the sequences, e.g. %s",
            len(missing),
            len(wanted),
            min(missing),
        )
    found = search_gallery(subject, probes, gallery, "protocol gait3d")
    matched = np.flatnonzero(found.first_hit >= 0)
    return Outcome(probes[matched], subject.labels[probes[matched]], found[matched])


PROTOCOLS: dict[str, Callable[[Trial], Outcome]] = {
    "leave-one-out": _leave_one_out,
    "casia-b": partial(by_view, protocol="casia-b"),
    "casia-b-cross-view": partial(across_views, protocol="casia-b-cross-view"),
    "oumvlp": partial(by_view, protocol="oumvlp"),
    "oumvlp-cross-view": partial(across_views, protocol="oumvlp-cross-view"),
    "grew": _grew,
    "gait3d": _gait3d,
}
"""What can be judged without a table of true labels, by name."""
