"""Where the figures put what they draw: values, units and directions by hand."""

import pytest
from small_run import entry, network

from nasgait.report import plots, search_plots
from nasgait.report.results import summary


def figure(draw, *args):
    """The figure before it is written as SVG, its axes and their labelled lines."""
    found = draw.__wrapped__(*args)
    return [
        {
            line.get_label(): (
                list(map(float, line.get_xdata())),
                list(map(float, line.get_ydata())),
            )
            for line in panel.lines
        }
        for panel in found.axes
    ]


def test_final_networks_stand_at_their_cost_in_the_unit_of_the_axis():
    networks = (
        network("s", "searched", macs=40_000_000, params=200_000, map=60.0),
        network("b", "baseline", macs=80_000_000, params=100_000, map=55.0),
    )
    limits = {"macs": 50_000_000, "params": 300_000}
    args = (networks, plots.looks(networks), "map", "mAP (%)", limits)
    macs, params = figure(plots.accuracy_and_cost, *args)
    assert macs["s"] == ([40.0], [60.0]) and macs["b"] == ([80.0], [55.0])
    assert params["s"] == ([200.0], [60.0]) and params["b"] == ([100.0], [55.0])
    assert macs["budget"][0] == [50.0, 50.0] and params["budget"][0] == [300.0, 300.0]


def stairs(networks):
    found = plots.accuracy_and_cost.__wrapped__(
        networks, plots.looks(networks), "map", "mAP (%)", {}
    )
    line = next(line for line in found.axes[0].lines if line.get_linestyle() == "--")
    return list(zip(line.get_xdata(), line.get_ydata(), strict=True))


def test_the_steps_join_what_no_cheaper_network_equals():
    points = {"a": (10, 40.0), "b": (20, 40.0), "c": (30, 55.0), "d": (40, 50.0), "e": (50, 60.0)}
    networks = [network(n, macs=m * 1_000_000, map=r) for n, (m, r) in points.items()]
    assert stairs(networks) == [(10.0, 40.0), (30.0, 55.0), (50.0, 60.0)]


def test_bars_go_from_the_worst_to_the_best_seed_of_the_metric_that_is_shown():
    one = network("s", "searched", seeds=[61.0, 75.0, 70.0], seeds_map=[52.0, None, 48.0])
    for metric, ends in (("map", (48.0, 52.0)), ("rank1", (61.0, 75.0))):
        found = plots.accuracy_and_cost.__wrapped__(
            [one], plots.looks([one]), metric, "metric (%)", {}
        )
        (bar,) = found.axes[0].collections
        assert bar.get_segments()[0][:, 1].tolist() == list(ends)
        assert bar.get_segments()[0][:, 0].tolist() == [40.0, 40.0]


def test_cmc_curves_begin_at_rank_one():
    one = network("s", "searched", results=({"cmc": [70.0, 80.0]}, {"cmc": [60.0, 90.0]}))
    (curves,) = figure(plots.cmc_curves, [one], plots.looks([one]))
    assert curves == {"s": ([1.0, 2.0], [65.0, 85.0])}


LEDGER = [
    entry((0,), 0, map=40.0, macs=2e7),
    entry((1,), 0, map=50.0, macs=4e7),
    entry((2,), 0, map=44.0, macs=3e7),
    entry((3,), 1, map=45.0, macs=1e7),
    entry((4,), 2, map=52.0, macs=5e7),
    entry((5,), 2, map=52.0, macs=4e7),
]


def test_progress_shows_the_median_and_the_best_so_far():
    (lines,) = figure(search_plots.search_progress, LEDGER, "map", "mAP (%)")
    assert lines["median of the generation"] == ([0, 1, 2], [44.0, 45.0, 52.0])
    assert lines["best so far"] == ([0, 1, 2], [50.0, 50.0, 52.0])


@pytest.mark.parametrize(("cost", "unit"), [("macs", 1e6), ("latency", 1e-3)])
def test_the_star_of_the_scatter_is_the_cheapest_of_the_best(cost, unit):
    ledger = [
        entry(e.choices, 0, **{**e.values, "latency": e.values["macs"] / 1e9}) for e in LEDGER
    ]
    panels = figure(search_plots.search_scatter, ledger, ledger[3:4], "map", "mAP (%)", {})
    lines = panels[{"macs": 0, "latency": 2}[cost]]
    expected = {"macs": 40.0, "latency": 40.0}[cost]
    assert lines["best"] == ([pytest.approx(expected)], [52.0])
    assert lines["Pareto front"][0] == [pytest.approx(expected / 4)]
    assert lines["scored"][0] == [pytest.approx(e.values[cost] / unit) for e in ledger]


def test_scores_are_across_and_retrained_metrics_up():
    table = [{"arch": "nano:r", "supernet": 30.0, "retrained": 50.0}]
    (points,) = figure(plots.agreement, table, [network("r")], plots.looks([network("r")]), "mAP")
    assert list(points.values()) == [([30.0], [50.0])]


def test_an_unfinished_run_is_summed_up_over_the_seeds_that_are_there():
    finals = [
        {"kind": "random", "rank1": 70.0, "map": 50.0, "train_seconds": 10.0, "macs": 4},
        {"kind": "random", "rank1": 80.0, "map": 54.0, "train_seconds": 20.0, "macs": 4},
    ]
    found = summary("r", finals)
    assert (found["rank1"], found["map"], found["train_seconds"]) == (75.0, 52.0, 15.0)
    assert (found["seeds"], found["seeds_map"]) == ([70.0, 80.0], [50.0, 54.0])
    assert (found["name"], found["kind"], found["macs"]) == ("r", "random", 4)
