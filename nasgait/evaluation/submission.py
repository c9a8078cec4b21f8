"""GREW's benchmark: gallery 01 + 02 against the unlabelled probes of type 03.

The submission lists, for each probe video, the identities of its 20 nearest gallery
sequences (an identity may come twice: it has two sequences), nearest first, as whole
numbers without leading zeros, as OpenGait writes them.  Where the probes' identities
are known, :func:`judge_probes` scores them against the whole gallery.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nasgait.engine.files import write_atomically
from nasgait.errors import DataError
from nasgait.evaluation.distance import distances
from nasgait.evaluation.protocols import Outcome, Trial, search_gallery, trial

RANKS = 20
"""Identities listed for each probe."""
GALLERY_TYPES = ("01", "02")
PROBE_TYPE = "03"


def write_submission(
    path: str | Path,
    video_ids: Sequence[str],
    gallery_labels: Sequence[str],
    distance: NDArray[np.floating],
) -> None:
    """Write the CSV ``videoId,rank1..rank20``, one row per probe in the order given.

    Args:
        path: the file to write.
        video_ids: names of the n probe videos.
        gallery_labels: identities of the m gallery sequences, at least 20.
        distance: [n, m].

    Raises:
        DataError: fewer than 20 gallery sequences, no probes, a video given twice, or
            distances of another shape.
    """
    if len(gallery_labels) < RANKS:
        raise DataError(
            f"{path}: a submission ranks {RANKS} gallery sequences, but there are only "
            f"{len(gallery_labels)}"
        )
    if not len(video_ids):
        raise DataError(f"{path}: no probes, so there is nothing to submit")
    if distance.shape != (len(video_ids), len(gallery_labels)):
        raise DataError(
            f"{path}: distances of shape {list(distance.shape)} do not fit {len(video_ids)} "
            f"videos and {len(gallery_labels)} gallery sequences"
        )
    names, counts = np.unique(np.asarray(video_ids, dtype=np.str_), return_counts=True)
    if counts.max() > 1:
        raise DataError(f"{path}: video {names[counts.argmax()]} is probed twice")
    identities = [_identity(label) for label in gallery_labels]
    nearest = np.argsort(distance, axis=1, kind="stable")[:, :RANKS]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["videoId", *(f"rank{k}" for k in range(1, RANKS + 1))])
    for video, row in zip(video_ids, nearest, strict=True):
        table.writerow([video, *(identities[column] for column in row)])
    write_atomically(path, text.getvalue())


def can_submit(types: Sequence[str]) -> bool:
    """Whether sequences of these types make a submission: probes, and a gallery to rank."""
    return PROBE_TYPE in types and sum(kind in GALLERY_TYPES for kind in types) >= RANKS


def submit(
    path: str | Path,
    embeddings: NDArray[np.float32],
    labels: Sequence[str],
    types: Sequence[str],
    views: Sequence[str],
    metric: str = "euc",
) -> int:
    """Write the submission of embedded sequences and return its number of probes.

    ``views`` of type 03 are the names of the videos.

    Raises:
        DataError: no probes, fewer than 20 gallery sequences, or broken embeddings.
    """
    subject = trial(embeddings, labels, types, views, metric)
    probes, gallery = _sides(subject)
    if not len(probes):
        raise DataError(f"{path}: no probes (type {PROBE_TYPE}), so there is nothing to submit")
    if len(gallery) < RANKS:
        raise DataError(
            f"{path}: a submission ranks {RANKS} gallery sequences (types 01, 02), but there "
            f"are only {len(gallery)}"
        )
    distance = distances(embeddings[probes], embeddings[gallery], metric)
    write_submission(
        path, subject.views[probes].tolist(), subject.labels[gallery].tolist(), distance
    )
    return len(probes)


def read_truth(path: str | Path) -> dict[str, str]:
    """Read a CSV with the columns ``videoId`` and ``label``.

    Raises:
        DataError: the file is missing or no such table, or names a video twice.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"{path}: not a readable CSV of true labels: {reason}") from None
    header = [name.strip() for name in rows[0]] if rows else []
    if not {"videoId", "label"} <= set(header):
        raise DataError(f"{path}: the first line must name the columns videoId,label")
    video, label = header.index("videoId"), header.index("label")
    truth: dict[str, str] = {}
    for line, row in enumerate(rows[1:], start=2):
        if not row:
            continue
        if len(row) != len(header) or not row[video].strip() or not row[label].strip():
            raise DataError(f"{path}:{line}: must give a videoId and its label, not {row}")
        name = row[video].strip()
        if name in truth:
            raise DataError(f"{path}:{line}: video {name} is given twice")
        truth[name] = row[label].strip()
    if not truth:
        raise DataError(f"{path}: holds no labels")
    return truth


def judge_probes(
    embeddings: NDArray[np.float32],
    labels: Sequence[str],
    types: Sequence[str],
    views: Sequence[str],
    truth: Mapping[str, str],
    metric: str = "euc",
) -> Outcome:
    """Score the probes of type 03 against the whole gallery, given their true identities.

    ``00071`` and ``71`` are the same identity, as in the submission.

    Args:
        embeddings, labels, types, views, metric: as for ``protocols.judge``.
        truth: identity of each probe video; of others as well, if need be.

    Raises:
        DataError: no probes, an empty gallery, a probe without a true label, or true
            labels none of which the gallery knows.
    """
    subject = trial(embeddings, labels, types, views, metric)
    probes, gallery = _sides(subject)
    videos = subject.views[probes].tolist()
    unknown = [video for video in videos if video not in truth]
    if unknown:
        raise DataError(
            f"true labels: {len(unknown)} of {len(videos)} probes have none, e.g. video "
            f"{unknown[0]}"
        )
    identities = np.array([_identity(label) for label in subject.labels], dtype=object)
    identities[probes] = [_identity(truth[video]) for video in videos]
    named = identities.astype(np.str_)
    if len(gallery) and len(probes) and not np.isin(named[probes], named[gallery]).any():
        raise DataError(
            f"true labels: the gallery knows none of them, e.g. {truth[videos[0]]}; its own are "
            f"like {subject.labels[gallery[0]]}"
        )
    answered = Trial(subject.embeddings, named, subject.types, subject.views, metric)
    found = search_gallery(answered, probes, gallery, "GREW (gallery 01 + 02, probe 03)")
    return Outcome(probes, named[probes], found)


def evaluate_probes(
    embeddings: NDArray[np.float32],
    labels: Sequence[str],
    types: Sequence[str],
    views: Sequence[str],
    truth: Mapping[str, str],
    metric: str = "euc",
) -> dict[str, float]:
    """Return rank1..rank20, map and minp in percent of :func:`judge_probes`."""
    return judge_probes(embeddings, labels, types, views, truth, metric).rates()


def _sides(subject: Trial) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of probes and gallery."""
    probes = np.flatnonzero(subject.types == PROBE_TYPE)
    return probes, np.flatnonzero(np.isin(subject.types, GALLERY_TYPES))


def _identity(label: str) -> str:
    """GREW's identities are numbers; others stay as they are."""
    return str(int(label)) if label.isdecimal() else label
