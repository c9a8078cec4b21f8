"""The submission files of GREW and HID, and the true labels of their probes."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from nasgait.core.errors import DataError
from nasgait.data.store import Sequence
from nasgait.evaluation.distance import blocks
from nasgait.evaluation.evaluation_set import EvaluationSet, evaluation_set, unembedded
from nasgait.evaluation.metrics import retrieval_metrics, retrieve
from nasgait.evaluation.protocols import PROTOCOLS
from nasgait.evaluation.protocols.grew import SUBMISSION as GREW
from nasgait.evaluation.protocols.hid import SUBMISSION as HID
from nasgait.evaluation.rerank import reranked
from nasgait.evaluation.submission import read_truth

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


def grew_set(gallery, videos):
    """A gallery of labels, and probes of videos; all embeddings are equal."""
    n = len(gallery) + len(videos)
    labels = [*gallery, *["probe"] * len(videos)]
    types = ["01"] * len(gallery) + ["03"] * len(videos)
    views = [*["v"] * len(gallery), *videos]
    return evaluation_set(np.zeros((n, 1, 1), np.float32), labels, types, views)


def test_labels_and_ties(tmp_path, monkeypatch):
    path = tmp_path / "submission.csv"
    labels = [f"{i // 2:05d}" for i in range(20)] + ["walker"]
    distance = np.ones((2, 21))
    distance[1, 20] = 0
    blocks = [(slice(0, 1), distance[:1]), (slice(1, 2), distance[1:])]
    monkeypatch.setattr(EvaluationSet, "distances", lambda *_: blocks)
    assert GREW.write(path, grew_set(labels, ["one", "a,b"])) == 2
    rows = read(path)
    # Equal distances keep the gallery's order; both sequences of an identity are listed.
    assert rows[1] == ["one", *(str(i // 2) for i in range(20))]
    assert rows[2] == ["a,b", "walker", *(str(i // 2) for i in range(19))]


@pytest.mark.parametrize(
    ("videos", "gallery", "message"),
    [
        (["a"], 19, "only 19"),
        ([], 20, "nothing to submit"),
        (["a", "b", "a"], 20, "two probes are of video a"),
    ],
)
def test_wrong_submissions_are_not_written(tmp_path, videos, gallery, message):
    path = tmp_path / "submission.csv"
    with pytest.raises(DataError, match=message):
        GREW.write(path, grew_set(["1"] * gallery, videos))
    assert not path.exists()


def test_a_store_without_probes_or_gallery_has_no_submission(grew, tmp_path):
    embeddings, labels, types, views = grew
    with pytest.raises(DataError, match="nothing to submit"):
        GREW.write(
            tmp_path / "x.csv", evaluation_set(embeddings, labels, ["01"] * len(types), views)
        )
    with pytest.raises(DataError, match="only 0"):
        GREW.write(
            tmp_path / "x.csv", evaluation_set(embeddings, labels, ["03"] * len(types), views)
        )


def test_known_probes_against_the_whole_gallery(stored, grew):
    embeddings, labels, types, views = grew
    kind = np.array(types)
    truth = {views[i]: labels[i] for i in range(len(types)) if types[i] == "03"}
    hidden = ["probe" if kind == "03" else label for label, kind in zip(labels, types, strict=True)]
    outcome = GREW.evaluate(evaluation_set(embeddings, hidden, types, views, truth=truth))
    assert outcome.probes.tolist() == np.flatnonzero(kind == "03").tolist()
    x = embeddings.astype(float)
    probe, gallery = np.flatnonzero(kind == "03"), np.flatnonzero(np.isin(kind, ["01", "02"]))
    gaps = np.linalg.norm(x[probe][:, None] - x[gallery][None], axis=2).mean(2)
    names = np.array(labels)
    expected = retrieval_metrics(retrieve(gaps, names[probe], names[gallery]))
    assert outcome.metrics() == pytest.approx(expected)
    # What a submission server counts: the true identity among the first k.
    right = stored["grew/euc/submission_rank"] == names[probe].astype(int)[:, None]
    assert outcome.metrics()["rank1"] == pytest.approx(100 * right[:, 0].mean())
    assert outcome.metrics()["rank20"] == pytest.approx(100 * right.any(1).mean())


def test_distractors_join_the_gallery_when_they_are_wanted(grew, tmp_path):
    embeddings, labels, types, views = grew
    truth = {views[i]: labels[i] for i in range(len(types)) if types[i] == "03"}
    # A distractor upon each probe: nearest to it, and never right.
    probes = [i for i, kind in enumerate(types) if kind == "03"]
    more = (
        np.concatenate([embeddings, embeddings[probes]]),
        labels + [f"distractor_{i}" for i in probes],
        types + ["04"] * len(probes),
        views + [f"d{i}" for i in probes],
    )
    # Those of the recorded set have the probes' identities: as strangers they are never right.
    more[1][: len(labels)] = [
        f"stranger_{i}" if kind == "04" else label
        for i, (label, kind) in enumerate(zip(labels, types, strict=True))
    ]
    with_distractors = evaluation_set(*more, distractors=True)
    without = GREW.evaluate(evaluation_set(*more, truth=truth)).metrics()
    assert without == GREW.evaluate(evaluation_set(*grew, truth=truth)).metrics()
    assert (
        GREW.evaluate(replace(with_distractors, truth=truth)).metrics()["rank1"]
        == 0
        < without["rank1"]
    )
    path = tmp_path / "submission.csv"
    GREW.write(path, with_distractors)
    assert [row[1] for row in read(path)[1:]] == [f"distractor_{i}" for i in probes]
    local = PROTOCOLS["grew"].evaluate(with_distractors).metrics()["rank1_local"]
    assert local <= PROTOCOLS["grew"].evaluate(evaluation_set(*more)).metrics()["rank1_local"]
    nobody = [kind if kind != "04" else "05" for kind in types]
    with pytest.raises(DataError, match=r"distractors: none \(type 04\)"):
        GREW.write(path, evaluation_set(embeddings, labels, nobody, views, distractors=True))


def hid(seed=0):
    """Ten labelled people and eight probes, each near one of them; their true identities."""
    rng = np.random.default_rng(seed)
    people = rng.standard_normal((10, 6, 2))
    who = rng.permutation(10)[:8]
    probes = people[who] + 0.1 * rng.standard_normal((8, 6, 2))
    embeddings = np.concatenate([people, probes]).astype("f4")
    labels = [f"{i:04d}" for i in range(10)] + ["probe"] * 8
    types = ["seq0"] * 10 + [f"video{i}" for i in range(8)]
    truth = {f"video{i}": f"{person:04d}" for i, person in enumerate(who)}
    return (embeddings, labels, types, ["default"] * 18), truth


@pytest.mark.parametrize("rerank", [False, True])
@pytest.mark.parametrize("metric", ["euc", "cos"])
def test_hid_names_the_nearest(metric, rerank, tmp_path):
    known, truth = hid()
    embeddings, labels, types, _ = known
    path = tmp_path / "hid.csv"
    sequences = evaluation_set(*known, metric, rerank=rerank)
    assert HID.write(path, sequences) == 8
    header, *rows = read(path)
    assert header == ["videoID", "label"]
    assert read_truth(path) == dict(rows)
    ranking = reranked if rerank else blocks
    distance = np.concatenate([b for _, b in ranking(embeddings[10:], embeddings[:10], metric)])
    named = {types[10 + i]: labels[row.argmin()] for i, row in enumerate(distance)}
    assert dict(rows) == named
    outcome = HID.evaluate(replace(sequences, truth=truth))
    assert outcome.hits.tolist() == [named[video] == truth[video] for video in types[10:]]
    assert rerank or named == truth


def test_hid_videos_may_be_views(tmp_path):
    (embeddings, labels, types, views), truth = hid()
    HID.write(tmp_path / "hid.csv", evaluation_set(embeddings, labels, views, types))
    assert dict(read(tmp_path / "hid.csv")[1:]) == truth
    with pytest.raises(DataError, match="two probes are of video default"):
        HID.write(tmp_path / "hid.csv", evaluation_set(embeddings, labels, views, views))


def test_reranked_submission(grew, tmp_path):
    embeddings, labels, types, _ = grew
    GREW.write(tmp_path / "x.csv", evaluation_set(*grew, rerank=True))
    kind = np.array(types)
    probe, gallery = np.flatnonzero(kind == "03"), np.flatnonzero(np.isin(kind, ["01", "02"]))
    rows = reranked(embeddings[probe], embeddings[gallery])
    distance = np.concatenate([block for _, block in rows])
    names = np.array(labels)[gallery]
    nearest = names[np.argsort(distance, axis=1, kind="stable")[:, :20]].astype(int)
    assert [[int(word) for word in row[1:]] for row in read(tmp_path / "x.csv")[1:]] == (
        nearest.tolist()
    )


def test_what_makes_a_submission():
    def possible(submission, labels, types):
        rows = zip(labels, types, strict=True)
        sequences = [Sequence(label, kind, "v", "test", 9, 0, 0) for label, kind in rows]
        return submission.possible(unembedded(sequences))

    assert possible(GREW, ["1"] * 20 + ["probe"], ["01"] * 20 + ["03"])
    assert not possible(GREW, ["1"] * 20 + ["probe"], ["01"] * 19 + ["04", "03"])
    assert not possible(GREW, ["1"] * 20, ["01"] * 20)
    assert possible(HID, ["1", "probe"], ["a", "b"])
    assert not possible(HID, ["1", "2"], ["a", "b"])


def test_leading_zeros_do_not_matter(grew):
    _, labels, types, views = grew
    exact = {views[i]: labels[i] for i in range(len(types)) if types[i] == "03"}
    short = {video: str(int(label)) for video, label in exact.items()}
    assert (
        GREW.evaluate(evaluation_set(*grew, truth=exact)).metrics()
        == GREW.evaluate(evaluation_set(*grew, truth=short)).metrics()
    )


def test_truth_that_does_not_fit(grew):
    embeddings, labels, types, views = grew
    videos = [view for view, kind in zip(views, types, strict=True) if kind == "03"]
    with pytest.raises(DataError, match="30 of 30 probes have none"):
        GREW.evaluate(evaluation_set(*grew, truth={"other": "1"}))
    with pytest.raises(DataError, match="none is in the gallery"):
        GREW.evaluate(evaluation_set(*grew, truth=dict.fromkeys(videos, "nobody")))
    with pytest.raises(DataError, match="no probe among"):
        GREW.evaluate(
            evaluation_set(embeddings, labels, ["01"] * len(types), views, truth={"other": "1"})
        )


def test_truth_file(tmp_path, shared):
    path = tmp_path / "truth.csv"
    path.write_text("\ufefflabel,videoId\r\n00071, v1 \r\n\r\n3,v2\r\n", encoding="utf-8")
    assert read_truth(path) == {"v1": "00071", "v2": "3"}
    truth = read_truth(shared / "data" / "walk-grew-probe-truth.csv")
    assert len(truth) == 600 and truth["03GwfogD"] == "00071"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "must name the columns videoId,label"),
        (b"video,label\nv,1\n", "must name the columns videoId,label"),
        (b"videoId,label\n", "has no labels"),
        (b"videoId,label\nv,1\nv,2\n", ":3: video v is given twice"),
        (b"videoId,label\nv,1,2\n", ":2: must give a videoId and its label"),
        (b"videoId,label\nv\n", ":2: must give a videoId and its label"),
        (b"videoId,label\nv,\n", ":2: must give a videoId and its label"),
        (b"\xff\xfe\x00v", "not a readable CSV"),
    ],
)
def test_wrong_truth_files(tmp_path, text, message):
    path = tmp_path / "truth.csv"
    path.write_bytes(text)
    with pytest.raises(DataError, match=message):
        read_truth(path)


def test_missing_truth_file(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        read_truth(tmp_path / "none.csv")
