"""Evaluators: every recorded result of every published implementation."""

import numpy as np
import pytest
from reference import load_json, load_npz, needs_reference

from nasgait.evaluation.distance import distances
from nasgait.evaluation.evaluation_set import evaluation_set
from nasgait.evaluation.metrics import cmc, retrieve
from nasgait.evaluation.protocols import PROTOCOLS, evaluate
from nasgait.evaluation.protocols.grew import SUBMISSION
from nasgait.evaluation.rerank import reranked

pytestmark = needs_reference
FILES = ("evaluators", "evaluators_sposgait", "evaluators_hstl")
METRICS = ("euc", "cos")
SHAPES = {
    "single_view": "by view",
    "identification": "by view",
    "cross_view": "cross view",
    "real_scene": "grew",
    "submission": "submission",
    "": "gait3d",
}
"""Published functions, and the test here that their results belong to."""
LEFT_OUT = ("ccpg",)
"""Data sets that are recorded and not supported: RGB and cloth-changing re-identification."""


def recorded(shape):
    """(file, set, metric, key) of every result of one shape."""
    found = []
    for file in FILES:
        for key in load_json(file).get("results", {}):
            name, _, rest = key.partition("/")
            metric, _, function = rest.partition("/")
            if metric in METRICS and name not in LEFT_OUT and SHAPES[function] == shape:
                found.append(pytest.param(file, name, metric, key, id=f"{file}:{key}"))
    return found


def sequences(file, name):
    """Embeddings, labels, types and views of a recorded set."""
    stored = load_npz(file)
    columns = (stored[f"{name}/{column}"].tolist() for column in ("labels", "types", "views"))
    return stored[f"{name}/embeddings"], *columns


def protocol_of(name):
    return {"casiab": "casia-b"}.get(name.split("_")[0], name)


def close(ours, theirs):
    """Metrics and lists of metrics, to 1e-6."""
    np.testing.assert_allclose(ours, theirs, atol=1e-6, rtol=1e-7)


def published_cells(file, name, metric):
    """Rank-k in percent, [conditions, views, views, ranks], as far as recorded."""
    stored = load_npz(file)
    prefix = f"{name}/{metric}/acc_rank1"
    if f"{prefix}to5" in stored:
        return stored[f"{prefix}to5"]
    cells = [stored[key] for key in stored if key.startswith(f"{prefix}_")]
    return np.stack(cells)[..., None]


@pytest.mark.parametrize(("file", "name", "metric", "key"), recorded("by view"))
def test_one_gallery_for_each_view(file, name, metric, key):
    theirs = load_json(file)["results"][key]
    given = sequences(file, name)
    outcome = PROTOCOLS[protocol_of(name)].evaluate(evaluation_set(*given, metric))
    tables = outcome.metrics()
    assert tables == evaluate(protocol_of(name), *given, metric)
    cells = published_cells(file, name, metric)
    for rank in range(1, cells.shape[-1] + 1):
        assert np.array_equal(outcome.cells(rank), cells[..., rank - 1])
    scores = {title.rpartition("/")[2].split("@")[0]: v for title, v in theirs["result"].items()}
    assert [condition.upper() for condition in tables] == list(scores)
    for condition, table in tables.items():
        check_condition(condition.upper(), table, scores, theirs)
    close(outcome.summary()["rank1"], np.mean(list(scores.values())))
    if "exclude_identical_view" in theirs:
        close(outcome.cmc(5), np.mean(list(theirs["exclude_identical_view"].values()), axis=0))


def check_condition(title, table, scores, theirs):
    """Hold the table of a condition against what is recorded of it."""
    assert list(table["per_view"]) == theirs["views"]
    close(table["rank1"], scores[title])
    if "include_identical_view" in theirs:
        close(table["rank1_with_identical_view"], theirs["include_identical_view"][title][0])
        close(table["rank5"], theirs["exclude_identical_view"][title][4])
        angles = theirs["each_probe_angle_rank1_exclude"][title]
    else:
        means = theirs["rank1_include_identical_view_mean_of_acc"]
        close(table["rank1_with_identical_view"], means[title])
        angles = theirs["rank1_each_probe_angle_exclude"][title]
    close(list(table["per_view"].values()), angles)


@pytest.mark.parametrize(("file", "name", "metric", "key"), recorded("cross view"))
def test_one_gallery_of_all_views(file, name, metric, key):
    theirs = load_json(file)["results"][key]
    tables = evaluate(f"{protocol_of(name)}-cross-view", *sequences(file, name), metric)
    assert len(tables) == len(theirs["acc_each_probe_angle"])
    for condition, table in tables.items():
        title = condition.upper()
        close(table["rank1"], theirs["result"][f"scalar/test_accuracy/{title}-Rank@1"])
        close(table["map"], theirs["result"][f"scalar/test_accuracy/{title}-mAP"])
        close(list(table["per_view"].values()), theirs["acc_each_probe_angle"][title])
        close(list(table["map_per_view"].values()), theirs["map_each_probe_angle"][title])


@pytest.mark.parametrize(("file", "name", "metric", "key"), recorded("grew"))
def test_grew_without_a_submission(file, name, metric, key):
    theirs = load_json(file)["results"][key]
    outcome = PROTOCOLS["grew"].evaluate(evaluation_set(*sequences(file, name), metric))
    table = outcome.metrics()
    assert table["rank1_local"] == theirs["result"]["scalar/test_accuracy/Rank-1"]
    assert table["rank5_local"] == theirs["result"]["scalar/test_accuracy/Rank-5"]
    assert outcome.cmc().round(2).tolist() == theirs["cmc_rank1_to_20"]


