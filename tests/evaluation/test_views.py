"""CASIA-B's and OU-MVLP's protocols against going through them by hand in float64."""

import numpy as np
import pytest

from nasgait.core.errors import ConfigError, DataError
from nasgait.evaluation import distance
from nasgait.evaluation.evaluation_set import evaluation_set
from nasgait.evaluation.protocols import PROTOCOLS, evaluate
from nasgait.evaluation.protocols.conditions import ConditionProtocol

VIEWS = ("000", "036", "090")
BY_CONDITION = [name for name, p in PROTOCOLS.items() if isinstance(p, ConditionProtocol)]


def dataset(protocol, seed=0, ids=5, views=VIEWS):
    """Random embeddings of every type and view that a protocol knows, shuffled, some lost."""
    rng = np.random.default_rng(seed)
    plan = PROTOCOLS[protocol]
    types = sorted(
        {*plan.gallery_types, *(kind for kinds in plan.probe_types.values() for kind in kinds)}
    )
    rows = [(f"{i:03d}", kind, view) for i in range(ids) for kind in types for view in views]
    rows = [rows[k] for k in rng.permutation(len(rows)) if rng.random() < 0.9]
    people = rng.standard_normal((ids, 4, 3))
    noise = rng.standard_normal((len(rows), 4, 3))
    embeddings = np.array([people[int(row[0])] for row in rows]) + 1.5 * noise
    return embeddings.astype("f4"), *(list(column) for column in zip(*rows, strict=True))


def gaps(x, y, metric):
    """Mean over parts of the distances of x [n, c, p] to y [m, c, p], in float64."""
    x, y = x.astype(float)[:, None], y.astype(float)[None]
    if metric == "euc":
        return np.linalg.norm(x - y, axis=2).mean(2)
    cosines = (x * y).sum(2) / np.linalg.norm(x, axis=2) / np.linalg.norm(y, axis=2)
    return 1 - cosines.mean(2)


def cell(known, probes, gallery, metric, other_views=False):
    """Rank-1 and mAP, in percent and rounded, going through each probe's sorted gallery."""
    embeddings, labels, _, views = known
    firsts, precisions = [], []
    for i in probes:
        own = [j for j in gallery if labels[j] == labels[i] and views[j] == views[i]]
        members = [j for j in gallery if not (other_views and j in own)]
        order = np.argsort(gaps(embeddings[[i]], embeddings[members], metric)[0])
        hits = [labels[members[k]] == labels[i] for k in order]
        right = [place for place, hit in enumerate(hits, 1) if hit]
        firsts.append(hits[0])
        if right or not other_views:
            values = [(k + 1) / place for k, place in enumerate(right)]
            precisions.append(sum(values) / max(1, len(values)))
    return round(100 * np.mean(firsts), 2), round(100 * np.mean(precisions), 2)


def chosen(known, kinds, view=None):
    _, _, types, views = known
    rows = range(len(types))
    return [i for i in rows if types[i] in kinds and view in (None, views[i])]


@pytest.mark.parametrize("metric", ["euc", "cos"])
@pytest.mark.parametrize("protocol", ["casia-b", "oumvlp"])
@pytest.mark.parametrize("seed", [0, 1])
def test_each_pair_of_views_by_hand(protocol, metric, seed):
    known = dataset(protocol, seed, ids=12 if protocol == "oumvlp" else 5)
    outcome = PROTOCOLS[protocol].evaluate(evaluation_set(*known, metric))
    tables = outcome.metrics()
    plan = PROTOCOLS[protocol]
    assert list(tables) == list(plan.probe_types)
    for name, kinds in plan.probe_types.items():
        pairs = {
            (a, b): cell(
                known, chosen(known, kinds, a), chosen(known, plan.gallery_types, b), metric
            )
            for a in VIEWS
            for b in VIEWS
        }
        table = tables[name]
        others = [value for (a, b), value in pairs.items() if a != b]
        assert table["rank1"] == pytest.approx(np.mean([rank for rank, _ in others]))
        assert table["map"] == pytest.approx(np.mean([ap for _, ap in others]), abs=1e-2)
        everything = np.mean([rank for rank, _ in pairs.values()])
        assert table["rank1_with_identical_view"] == pytest.approx(everything)
        for a in VIEWS:
            row = np.mean([pairs[a, b][0] for b in VIEWS if a != b])
            assert table["per_view"][a] == pytest.approx(row)


