"""Benchmarks with unlabelled probes: the table to submit, and its score if labels are known.

GREW ranks gallery 01 + 02, and distractors (04) if wanted, for the probes of type 03.  Its
table lists, for each probe video, the identities of its 20 nearest gallery sequences (an
identity may come twice: it has two sequences), nearest first, as whole numbers without
leading zeros.  HID ranks all labelled test sequences for the probes (label ``probe``), and
names the identity of the nearest.  Both as OpenGait writes them.  Where the probes'
identities are known, :func:`judge_probes` scores them against the whole gallery.
"""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nasgait.core.errors import DataError
from nasgait.core.files import write_atomically
from nasgait.data.index import UNLABELLED
from nasgait.evaluation.distance import blocks
from nasgait.evaluation.evaluation_set import Outcome, Strings, Trial, require_both, search_gallery
from nasgait.evaluation.protocols import gallery_types
from nasgait.evaluation.rerank import reranked


@dataclass(frozen=True)
class Benchmark:
    """How a benchmark wants its probes answered."""

    title: str
    """What messages call it."""
    columns: tuple[str, ...]
    """Header of its table: the video, then the identities listed for it."""
    sides: Callable[[Trial], tuple[NDArray[np.bool_], NDArray[np.bool_]]]
    """Which sequences are probes, which the gallery, bool [n] each."""
    videos: Callable[[Trial, NDArray[np.int64]], Strings]
    """Names of the probes' videos."""
    identity: Callable[[str], str]
    """An identity as the table writes it."""

    @property
    def ranks(self) -> int:
        """Gallery sequences listed for each probe."""
        return len(self.columns) - 1


def _number(label: str) -> str:
    """GREW's identities are numbers; others stay as they are."""
    return str(int(label)) if label.isdecimal() else label


def _hid_videos(subject: Trial, probes: NDArray[np.int64]) -> Strings:
    # OpenGait's preparation names the video in the type, its submission reads the view:
    # whichever tells the probes apart is meant.
    types, views = subject.types[probes], subject.views[probes]
    return types if len(np.unique(types)) >= len(np.unique(views)) else views


BENCHMARKS = {
    "grew": Benchmark(
        title="GREW (gallery 01 + 02, probe 03)",
        columns=("videoId", *(f"rank{k}" for k in range(1, 21))),
        sides=lambda subject: (
            subject.types == "03",
            np.isin(subject.types, gallery_types(subject, "01", "02")),
        ),
        videos=lambda subject, probes: subject.views[probes],
        identity=_number,
    ),
    "hid": Benchmark(
        title=f"HID (probes labelled {UNLABELLED}, all others the gallery)",
        columns=("videoID", "label"),
        sides=lambda subject: (subject.labels == UNLABELLED, subject.labels != UNLABELLED),
        videos=_hid_videos,
        identity=str,
    ),
}
"""Protocols whose probes are unlabelled."""


def submit(path: str | Path, subject: Trial, benchmark: str = "grew") -> int:
    """Write the submission of embedded sequences and return its number of probes.

    Args:
        path: the CSV to write.
        subject: the sequences; the ``views`` of GREW's probes name their videos.
        benchmark: ``grew`` or ``hid``.

    Raises:
        DataError: no probes, a video probed twice, fewer gallery sequences than the table
            lists, or no distractors where they are wanted.
    """
    rules = BENCHMARKS[benchmark]
    probes, gallery = sides(subject, benchmark)
    videos = rules.videos(subject, probes).tolist()
    _check(path, rules, videos, len(gallery))
    ranking = reranked if subject.rerank else blocks
    rows = ranking(subject.embeddings[probes], subject.embeddings[gallery], subject.metric)
    nearest = np.concatenate([nearest_columns(block, rules.ranks) for _, block in rows])
    write_submission(path, videos, subject.labels[gallery].tolist(), nearest, benchmark)
    return len(probes)


def nearest_columns(distance: NDArray[np.floating], count: int) -> NDArray[np.int64]:
    """The ``count`` nearest of each row of distances; equal ones keep their order."""
    return np.argsort(distance, axis=1, kind="stable")[:, :count]


