"""GREW's submission file and the true labels of its probes."""

import csv

import numpy as np
import pytest

from nasgait.errors import DataError
from nasgait.evaluation.metrics import rates, retrieve
from nasgait.evaluation.submission import (
    evaluate_probes,
    judge_probes,
    read_truth,
    submit,
    write_submission,
)

HEADER = ["videoId", *(f"rank{k}" for k in range(1, 21))]


@pytest.fixture(scope="module")
def stored(shared):
    return dict(np.load(shared / "reference" / "evaluators.npz"))


@pytest.fixture(scope="module")
def grew(stored):
    columns = ("labels", "types", "views")
    return stored["grew/embeddings"], *(stored[f"grew/{name}"].tolist() for name in columns)


def read(path):
    with open(path, newline="") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize("metric", ["euc", "cos"])
def test_submission_as_published(stored, grew, metric, tmp_path):
    path = tmp_path / "submission.csv"
    assert submit(path, *grew, metric) == 30
    rows = read(path)
    assert rows[0] == HEADER
    assert [row[0] for row in rows[1:]] == stored[f"grew/{metric}/submission_video"].tolist()
    ranks = [[int(label) for label in row[1:]] for row in rows[1:]]
    assert ranks == stored[f"grew/{metric}/submission_rank"].tolist()


def test_labels_and_ties(tmp_path):
    path = tmp_path / "submission.csv"
    labels = [f"{i // 2:05d}" for i in range(20)] + ["walker"]
    distance = np.ones((2, 21))
    distance[1, 20] = 0
    write_submission(path, ["one", "a,b"], labels, distance)
    rows = read(path)
    # Equal distances keep the gallery's order; both sequences of an identity are listed.
    assert rows[1] == ["one", *(str(i // 2) for i in range(20))]
    assert rows[2] == ["a,b", "walker", *(str(i // 2) for i in range(19))]


@pytest.mark.parametrize(
    ("videos", "gallery", "shape", "told"),
    [
        (["a"], 19, (1, 19), "only 19"),
        ([], 20, (0, 20), "nothing to submit"),
        (["a"], 20, (2, 20), "do not fit 1 videos"),
        (["a", "b", "a"], 20, (3, 20), "video a is probed twice"),
    ],
)
def test_wrong_submissions_are_not_written(tmp_path, videos, gallery, shape, told):
    path = tmp_path / "submission.csv"
    with pytest.raises(DataError, match=told):
        write_submission(path, videos, ["1"] * gallery, np.zeros(shape))
    assert not path.exists()


def test_a_store_without_probes_or_gallery_has_no_submission(grew, tmp_path):
    embeddings, labels, types, views = grew
    with pytest.raises(DataError, match="nothing to submit"):
        submit(tmp_path / "x.csv", embeddings, labels, ["01"] * len(types), views)
    with pytest.raises(DataError, match="only 0"):
        submit(tmp_path / "x.csv", embeddings, labels, ["03"] * len(types), views)


def test_known_probes_against_the_whole_gallery(stored, grew):
    embeddings, labels, types, views = grew
    kind = np.array(types)
    truth = {views[i]: labels[i] for i in range(len(types)) if types[i] == "03"}
    hidden = ["probe" if kind == "03" else label for label, kind in zip(labels, types, strict=True)]
    outcome = judge_probes(embeddings, hidden, types, views, truth)
    assert outcome.probes.tolist() == np.flatnonzero(kind == "03").tolist()
    x = embeddings.astype(float)
    probe, gallery = np.flatnonzero(kind == "03"), np.flatnonzero(np.isin(kind, ["01", "02"]))
    gaps = np.linalg.norm(x[probe][:, None] - x[gallery][None], axis=2).mean(2)
    names = np.array(labels)
    expected = rates(retrieve(gaps, names[probe], names[gallery]))
    assert outcome.rates() == pytest.approx(expected)
    assert evaluate_probes(embeddings, hidden, types, views, truth) == outcome.rates()
    # What a submission server counts: the true identity among the first k.
    right = stored["grew/euc/submission_rank"] == names[probe].astype(int)[:, None]
    assert outcome.rates()["rank1"] == pytest.approx(100 * right[:, 0].mean())
    assert outcome.rates()["rank20"] == pytest.approx(100 * right.any(1).mean())


def test_leading_zeros_do_not_matter(grew):
    embeddings, labels, types, views = grew
    exact = {views[i]: labels[i] for i in range(len(types)) if types[i] == "03"}
    short = {video: str(int(label)) for video, label in exact.items()}
    given = (embeddings, labels, types, views)
    assert evaluate_probes(*given, exact) == evaluate_probes(*given, short)


def test_truth_that_does_not_fit(grew):
    embeddings, labels, types, views = grew
    videos = [view for view, kind in zip(views, types, strict=True) if kind == "03"]
    with pytest.raises(DataError, match="30 of 30 probes have none"):
        evaluate_probes(embeddings, labels, types, views, {"other": "1"})
    with pytest.raises(DataError, match="knows none of them"):
        evaluate_probes(embeddings, labels, types, views, dict.fromkeys(videos, "nobody"))
    with pytest.raises(DataError, match="no probe among"):
        evaluate_probes(embeddings, labels, ["01"] * len(types), views, {"other": "1"})


def test_truth_file(tmp_path, shared):
    path = tmp_path / "truth.csv"
    path.write_text("\ufefflabel,videoId\r\n00071, v1 \r\n\r\n3,v2\r\n", encoding="utf-8")
    assert read_truth(path) == {"v1": "00071", "v2": "3"}
    truth = read_truth(shared / "data" / "walk-grew-probe-truth.csv")
    assert len(truth) == 600 and truth["03GwfogD"] == "00071"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"", "must name the columns videoId,label"),
        (b"video,label\nv,1\n", "must name the columns videoId,label"),
        (b"videoId,label\n", "holds no labels"),
        (b"videoId,label\nv,1\nv,2\n", ":3: video v is given twice"),
        (b"videoId,label\nv\n", ":2: must give a videoId and its label"),
        (b"videoId,label\nv,\n", ":2: must give a videoId and its label"),
        (b"\xff\xfe\x00v", "not a readable CSV"),
    ],
)
def test_wrong_truth_files(tmp_path, text, told):
    path = tmp_path / "truth.csv"
    path.write_bytes(text)
    with pytest.raises(DataError, match=told):
        read_truth(path)


def test_missing_truth_file(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        read_truth(tmp_path / "none.csv")
