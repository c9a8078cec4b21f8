"""Figures: the same look everywhere, the same bytes every time, odd data without a crash."""

import re

import pytest

from nasgait.report import plots, search_plots
from nasgait.report.rundir import Network
from nasgait.search.ledger import LedgerEntry


def network(name, kind, score=30.0, macs=4e7):
    values = {"map": score, "macs": macs, "params": macs / 200, "seeds_map": [score - 1, score + 1]}
    curve = [{"step": 1, "loss": 1.0}, {"step": 2, "loss": None}, {"step": 3, "loss": 0.5}]
    return Network(name, kind, values, ({"cmc": [score, score + 20]},), (curve,))


def entry(score, macs, generation=0):
    return LedgerEntry((int(macs),), generation, {"map": score, "macs": macs, "params": macs})


def generation(number):
    """Six layers, of which the first has no choice: more than a row of panels."""
    shares = [0.5, 0.5 - number / 10, number / 10]
    return {"generation": number, "hypervolume": number / 9, "frequencies": [[1.0], *[shares] * 5]}


NETWORKS = [
    network("searched", "searched"),
    *[network(f"baseline-{i}", "baseline") for i in range(12)],
    *[network(f"random-{i}", "random") for i in range(3)],
    network("uniform-0", "uniform"),
]


def test_every_look_is_told_apart():
    looks = plots.looks(NETWORKS)
    alone = [look for look in looks.values() if "(" not in look.label]
    assert len(alone) == len({look.label for look in alone}) == 13
    assert len({(look.colour, look.marker) for look in alone}) == 13
    assert len({(look.colour, look.dashes) for look in alone}) == 13
    assert {look.label for look in looks.values() if "(" in look.label} == {
        "random (3)",
        "uniform (1)",
    }


def figures():
    looks = plots.looks(NETWORKS)
    ledger = [entry(10.0, 5, 0), entry(12.0, 7, 0), entry(12.0, 6, 2)]
    timed = [LedgerEntry(e.choices, 0, {**e.values, "latency": 0.03}) for e in ledger]
    many = [{"step": s, "loss": 1 / s} for s in range(1, 5000)]
    table = [{"arch": "a", "supernet": 1.0, "retrained": 2.0}]
    return {
        "progress": search_plots.search_progress(ledger, "map", "mAP (%)"),
        "one score": search_plots.search_progress(ledger[:1], "map", "mAP (%)"),
        "scatter": search_plots.search_scatter(ledger, ledger[:1], "map", "mAP (%)", {"macs": 6.5}),
        "no front": search_plots.search_scatter(ledger, [], "map", "mAP (%)", {}),
        "scatter with latency": search_plots.search_scatter(
            timed, timed[:1], "map", "mAP (%)", {"latency": 0.04}
        ),
        "choices": search_plots.choices_over_time([generation(n) for n in range(5)]),
        "one generation": search_plots.choices_over_time([generation(0)]),
        "hypervolume": search_plots.hypervolume([generation(n) for n in range(5)]),
        "accuracy": plots.accuracy_and_cost(NETWORKS, looks, "map", "mAP (%)", {"macs": 5e7}),
        "cmc": plots.cmc_curves(NETWORKS, looks),
        "training": plots.training_curves(many, NETWORKS, looks),
        "supernet alone": plots.training_curves(many, [], {}),
        "finals alone": plots.training_curves([], NETWORKS, looks),
        "agreement": plots.agreement(table, NETWORKS, looks, "mAP"),
    }


@pytest.fixture(scope="module")
def drawn():
    return figures()


def test_figures_are_svg(drawn):
    for name, svg in drawn.items():
        assert svg.startswith(b"<?xml") and b"</svg>" in svg, name
        assert len(svg) < 400_000, name


def test_a_budget_far_from_all_networks_is_not_drawn(drawn):
    ledger = [entry(10.0, 5, 0), entry(12.0, 7, 0), entry(12.0, 6, 2)]

    def scatter(macs):
        return search_plots.search_scatter(ledger, ledger[:1], "map", "mAP (%)", {"macs": macs})

    assert scatter(None) == scatter(15)
    assert scatter(14) != scatter(None) != scatter(6.5)


def test_same_data_same_bytes(drawn):
    assert figures() == drawn


def test_long_curves_are_averaged():
    metrics = [{"step": s, "loss": float(s)} for s in range(1, 100_001)]
    steps, losses = plots._curve(metrics)
    assert len(steps) == plots.CURVE_POINTS
    assert losses.mean() == pytest.approx(50_000.5)
    assert (steps == losses).all()


def test_cmc_is_the_mean_over_seeds():
    one = Network("a", "searched", {}, ({"cmc": [10.0, 20.0]}, {"cmc": [20.0, 40.0]}, {}))
    assert one.cmc == [15.0, 30.0]


def test_no_style_leaks():
    import matplotlib

    plots.cmc_curves(NETWORKS, plots.looks(NETWORKS))
    assert matplotlib.rcParams["svg.hashsalt"] is None
    assert not re.search("pyplot", " ".join(vars(plots)))
