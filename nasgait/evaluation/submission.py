"""Unlabelled probes: the table to submit, and its evaluation where the true labels are known."""

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nasgait.core.errors import DataError
from nasgait.core.files import write_atomically
from nasgait.evaluation.evaluation_set import EvaluationSet, Outcome, Positions, Strings


@dataclass(frozen=True)
class Submission:
    """What a benchmark with unlabelled probes wants to be sent, as OpenGait writes it."""

    title: str
    """What messages call the benchmark."""
    columns: tuple[str, ...]
    """Header of the table: the video, then the identities listed for it."""
    split: Callable[[EvaluationSet], tuple[NDArray[np.bool_], NDArray[np.bool_]]]
    """Which sequences are probes, which the gallery, bool [n] each."""
    videos: Callable[[EvaluationSet, Positions], Strings]
    """Names of the probes' videos."""
    identity: Callable[[str], str]
    """An identity as the table writes it."""

    @property
    def ranks(self) -> int:
        """Gallery sequences listed for each probe."""
        return len(self.columns) - 1

    def probes_and_gallery(self, sequences: EvaluationSet) -> tuple[Positions, Positions]:
        """Positions of probes and gallery; either may be empty."""
        probes, gallery = self.split(sequences)
        return np.flatnonzero(probes), np.flatnonzero(gallery)

    def possible(self, sequences: EvaluationSet) -> bool:
        """Whether there are probes, and enough gallery sequences to list."""
        probes, gallery = self.probes_and_gallery(sequences)
        return len(probes) > 0 and len(gallery) >= self.ranks

    def write(self, path: str | Path, sequences: EvaluationSet) -> int:
        """Write the table of embedded sequences as CSV and return its number of probes.

        Equally distant gallery sequences keep their order.

        Raises:
            DataError: no probes, two probes of one video, a gallery smaller than the table, or
                no distractors where they are wanted.
        """
        probes, gallery = self.probes_and_gallery(sequences)
        videos = self.videos(sequences, probes).tolist()
        if not videos:
            raise DataError(f"{path}: no probes of {self.title}, so there is nothing to submit")
        if len(gallery) < self.ranks:
            raise DataError(
                f"{path}: a submission to {self.title} ranks {self.ranks} gallery sequences, but "
                f"there are only {len(gallery)}"
            )
        names, counts = np.unique(videos, return_counts=True)
        if counts.max() > 1:
            raise DataError(f"{path}: two probes are of video {names[counts.argmax()]}")
        identities = np.array([self.identity(label) for label in sequences.labels[gallery]])
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(self.columns)
        for rows, block in sequences.distances(probes, gallery):
            nearest = np.argsort(block, axis=1, kind="stable")[:, : self.ranks]
            for video, row in zip(videos[rows], identities[nearest].tolist(), strict=True):
                table.writerow([video, *row])
        write_atomically(path, text.getvalue())
        return len(probes)

    def evaluate(self, sequences: EvaluationSet) -> Outcome:
        """Evaluate the probes by their true labels; raises as :meth:`with_true_labels` does."""
        probes, gallery = self.probes_and_gallery(sequences)
        known = self.with_true_labels(sequences)
        found = known.search(probes, gallery, self.title)
        return Outcome(probes, known.labels[probes], found)

    def with_true_labels(self, sequences: EvaluationSet) -> EvaluationSet:
        """Return the sequences with the probes' true identities as labels.

        ``00071`` and ``71`` are the same identity.

        Raises:
            DataError: no probes, an empty gallery, a probe without a true label, or true
                labels none of which is in the gallery.
        """
        probes, gallery = self.probes_and_gallery(sequences)
        sequences.require(probes, gallery, self.title)
        truth, videos = sequences.truth or {}, self.videos(sequences, probes).tolist()
        unknown = [video for video in videos if video not in truth]
        if unknown:
            raise DataError(
                f"true labels: {len(unknown)} of {len(videos)} probes have none, e.g. video "
                f"{unknown[0]}"
            )
        identities = np.array([plain_number(label) for label in sequences.labels], dtype=object)
        identities[probes] = [plain_number(truth[video]) for video in videos]
        labels = identities.astype(np.str_)
        if not np.isin(labels[probes], labels[gallery]).any():
            raise DataError(
                f"true labels: none is in the gallery, e.g. {truth[videos[0]]}; labels there are "
                f"like {sequences.labels[gallery[0]]}"
            )
        return replace(sequences, labels=labels)


def plain_number(label: str) -> str:
    """A number without leading zeros; other labels stay as they are."""
    return str(int(label)) if label.isdecimal() else label


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
        raise DataError(f"{path}: has no labels")
    return truth