def write_submission(
    path: str | Path,
    video_ids: Sequence[str],
    gallery_labels: Sequence[str],
    nearest: NDArray[np.int64],
    benchmark: str = "grew",
) -> None:
    """Write a benchmark's CSV, one row per probe in the order given.

    Args:
        path: the file to write.
        video_ids: names of the n probe videos.
        gallery_labels: identities of the m gallery sequences.
        nearest: [n, ranks] places in the gallery, nearest first.
        benchmark: ``grew`` or ``hid``.

    Raises:
        DataError: fewer gallery sequences than the table lists, no probes, a video given
            twice, or ``nearest`` of another shape.
    """
    rules = BENCHMARKS[benchmark]
    _check(path, rules, video_ids, len(gallery_labels))
    if nearest.shape != (len(video_ids), rules.ranks):
        raise DataError(
            f"{path}: ranks of shape {list(nearest.shape)} do not fit {len(video_ids)} videos "
            f"and {rules.ranks} ranks"
        )
    identities = [rules.identity(label) for label in gallery_labels]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(rules.columns)
    for video, row in zip(video_ids, nearest, strict=True):
        table.writerow([video, *(identities[place] for place in row)])
    write_atomically(path, text.getvalue())


def _check(path: str | Path, rules: Benchmark, video_ids: Sequence[str], gallery: int) -> None:
    """Raise DataError for a submission that cannot be written."""
    if not len(video_ids):
        raise DataError(f"{path}: no probes of {rules.title}, so there is nothing to submit")
    if gallery < rules.ranks:
        raise DataError(
            f"{path}: a submission to {rules.title} ranks {rules.ranks} gallery sequences, but "
            f"there are only {gallery}"
        )
    names, counts = np.unique(np.asarray(video_ids, dtype=np.str_), return_counts=True)
    if counts.max() > 1:
        raise DataError(f"{path}: video {names[counts.argmax()]} is probed twice")


def can_submit(benchmark: str, subject: Trial) -> bool:
    """Whether such sequences make a submission: probes, and a gallery to rank."""
    rules = BENCHMARKS[benchmark]
    probes, gallery = sides(subject, benchmark)
    return len(probes) > 0 and len(gallery) >= rules.ranks


def read_truth(path: str | Path) -> dict[str, str]:
    """Read a CSV with the columns ``videoId`` (HID: ``videoID``) and ``label``.

    Raises:
        DataError: the file is missing or no such table, or names a video twice.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"{path}: not a readable CSV of true labels: {reason}") from None
    header = [name.strip().lower() for name in rows[0]] if rows else []
    if not {"videoid", "label"} <= set(header):
        raise DataError(f"{path}: the first line must name the columns videoId,label")
    video, label = header.index("videoid"), header.index("label")
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


def judge_probes(subject: Trial, truth: Mapping[str, str], benchmark: str = "grew") -> Outcome:
    """Score a benchmark's probes against its whole gallery, given their true identities.

    ``00071`` and ``71`` are the same identity, as in GREW's submission.

    Args:
        subject: the sequences; labels of probes are not looked at.
        truth: identity of each probe video; of others as well, if need be.
        benchmark: ``grew`` or ``hid``.

    Raises as :func:`identified` does.
    """
    rules = BENCHMARKS[benchmark]
    probes, gallery = sides(subject, benchmark)
    known = identified(subject, truth, benchmark)
    return Outcome(
        probes, known.labels[probes], search_gallery(known, probes, gallery, rules.title)
    )


def identified(subject: Trial, truth: Mapping[str, str], benchmark: str) -> Trial:
    """The sequences with the probes' true identities for labels; arguments as before.

    Raises:
        DataError: no probes, an empty gallery, a probe without a true label, or true
            labels none of which the gallery knows.
    """
    rules = BENCHMARKS[benchmark]
    probes, gallery = sides(subject, benchmark)
    require_both(subject, probes, gallery, rules.title)
    videos = rules.videos(subject, probes).tolist()
    unknown = [video for video in videos if video not in truth]
    if unknown:
        raise DataError(
            f"true labels: {len(unknown)} of {len(videos)} probes have none, e.g. video "
            f"{unknown[0]}"
        )
    identities = np.array([_number(label) for label in subject.labels], dtype=object)
    identities[probes] = [_number(truth[video]) for video in videos]
    named = identities.astype(np.str_)
    if not np.isin(named[probes], named[gallery]).any():
        raise DataError(
            f"true labels: the gallery knows none of them, e.g. {truth[videos[0]]}; its own are "
            f"like {subject.labels[gallery[0]]}"
        )
    return replace(subject, labels=named)


def sides(subject: Trial, benchmark: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of a benchmark's probes and gallery; perhaps none of either."""
    probes, gallery = BENCHMARKS[benchmark].sides(subject)
    return np.flatnonzero(probes), np.flatnonzero(gallery)
