"""Every number of the result page from a run so small that it can be reckoned by hand."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from small_run import entry, network, run_of

from nasgait.report import page
from nasgait.report.page import facts, headline, rows, table_note
from nasgait.report.pictures import pictures
from nasgait.report.style import cost_axis, panels


def test_the_headline_by_hand():
    own = network("s", "searched", rank1=81.25, map=60.04, macs=37_294_080, params=155_144)
    strong = network("strong", "baseline", rank1=70.0, map=61.55, macs=2.5e9, params=1_204_000)
    weak = network("weak", "baseline", rank1=90.0, map=55.0)
    limits = {"budget": {"macs": 4e7}}
    run = run_of(networks=(own, weak, strong), results={"best": "s", **limits})
    assert run.best == "strong", "whatever an earlier version wrote"
    assert headline(run) == [
        "Best of all by mAP: hand-designed network strong: rank-1 70.0 %, mAP 61.5 %, 2.50 G MACs, "
        "1.20 M params; over the budget; next s.",
        "Best within the budget (MACs ≤ 40.0 M): searched network nano:s: rank-1 81.2 %, mAP "
        "60.0 %, 37.3 M MACs, 155 K params.",
    ]
    by_rank1 = run_of(
        networks=run.networks, results=limits, config={"search": {"objectives": ["rank1"]}}
    )
    first, second = headline(by_rank1)
    assert first.startswith("Best of all by rank-1: hand-designed network weak: rank-1 90.0 %")
    assert "; within the budget; next s" in first
    assert second.startswith("Searched network, place 2 of 3: nano:s: rank-1 81.2 %")
    assert by_rank1.best == "weak"


def gap(mean, low, high):
    return {"mean": mean, "low": low, "high": high}


def test_intervals_ties_and_chance_are_in_the_sentence():
    own = network("s", "searched", map=60.04, interval=[58.0, 62.0], seeds=[1.0, 2.0])
    tied = network("t", "baseline", map=60.01, interval=[57.0, 63.0])
    third = network("u", map=50.0, interval=[48.0, 52.0], against_best=gap(-10, -12, -8))
    first, other, caveat = headline(run_of(networks=(third, tied, own)))
    assert "mAP 60.0 % [58.0, 62.0], 40.0 M MACs" in first
    assert first.endswith("; to one decimal as good: t.")
    assert other.startswith("Best hand-designed network, place 2 of 3: t: rank-1")
    assert caveat.startswith(
        "Brackets are 95 % intervals over the test identities, for 1 to 2 trainings of each: other "
    )
    first, caveat = headline(run_of(networks=(third, network("w", map=51.0))))
    assert "for one training of each: " in caveat
    first, _ = headline(run_of(networks=(own, third)))
    assert first.endswith("; next u at -10.0 [-12.0, -8.0].")
    close = network("v", "baseline", map=59.0, against_best=gap(-1, -3, 1))
    first, _, _ = headline(run_of(networks=(own, close)))
    assert first.endswith(
        "next v at -1.0 [-3.0, +1.0], which the test identities cannot tell apart."
    )


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"macs": 1e6}, "No network is known to keep the budget (MACs ≤ 1.00 M)."),
        ({"latency": 0.05}, "No network is known to keep the budget (latency ≤ 50 ms)."),
    ],
)
def test_where_nothing_is_known_to_keep_the_budget(limits, said):
    run = run_of(networks=(network("a"),), results={"budget": limits})
    first, second = headline(run)
    assert second == said and run.standing.best_within is None
    assert ("over the budget" in first) == ("macs" in limits)
    assert ("whether it keeps the budget is not known" in first) == ("latency" in limits)


def test_a_best_baseline_has_one_sentence():
    pair = network("b", "baseline", map=50.0), network("c", "baseline", map=60.0)
    (sentence,) = headline(run_of(networks=pair))
    assert sentence.startswith("Best hand-designed network by mAP: c: rank-1 70.0 %, mAP 60.0 %")


def test_without_a_metric_nobody_wins():
    run = run_of(networks=(network("a", map=None, rank1=None),))
    assert headline(run) == [] and run.best is None


def test_macs_are_held_against_the_budget_at_its_frames():
    long = {"frames": 30, "macs": 75_000_000}
    networks = (
        network("a", **long, budget_frames=16, budget_macs=40_000_000),
        network("b", **long, budget_frames=16, budget_macs=41_000_000),
        network("c", **long),
        network("d"),
    )
    results = {"budget": {"macs": 4e7}, "budget_frames": 16}
    found = {one.name: cells for one, cells in rows(run_of(networks=networks, results=results))}
    notes = {name: cells[2].note for name, cells in found.items()}
    assert notes == {
        "a": None, "b": "over budget at 16 frames", "c": "not known at 16 frames", "d": None,
    }  # fmt: skip


def test_the_rate_without_unmatched_probes_stands_below_the_published_one():
    one = network("a", rank1=75.0, rank1_matched=100.0, map_matched=90.0, seeds=[70.0, 80.0])
    run = run_of(networks=(one,))
    (row,) = rows(run)
    assert cells(row)[:2] == ["75.0", "50.0"]
    assert small(row)[:2] == ["70.0 to 80.0\n100.0 of the matched", "90.0 of the matched"]
    assert "Of the matched: without the probes that have no match" in table_note(run)
    same = network("a", rank1=70.0, rank1_matched=70.0)  # the protocol leaves the others out
    for one in (network("a"), same):
        assert "Of the matched" not in table_note(run_of(networks=(one,)))
        assert small(rows(run_of(networks=(one,)))[0])[0] is None


def test_before_the_comparison_the_results_of_the_seeds_tell_what_is_unequal():
    def result(steps):
        return {"seed": 0, "steps": steps, "recipe": {"steps": steps, "batch": {"ids": 8}}}

    networks = (
        network("a", results=[result(137)], notes=["2 of 8 probes have no match"]),
        network("b", results=[result(800)], notes=["2 of 8 probes have no match"]),
    )
    run = run_of(networks=networks)
    assert run.notes == [
        "Not trained alike: steps (137: a; 800: b); a difference in metrics may come from that, "
        "not from the networks.",
        "2 of 8 probes have no match.",
    ]
    assert "<p>Not trained alike: steps (137: a; 800: b)" in page.render(run)
    assert run_of(networks=networks, results={"notes": ["N."]}).notes == ["N."]
    assert page.in_print(run) == [*headline(run), *run.notes]


def test_names_carry_their_place_and_the_seeds_they_lack():
    networks = (
        network("a", map=60.0, macs=50_000_000, seeds=[1.0, 2.0]),
        network("b", map=50.0, seeds=[1.0]),
    )
    run = run_of(networks=networks, results={"budget": {"macs": 4e7}})
    assert list(page.tags(run, networks[0])) == ["best of all"]
    assert list(page.tags(run, networks[1])) == ["best within the budget", "1 of 2 seeds"]
    wanted = run_of(networks=networks, config={"seeds": 3})
    assert list(page.tags(wanted, networks[0])) == ["best of all", "2 of 3 seeds"]


def test_the_facts_by_hand():
    run = run_of(
        config={"space": "nano"},
        results={"budget": {"macs": 4e7, "latency": 0.05}},
        supernet=[{"step": 50, "seconds": 5.0}, {"step": 12_000, "seconds": 7384.0}],
        ledger=(
            entry((0,), 0, seconds=10.0),
            entry((1,), 0, seconds=20.0),
            entry((2,), 1, seconds=45.5),
        ),
        networks=(network("a", seeds=[70.0, 71.0]), network("b")),
    )
    assert list(facts(run)) == [
        ("Search space", "nano"),
        ("Budget", "MACs ≤ 40.0 M, latency ≤ 50 ms"),
        ("Supernet", "12,000 steps in 2 h 03 min"),
        ("Search", "3 architectures scored in 2 generations, 1 min 16 s"),
        ("Final networks", "2, 1 to 2 seeds each"),
    ]


def test_one_of_each_is_told_in_the_singular():
    run = run_of(config={"space": None}, ledger=(entry((0,)),), networks=(network("a"),))
    assert list(facts(run)) == [
        ("Search", "1 architecture scored in 1 generation, 0.0 s"),
        ("Final networks", "1, 1 seed each"),
    ]


def cells(row):
    return [cell.text for cell in row[1]]


def small(row):
    return [cell.note for cell in row[1]]


def bold(row):
    return [cell.best for cell in row[1]]


def test_a_row_by_hand():
    one = network(
        "a",
        rank1=70.04,
        map=49.96,
        macs=38_000_000,
        params=420_001,
        train_seconds=3725.0,
        seeds=[71.04, 69.04],
        seeds_map=[48.0, 51.92],
    )
    (row,) = rows(run_of(networks=(one,), results={"best": "a"}))
    assert row[0] is one and one.design == "nano:a"
    assert cells(row) == ["70.0", "50.0", "38.0 M", "420 K", "16 × 32 × 22", "1 h 02 min"]
    assert small(row) == ["69.0 to 71.0", "48.0 to 51.9", None, None, None, None]
    assert bold(row) == [True, True, False, False, False, False]


@pytest.mark.parametrize(
    ("macs", "params", "marked"),
    [
        (40_000_000, 200_000, [None, None]),
        (40_000_001, 200_000, ["over budget", None]),
        (40_000_000, 200_001, [None, "over budget"]),
        (39_999_999, 199_999, [None, None]),
    ],
)
def test_what_costs_exactly_the_limit_is_within_the_budget(macs, params, marked):
    one = network("a", macs=macs, params=params)
    limits = {"macs": 40_000_000, "params": 200_000}
    (row,) = rows(run_of(networks=(one,), results={"budget": limits}))
    assert small(row)[2:4] == marked


def test_the_best_row_comes_first_and_ties_go_by_the_other_metric():
    networks = (
        network("low", map=40.0, rank1=99.0),
        network("tied, worse", map=50.0, rank1=60.0),
        network("tied, better", map=50.0, rank1=61.0),
        network("top", map=60.0, rank1=10.0),
    )
    by_map = rows(run_of(networks=networks))
    assert [one.name for one, _ in by_map] == ["top", "tied, better", "tied, worse", "low"]
    run = run_of(networks=networks, config={"search": {"objectives": ["rank1"]}})
    assert [one.name for one, _ in rows(run)] == [
        "low",
        "tied, better",
        "tied, worse",
        "top",
    ]
    assert [bold(row)[:2] for row in by_map] == [
        [False, True],
        [False, False],
        [False, False],
        [True, False],
    ]


def test_all_that_share_the_highest_metric_are_bold():
    networks = (network("a"), network("b"), network("c", map=49.0))
    assert [bold(row)[1] for row in rows(run_of(networks=networks))] == [
        True,
        True,
        False,
    ]


def test_global_metrics_are_shown_when_any_network_has_them():
    local = network("a", rank1=None, map=None, rank1_local=20.0, map_local=10.0)
    assert run_of(networks=(local,)).shown_metrics == ("rank1_local", "map_local")
    assert run_of(networks=(local, network("b"))).shown_metrics == ("rank1", "map")
    assert run_of().shown_metrics == ("rank1", "map")


def test_the_table_says_how_it_was_measured():
    several = run_of(networks=(network("a", seeds=[1.0, 2.0]), network("b")))
    assert table_note(several).startswith(
        "Metrics and train time are means over the seeds, with the range of the seeds below. "
        "Metrics in percent, "
    )
    note = table_note(run_of(networks=(network("a"),)))
    assert note.startswith("Metrics in percent, ") and "of the seeds below" not in note
    assert "MACs are those of one sequence of 16 × 32 × 22 (frames × height × width)," in note
    assert "multiply-accumulates of convolutions and matrix products" in note


def captions(run):
    return {one.title: one.caption for one in pictures(run)}


def test_the_captions_of_a_search_by_hand():
    run = run_of(
        config={"search": {"frames": 24, "population": 2, "max_epochs": 1}},
        results={"budget": {"latency": 0.05}},
        ledger=(entry((0,), latency=0.04), entry((1,), latency=0.05)),
        front=(entry((0,), latency=0.04),),
    )
    found = captions(run)
    assert list(found) == ["Search progress", "Search: score and cost"]
    cost = found["Search: score and cost"]
    assert "counted for 24 frames) and params, and latency as measured" in cost
    assert cost.endswith("Budget: latency ≤ 50 ms.")
    how = {"device": "cpu", "threads": 2, "frames": 24}
    cost = captions(replace(run, latency=how))["Search: score and cost"]
    assert "latency as measured on cpu with 2 CPU threads, 24 frames (right)" in cost
    assert "no other architecture beats in mAP, MACs and params together" in cost
    assert "ended before 4 architectures were scored" in found["Search progress"]


def test_the_agreement_by_hand():
    rank = {
        "objective": "rank1",
        "spearman": {"value": -0.556, "low": -1.0, "high": 0.126},
        "kendall": {"value": 0.4, "low": 0.0, "high": 0.75},
        "table": [{"arch": "a", "supernet": 30.0, "retrained": 50.0}],
    }
    (caption,) = captions(run_of(rank=rank)).values()
    assert "Spearman -0.56 (95 % interval -1.00 to +0.13)" in caption
    assert "Kendall +0.40 (95 % interval +0.00 to +0.75)" in caption
    assert "rank-1 with the supernet's weights against rank-1 when retrained" in caption


def test_a_final_figure_needs_the_metric_and_both_costs():
    for lacking in ("map", "macs", "params"):
        run = run_of(networks=(network("a", **{lacking: None}),))
        assert "Accuracy and cost of the final networks" not in captions(run)
    run = run_of(networks=(network("a", seeds=[1.0, 2.0]), network("b", macs=None)))
    caption = captions(run)["Accuracy and cost of the final networks"]
    assert caption.startswith("Test mAP of every trained network against its MACs (left)")
    assert "bars from the worst to the best seed" in caption
    assert caption.endswith(" Not shown, for lack of the metric or a cost: b.")
    results = {"budget": {"macs": 4e7}, "budget_frames": 24}
    found = captions(run_of(networks=(network("a"),), results=results))
    assert found["Accuracy and cost of the final networks"].endswith(
        "The budget's MACs are for 24 frames, so that its line is not drawn."
    )


def test_the_page_shows_the_table_as_reckoned():
    networks = (
        network("a", map=50.0, seeds=[1.0, 2.0], macs=40_000_001),
        network("b", map=49.0, seeds_map=[48.0, 50.0]),
    )
    study = {"columns": ["network", "x"], "rows": [["a", "+1.0 [-2.0, +3.0]"]], "notes": ["N."]}
    results = {"best": "b", "budget": {"macs": 4e7}, "study": study}  # as written before
    text = " ".join(page.render(run_of(networks=networks, results=results)).split())
    table = text.split("<tbody>")[1].split("</tbody>")[0]
    first, second = re.findall(r"<tr.*?</tr>", table)
    assert "<td><strong>50.0</strong></td>" in first and "<td>49.0<small>" in second
    assert "<td><strong>70.0</strong><small>1.0 to 2.0</small></td>" in first
    assert "<td>40.0 M<small>over budget</small></td>" in first
    assert "<td>40.0 M</td>" in second and "<td>1 min 15 s</td>" in second
    assert 'class="best"' in first and 'class="best"' not in second
    assert '<small class="tag">best within the budget</small>' in second
    columns = re.findall(r"<th(?: class=\"text\")?>(.*?)</th>", text.split("</thead>")[0])
    assert columns[:6] == ["Network", "Kind", "rank-1 (%)", "mAP (%)", "MACs", "Params"]
    assert columns[6:] == ["Input<br>(frames × h × w)", "Train time"]
    assert "<td>+1.0 [-2.0, +3.0]</td>" in text and '<p class="note">N.</p>' in text


@pytest.mark.parametrize(
    ("cost", "values", "label", "unit"),
    [
        ("macs", [4e7, 62e6], "MACs (M)", 1e6),
        ("macs", [9e8, 1e9], "MACs (G)", 1e9),
        ("macs", [999_999_999.0], "MACs (M)", 1e6),
        ("params", [155_144.0], "Parameters (K)", 1e3),
        ("params", [999.0], "Parameters", 1.0),
        ("latency", [0.05], "Latency (ms)", 1e-3),
        ("latency", [2.0], "Latency (ms)", 1e-3),
    ],
)
def test_an_axis_of_costs_names_the_unit_that_it_divides_by(cost, values, label, unit):
    _, (panel,) = panels(1)
    assert cost_axis(panel, cost, values, None) == unit
    assert panel.get_xlabel() == label and not panel.lines


@pytest.mark.parametrize(("limit", "drawn"), [(0.04, 40.0), (0.1, 100.0), (0.1001, None)])
def test_the_line_of_a_budget_stands_at_the_limit_in_the_unit_of_the_axis(limit, drawn):
    _, (panel,) = panels(1)
    cost_axis(panel, "latency", [0.02, 0.05], limit)
    places = [line.get_xdata()[0] for line in panel.lines]
    assert places == ([] if drawn is None else [pytest.approx(drawn)])
    assert all(math.isfinite(x) for x in np.ravel(places))