@pytest.mark.parametrize("metric", ["euc", "cos"])
@pytest.mark.parametrize("protocol", ["casia-b-cross-view", "oumvlp-cross-view"])
def test_one_gallery_of_all_views_by_hand(protocol, metric):
    known = dataset(protocol, ids=12)
    tables = evaluate(protocol, *known, metric)
    plan = PROTOCOLS[protocol]
    gallery = chosen(known, plan.gallery_types)
    for name, kinds in plan.probe_types.items():
        rows = [cell(known, chosen(known, kinds, v), gallery, metric, True) for v in VIEWS]
        ranks, precisions = zip(*rows, strict=True)
        assert tables[name]["rank1"] == pytest.approx(np.mean(ranks))
        assert tables[name]["map"] == pytest.approx(np.mean(precisions), abs=1e-2)
        assert tables[name]["per_view"] == pytest.approx(dict(zip(VIEWS, ranks, strict=True)))
        by_view = dict(zip(VIEWS, precisions, strict=True))
        assert tables[name]["map_per_view"] == pytest.approx(by_view, abs=1.1e-2)


def test_each_probe_has_its_mean_over_the_other_views():
    known = dataset("casia-b")
    outcome = PROTOCOLS["casia-b"].evaluate(evaluation_set(*known))
    assert len(outcome.hits) == len(outcome.ap) == len(outcome.labels) == len(outcome.probes)
    embeddings, labels, types, views = known
    for place, i in list(enumerate(outcome.probes))[:10]:
        hits = []
        for view in set(VIEWS) - {views[i]}:
            gallery = chosen(known, PROTOCOLS["casia-b"].gallery_types, view)
            order = np.argsort(gaps(embeddings[[i]], embeddings[gallery], "euc")[0])
            hits.append(labels[gallery[order[0]]] == labels[i])
        assert outcome.hits[place] == pytest.approx(np.mean(hits))
        assert types[i] in {"nm-05", "nm-06", "bg-01", "bg-02", "cl-01", "cl-02"}


@pytest.mark.parametrize("protocol", BY_CONDITION)
def test_single_metrics_are_means_over_the_conditions(protocol):
    outcome = PROTOCOLS[protocol].evaluate(evaluation_set(*dataset(protocol)))
    tables, single = outcome.metrics(), outcome.summary()
    for name in ("rank1", "rank5", "map"):
        assert single[name] == pytest.approx(np.mean([t[name] for t in tables.values()]))
    conditions = {f"rank1_{name}" for name in tables} if len(tables) > 1 else set()
    assert single.keys() == {"rank1", "rank5", "map"} | conditions
    curve = outcome.cmc()
    assert curve.shape == (20,) and (np.diff(curve) >= 0).all()
    assert curve[0] == pytest.approx(single["rank1"], abs=0.02)
    assert np.array_equal(outcome.cmc(5), curve[:5])
    assert np.array_equal(outcome.cells(), outcome.cells(1))


def test_blocks_do_not_change_the_tables(monkeypatch):
    known = dataset("casia-b")
    whole = evaluate("casia-b", *known)
    monkeypatch.setattr(distance, "_CELLS", 30)
    assert evaluate("casia-b", *known) == whole


def test_other_types_are_left_out():
    embeddings, labels, types, views = dataset("oumvlp")
    more = (
        np.concatenate([embeddings, embeddings[:4]]),
        labels + ["x"] * 4,
        types + ["02"] * 4,
        views + ["270"] * 4,
    )
    assert evaluate("oumvlp", *more) == evaluate("oumvlp", embeddings, labels, types, views)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda kind, view: ("00", view), r"no nm probe \(nm-05, nm-06\) among \d+ sequences"),
        (
            lambda kind, view: ("00", view),
            r"types are 00; nor any of bg \(bg-01, bg-02\), cl \(cl-01, cl-02\)",
        ),
        (
            lambda kind, view: (kind.replace("nm-0", "nm-1"), view),
            r"no gallery sequence \(nm-01, nm-02, nm-03, nm-04\)",
        ),
        (
            lambda kind, view: (kind if kind in ("nm-05", "bg-01", "cl-01") else "xx", view),
            r"no gallery sequence \(nm-01, nm-02, nm-03, nm-04\)",
        ),
        (lambda kind, view: (kind, "090"), "all sequences are of view 090"),
        (
            lambda kind, view: ("xx" if (kind[:2], view) == ("bg", "036") else kind, view),
            "no bg probe of view 036, but others of that view; .* leave-one-out",
        ),
        (
            lambda kind, view: (
                "xx" if kind < "nm-05" and view == "000" and "nm" in kind else kind,
                view,
            ),
            "no gallery sequence of view 000",
        ),
    ],
)
def test_empty_cells_are_refused(change, message):
    embeddings, labels, types, views = dataset("casia-b")
    pairs = [change(kind, view) for kind, view in zip(types, views, strict=True)]
    with pytest.raises(DataError, match=message):
        evaluate("casia-b", embeddings, labels, *map(list, zip(*pairs, strict=True)))


def test_unknown_metric():
    with pytest.raises(ConfigError, match="metric 'l1' is unknown, known are euc, cos"):
        evaluate("casia-b", *dataset("casia-b"), "l1")