@pytest.mark.parametrize(("file", "name", "metric", "key"), recorded("gait3d"))
def test_gait3d(file, name, metric, key):
    theirs = load_json(file)["results"][key]
    probes = load_npz(file)[f"{name}/probe_set"].tolist()
    outcome = PROTOCOLS["gait3d"].evaluate(
        evaluation_set(*sequences(file, name), metric, probes=probes)
    )
    table = outcome.metrics()
    for ours, title in (
        ("rank1", "Rank-1"),
        ("rank5", "Rank-5"),
        ("rank10", "Rank-10"),
        ("map", "mAP"),
        ("minp", "mINP"),
    ):
        close(table[ours], theirs["result"][f"scalar/test_accuracy/{title}"])
    close(outcome.cmc(len(theirs["cmc"])) / 100, theirs["cmc"])
    if "AP" in theirs:
        close(outcome.retrieval.ap, theirs["AP"])
        close(outcome.retrieval.inp, theirs["INP"])


def submissions():
    """(file, set, metric, array, with distractors) of every recorded GREW submission."""
    found = []
    for file in FILES:
        for key in load_npz(file):
            name, _, rest = key.partition("/")
            metric, _, array = rest.partition("/")
            if array.startswith("submission_rank"):
                case = (file, name, metric, array, array.endswith("_dist1"))
                found.append(pytest.param(*case, id=f"{file}:{key}"))
    return found


@pytest.mark.parametrize(("file", "name", "metric", "array", "distractors"), submissions())
def test_grew_submission(file, name, metric, array, distractors, tmp_path):
    stored = load_npz(file)
    path = tmp_path / "submission.csv"
    SUBMISSION.write(path, evaluation_set(*sequences(file, name), metric, distractors=distractors))
    header, *rows = (line.split(",") for line in path.read_text().splitlines())
    assert header == ["videoId", *(f"rank{k}" for k in range(1, 21))]
    assert [row[0] for row in rows] == stored[f"{name}/{metric}/submission_video"].tolist()
    ranks = [[int(identity) for identity in row[1:]] for row in rows]
    assert ranks == stored[f"{name}/{metric}/{array}"].tolist()


def rerankings():
    """(file, array) of every recorded re-ranking."""
    return [
        pytest.param(file, key, id=f"{file}:{key}")
        for file in FILES
        for key in load_npz(file)
        if key.startswith("rerank/q")
    ]


@pytest.mark.parametrize(("file", "key"), rerankings())
def test_reranking(file, key):
    stored = load_npz(file)
    probes, k1, k2, share = read_settings(key)
    x = stored["rerank/embeddings"]
    rows = reranked(x[:probes], x[probes:], "euc", k1, k2, share)
    ours = np.concatenate([block for _, block in rows])
    # The published one keeps its weights and Jaccard distances in float16.
    np.testing.assert_allclose(ours, stored[key], atol=1e-3)


def read_settings(key):
    """Probes, k1, k2 and lambda from ``rerank/q8_k1_6_k2_6_lambda_0.3``."""
    words = key.partition("/")[2].split("_")
    k1, k2, share = words[2], words[4], words[6]
    return int(words[0][1:]), int(k1), int(k2), float(share)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", ["grew", "gait3d"])
def test_distances(name, metric):
    stored = load_npz("evaluators")
    x, labels, types, views = sequences("evaluators", name)
    if name == "grew":
        probe, gallery = (np.array(types) == kind for kind in ("02", "01"))
    else:
        keys = ["-".join(names) for names in zip(labels, types, views, strict=True)]
        probe = np.isin(keys, stored["gait3d/probe_set"])
        gallery = ~probe
    ours = distances(x[probe], x[gallery], metric)
    np.testing.assert_allclose(ours, stored[f"{name}/{metric}/dist"], rtol=1e-5, atol=1e-6)


def test_ranking():
    stored = load_npz("evaluators")
    theirs = load_json("evaluators")["results"]["rank"]["evaluate_rank"]
    found = retrieve(stored["rank/dist"], stored["rank/p_lbl"], stored["rank/g_lbl"])
    # The published function leaves out the probes that have no match.
    found = found[np.flatnonzero(found.first_hit >= 0)]
    close(found.ap, theirs["AP"])
    close(found.inp, theirs["INP"])
    close(cmc(found, 25) / 100, theirs["cmc"])


def test_ranking_across_cameras():
    stored = load_npz("evaluators")
    results = load_json("evaluators")["results"]["rank"]
    same_camera = stored["rank/p_cam"][:, None] == stored["rank/g_cam"]
    same_label = stored["rank/p_lbl"][:, None] == stored["rank/g_lbl"]
    found = retrieve(
        stored["rank/dist"],
        stored["rank/p_lbl"],
        stored["rank/g_lbl"],
        excluded=same_camera & same_label,
    )
    matched = found[np.flatnonzero(found.first_hit >= 0)]
    theirs = results["evaluate_many"]
    close(cmc(matched, theirs["max_rank"]) / 100, theirs["cmc"])
    close(matched.ap.mean(), theirs["mAP"])
    close(matched.inp.mean(), theirs["mINP"])
    rank1, precision = results["acc_map_cross_view"]
    close([np.mean(found.first_hit == 0), matched.ap.mean()], [rank1, precision])


def test_every_recorded_set_is_compared_or_left_out():
    known = {"casiab", "casiab_11views", "oumvlp", "grew", "gait3d", "rank", *LEFT_OUT}
    for file in FILES:
        assert {key.split("/")[0] for key in load_json(file)["results"]} <= known
