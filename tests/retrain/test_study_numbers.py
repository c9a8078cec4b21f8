"""The numbers of ``results.json`` and its study, worked out by hand.

Two identities with two probes each: a resample of identities has the mean of the first, of the
second, or of both, so the 95 % interval ends at the means of the two.  With chances 1/4, 1/4, 1/2
the standard error is half their distance over the root of two.
"""

import json

import numpy as np
import pytest

from nasgait.config.schema import BaselineConfig, DataConfig, ExperimentConfig, SearchConfig
from nasgait.core.errors import DataError
from nasgait.core.rng import generator
from retrain.compare import against_chance, compare, group, pooled, study, summary
from retrain.evaluate import Probes, write_probes

LABELS = np.array(["a", "a", "b", "b"])
AP = {
    "searched": [0.56, 0.60, 0.60, 0.64],  # 58 and 62
    "gaitset": [0.53, 0.55, 0.55, 0.57],  # 54 and 56: 4 and 6 less
    "random-1": [0.61, 0.63, 0.63, 0.65],  # 62 and 64: 4 and 2 more
}
HITS = {
    "searched": [0.78, 0.80, 0.80, 0.82],  # 79 and 81
    "gaitset": [0.70, 0.70, 0.70, 0.70],
    "random-1": [0.86, 0.90, 0.90, 0.94],  # 88 and 92
}
KINDS = {"searched": "searched", "gaitset": "baseline", "random-1": "random"}


def probes(name):
    return Probes(LABELS, np.array(HITS[name]), np.array(AP[name]))


def network(name, **changes):
    kind = KINDS.get(name, "random")
    return {
        "name": name,
        "kind": kind,
        "arch": None if kind == "baseline" else f"nano:{name}",
        "model": "GaitSet" if kind == "baseline" else None,
        "map": 100 * float(np.mean(AP.get(name, 0))),
        "seeds": [70.0, 80.0],
        "seeds_map": [59.04, 60.96],
        **changes,
    }


def table(reference="searched", networks=None):
    networks = networks or [network(name) for name in AP]
    return study(networks, {name: probes(name) for name in AP}, reference, seed=3)


def test_every_cell_of_the_study_by_hand():
    assert table()["columns"] == [
        "network",
        "architecture",
        "mAP %",
        "rank-1 %",
        "mAP against searched",
        "mAP of each seed",
    ]
    seeds = "59.0, 61.0"
    assert table()["rows"] == [
        ["searched", "nano:searched", "60.0 ± 1.4", "80.0 ± 0.7", "–", seeds],
        ["gaitset", "GaitSet", "55.0 ± 0.7", "70.0 ± 0.0", "-5.0 [-6.0, -4.0]", seeds],
        ["random-1", "nano:random-1", "63.0 ± 0.7", "90.0 ± 1.4", "+3.0 [+2.0, +4.0]", seeds],
    ]


def test_differences_change_their_sign_with_the_reference():
    found = table("gaitset")
    assert found["columns"][4] == "mAP against gaitset"
    assert [row[4] for row in found["rows"]] == [
        "+5.0 [+4.0, +6.0]",
        "–",
        "+8.0 [+8.0, +8.0]",
    ]


def test_differences_are_of_average_precision_not_of_hits():
    """By rank-1 the random network leads by 10, by mAP by 3."""
    assert table()["rows"][2][4].startswith("+3.0 ")


def test_without_global_rates_the_columns_say_which_they_are():
    local = [network(name, map=None, map_local=1.0) for name in AP]
    found = table(networks=local)
    assert found["columns"][2:4] == ["mAP % (01 against 02)", "rank-1 % (01 against 02)"]


def test_the_notes_count_seeds_probes_and_identities():
    notes = table()["notes"]
    assert len(notes) == 4
    assert notes[0] == (
        "The median of 1 random network(s) by mAP is random-1 (63.0): "
        "searched is -3.0 to it [-4.0, -2.0]."
    )
    assert notes[1].startswith("Means over 2 seed(s) of 4 probes of 2 identities. ")
    assert "± is one standard error and brackets are 95 % intervals" in notes[1]
    assert notes[3] == "Intervals are not corrected for the number of comparisons."


def test_the_notes_tell_the_fewest_and_the_most_seeds():
    networks = [network("searched"), network("gaitset", seeds=[70.0])]
    assert "Means over 1 to 2 seed(s) of 4 probes" in table(networks=networks)["notes"][0]


@pytest.mark.parametrize(
    ("rates", "median"),
    [
        ([40.0], "r0 (40.0)"),
        ([40.0, 50.0], "r1 (50.0)"),
        ([50.0, 40.0, 60.0], "r0 (50.0)"),
        ([10.0, 60.0, 20.0, 50.0], "r3 (50.0)"),
        ([30.0, 30.0, 30.0], "r1 (30.0)"),
    ],
)
def test_the_median_random_network(rates, median):
    drawn = {f"r{i}": rate for i, rate in enumerate(rates)}
    networks = [network("searched"), *(network(name, map=rate) for name, rate in drawn.items())]
    judged = {"searched": probes("searched")}
    judged |= {
        name: Probes(LABELS, np.zeros(4), np.full(4, rate / 100)) for name, rate in drawn.items()
    }
    (note,) = against_chance(networks, judged, "searched", generator(0, "study"))
    middle = float(median.split("(")[1].rstrip(")"))
    gaps = f"searched is {60 - middle:+.1f} to it [{58 - middle:+.1f}, {62 - middle:+.1f}]."
    assert note == f"The median of {len(rates)} random network(s) by mAP is {median}: {gaps}"


def result(name, seed, **changes):
    return {
        "kind": KINDS.get(name, "random"),
        "arch": None,
        "model": name,
        "macs": 7_000_000,
        "params": 50_000,
        "frames": 16,
        "size": [32, 22],
        "steps": 600,
        "seed": seed,
        "rank1": 70.0,
        "rank5": 80.0,
        "map": 50.0,
        "train_seconds": 10.0,
        **changes,
    }


def write(run, name, seed, ap=(0.5,) * 4, hits=(1.0,) * 4, **changes):
    folder = run / "retrain" / name / f"seed-{seed}"
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(result(name, seed, **changes)))
    write_probes(folder / "probes.npz", Probes(LABELS, np.array(hits), np.array(ap)))


def config(*baselines, **search):
    return ExperimentConfig(
        name="x",
        data=DataConfig(store="none"),
        baselines=tuple(BaselineConfig(name) for name in baselines),
        search=SearchConfig(**search),
    )


def test_a_network_over_its_seeds():
    results = [
        result("gaitset", 0, map=50.0, rank1=70.0, rank5=81.0, train_seconds=10.0, minp=20.0),
        result("gaitset", 1, map=56.0, rank1=73.0, rank5=84.0, train_seconds=14.0),
        result("gaitset", 2, map=59.0, rank1=82.0, rank5=93.0, train_seconds=18.0, minp=30.0),
    ]
    found = summary("gaitset", results)
    assert (found["map"], found["rank1"], found["rank5"]) == (55.0, 75.0, 86.0)
    assert found["train_seconds"] == 14.0
    assert found["seeds"] == [70.0, 73.0, 82.0] and found["seeds_map"] == [50.0, 56.0, 59.0]
    assert (found["macs"], found["params"], found["steps"]) == (7_000_000, 50_000, 600)
    assert "minp" not in found, "one of the seeds has none"


def test_rates_of_conditions_and_local_rates_are_means_too():
    both = [
        result("gaitset", 0, map=None, rank1=None, map_local=40.0, rank1_cl=10.0),
        result("gaitset", 1, map=None, rank1=None, map_local=44.0, rank1_cl=13.0),
    ]
    found = summary("gaitset", both)
    assert (found["map"], found["rank1"], found["map_local"]) == (None, None, 42.0)
    assert found["rank1_cl"] == 11.5 and found["seeds_map"] == [40.0, 44.0]


def test_probes_of_several_seeds_are_averaged(tmp_path):
    write(tmp_path, "gaitset", 0, ap=(0.2, 0.4, 0.6, 0.8), hits=(0, 1, 1, 1))
    write(tmp_path, "gaitset", 3, ap=(0.4, 0.4, 0.0, 1.0), hits=(0, 0, 1, 1))
    found = pooled(tmp_path, "gaitset", [{"seed": 0}, {"seed": 3}])
    assert found.ap.tolist() == pytest.approx([0.3, 0.4, 0.3, 0.9])
    assert found.hits.tolist() == [0, 0.5, 1, 1]
    assert found.labels.tolist() == ["a", "a", "b", "b"]


def test_seeds_come_in_the_order_of_their_numbers(tmp_path):
    for seed in (10, 9, 2):
        write(tmp_path, "gaitset", seed)
    assert [r["seed"] for r in group(tmp_path)["gaitset"]] == [2, 9, 10]


def test_results_of_a_search_by_hand(tmp_path):
    write(tmp_path, "random-1", 0, AP["random-1"], HITS["random-1"], map=63.0)
    write(tmp_path, "searched", 0, AP["searched"], HITS["searched"], map=60.0)
    write(tmp_path, "gaitset", 0, AP["gaitset"], HITS["gaitset"], map=55.0)
    limits = {"max_macs": 8e6, "max_latency": 0.05}
    found = compare(tmp_path, config("gaitset", **limits))
    assert found == json.loads((tmp_path / "results.json").read_text())
    assert found["best"] == "random-1" and found["objective"] == "map"
    assert found["best_within_budget"] == "searched", "nobody measured the others' latency"
    assert [n["within_budget"] for n in found["networks"]] == [True, None, None]
    assert found["networks"][0]["interval"] == pytest.approx([58, 62])
    gap = {"mean": pytest.approx(-3), "low": pytest.approx(-4), "high": pytest.approx(-2)}
    assert found["networks"][0]["against_best"] == gap
    assert "against_best" not in found["networks"][2]
    assert found["budget"] == {"macs": 8e6, "params": None, "latency": 0.05}
    assert found["protocol"] == "leave-one-out"
    assert [n["name"] for n in found["networks"]] == ["searched", "gaitset", "random-1"]
    assert [row[2] for row in found["study"]["rows"]] == ["60.0 ± 1.4", "55.0 ± 0.7", "63.0 ± 0.7"]
    gaps = [row[4] for row in found["study"]["rows"]]
    assert gaps == ["–", "-5.0 [-6.0, -4.0]", "+3.0 [+2.0, +4.0]"]


RECIPE = {
    "steps": 600,
    "batch": {"ids": 8, "frames": 16},
    "optimizer": {"lr": 0.1},
    "log_every": 50,
}


def test_unequal_trainings_are_told_in_their_fields(tmp_path):
    shorter = {**RECIPE, "steps": 137, "batch": {"ids": 8, "frames": 30}, "log_every": 1}
    write(tmp_path, "searched", 0, recipe=shorter, steps=137)
    write(tmp_path, "gaitset", 0, recipe=RECIPE)
    write(tmp_path, "random-1", 0, recipe=RECIPE, kind="random")
    found = compare(tmp_path, config("gaitset"))
    values = {line["key"]: line["values"] for line in found["differences"]}
    assert values == {
        "steps": {"gaitset": 600, "random-1": 600, "searched": 137},
        "recipe.batch.frames": {"gaitset": 16, "random-1": 16, "searched": 30},
    }
    assert found["notes"][0] == (
        "Not trained alike: steps (137: searched; 600: gaitset, random-1), batch.frames "
        "(30: searched; 16: gaitset, random-1); a difference in metrics may come from that, not "
        "from the networks."
    )
    assert next(n for n in found["networks"] if n["name"] == "searched")["recipe"] == shorter


def test_a_recipe_that_changed_on_the_way_is_unequal(tmp_path):
    change = {"step": 300, "key": "optimizer.lr", "before": 0.1, "after": 0.05}
    quiet = {"step": 9, "key": "log_every", "before": 50, "after": 5}
    write(tmp_path, "searched", 0, recipe=RECIPE, recipe_changes=[quiet, change])
    write(tmp_path, "gaitset", 0, recipe=RECIPE, recipe_changes=[quiet])
    found = compare(tmp_path, config("gaitset"))
    (line,) = found["differences"]
    assert line == {"key": "recipe_changes", "values": {"searched": [{"seed": 0, **change}]}}
    assert found["notes"][0] == (
        "Recipes were changed on the way: searched, seed 0: optimizer.lr from 0.1 to 0.05 at step "
        "300."
    )


def test_fewer_seeds_than_others_are_told(tmp_path):
    for seed in (0, 1):
        write(tmp_path, "searched", seed, recipe=RECIPE)
    write(tmp_path, "gaitset", 1, recipe=RECIPE)
    found = compare(tmp_path, config("gaitset"))
    assert found["differences"] == [
        {"key": "seeds", "values": {"gaitset": [1], "searched": [0, 1]}}
    ]
    assert found["notes"][0] == ("Not trained with the same seeds: 1: gaitset; 0 1: searched.")


def test_other_probes_are_not_paired(tmp_path):
    write(tmp_path, "searched", 0)
    write(tmp_path, "gaitset", 0)
    others = Probes(LABELS[::-1], np.ones(4), np.ones(4))
    write_probes(tmp_path / "retrain" / "gaitset" / "seed-0" / "probes.npz", others)
    with pytest.raises(DataError, match="searched was evaluated on 4 probes that are not the 4 of"):
        compare(tmp_path, config("gaitset"))
    write(tmp_path, "searched", 1)
    write_probes(tmp_path / "retrain" / "searched" / "seed-1" / "probes.npz", others)
    with pytest.raises(DataError, match=r"was evaluated on other probes than .*seed-0"):
        compare(tmp_path, config("gaitset"))


def test_notes_of_the_evaluation_reach_the_results(tmp_path):
    both, one = "1 of 4 probes have no match", "2 of 4 sequences have the embedding of another"
    counted = {"probes": 4, "unmatched_probes": 1, "rank1_matched": 90.0}
    write(tmp_path, "searched", 0, notes=[both, one], recipe=RECIPE, **counted)
    write(tmp_path, "gaitset", 0, notes=[both], recipe=RECIPE, **counted)
    found = compare(tmp_path, config("gaitset"))
    assert f"{both}." in found["notes"] and f"searched: {one}." in found["notes"]
    assert [n["unmatched_probes"] for n in found["networks"]] == [1, 1]
    assert [n["rank1_matched"] for n in found["networks"]] == [90.0, 90.0]


def test_a_mean_over_probes_that_is_not_the_published_one_is_told(tmp_path):
    write(tmp_path, "searched", 0, AP["searched"], map=61.0, recipe=RECIPE)
    write(tmp_path, "gaitset", 0, AP["gaitset"], map=55.04, recipe=RECIPE)
    (note,) = compare(tmp_path, config("gaitset"))["notes"]
    assert note.endswith("the table has those of the protocol: searched 60.0 for 61.0 %.")


def test_a_budget_at_other_frames_is_held_against_the_macs_at_these(tmp_path):
    common = {"recipe": RECIPE, "frames": 30}
    write(tmp_path, "searched", 0, map=40.0, recipe=RECIPE, macs=7_000_000)
    write(tmp_path, "gaitset", 0, map=60.0, macs=9_000_000, budget_frames=16, budget_macs=8_000_000,
          **common)  # fmt: skip
    write(tmp_path, "old", 0, map=50.0, macs=3_000_000, kind="baseline", **common)
    found = compare(tmp_path, config("gaitset", "old", max_macs=8e6))
    kept = {n["name"]: n["within_budget"] for n in found["networks"]}
    assert found["budget_frames"] == 16
    assert kept == {"searched": True, "gaitset": True, "old": None}
    assert (found["best"], found["best_within_budget"]) == ("gaitset", "gaitset")


def test_two_seeds_that_disagree_are_compared_by_their_mean(tmp_path):
    write(tmp_path, "searched", 0, ap=(0.50, 0.50, 0.50, 0.50), map=50.0)
    write(tmp_path, "searched", 1, ap=(0.60, 0.60, 0.70, 0.70), map=65.0)  # 55 and 60
    write(tmp_path, "gaitset", 0, ap=(0.50, 0.50, 0.50, 0.50), map=50.0)
    write(tmp_path, "gaitset", 1, ap=(0.52, 0.52, 0.54, 0.54), map=53.0)  # 51 and 52
    rows = compare(tmp_path, config("gaitset"))["study"]["rows"]
    assert [row[4] for row in rows] == ["–", "-6.0 [-8.0, -4.0]"]
    assert [row[5] for row in rows] == ["50.0, 65.0", "50.0, 53.0"]


def test_without_a_search_the_first_listed_is_the_reference_and_the_best_is_the_best(tmp_path):
    write(tmp_path, "weak", 0, AP["gaitset"], map=55.0, kind="baseline")
    write(tmp_path, "strong", 0, AP["random-1"], map=63.0, kind="baseline")
    found = compare(tmp_path, config("weak", "strong"))
    assert found["best"] == "strong"
    assert found["study"]["columns"][4] == "mAP against weak"
    assert [row[4] for row in found["study"]["rows"]] == ["–", "+8.0 [+8.0, +8.0]"]
    swapped = compare(tmp_path, config("strong", "weak"))
    assert [n["name"] for n in swapped["networks"]] == ["strong", "weak"]
    assert [row[4] for row in swapped["study"]["rows"]] == ["–", "-8.0 [-8.0, -8.0]"]


def test_a_listed_network_that_is_not_there_is_no_reference(tmp_path):
    write(tmp_path, "weak", 0, AP["gaitset"], map=55.0, kind="baseline")
    write(tmp_path, "strong", 0, AP["random-1"], map=63.0, kind="baseline")
    found = compare(tmp_path, config("missing", "weak", "strong"))
    assert found["study"]["columns"][4] == "mAP against weak"


def test_where_map_is_unknown_the_local_one_names_the_best(tmp_path):
    for name, local in (("one", 20.0), ("two", 30.0), ("three", 25.0)):
        write(tmp_path, name, 0, map=None, rank1=None, map_local=local, kind="baseline")
    assert compare(tmp_path, config("one", "two", "three"))["best"] == "two"


def test_kinds_come_in_turn_and_one_network_alone_has_no_study(tmp_path):
    write(tmp_path, "u", 0, kind="uniform")
    alone = compare(tmp_path, config())
    assert alone["best"] == "u" and "study" not in alone
    for name in ("b2", "b1", "r", "s"):
        kind = {"b": "baseline", "r": "random", "s": "searched"}[name[0]]
        write(tmp_path, name, 0, kind=kind)
    names = [n["name"] for n in compare(tmp_path, config("b2", "b1"))["networks"]]
    assert names == ["s", "b2", "b1", "r", "u"]


def test_nothing_retrained_is_refused(tmp_path):
    with pytest.raises(DataError, match="no retrained network"):
        compare(tmp_path, config())


def test_another_seed_draws_other_resamples_but_the_same_means():
    rng = np.random.default_rng(0)
    labels = np.repeat([f"{i}" for i in range(30)], 2)
    spread = {name: Probes(labels, rng.random(60), rng.random(60)) for name in AP}
    networks = [network(name) for name in AP]
    first, other = (study(networks, spread, "searched", seed)["rows"] for seed in (0, 1))
    assert first != other
    assert first == study(networks, spread, "searched", 0)["rows"]
    for before, after in zip(first, other, strict=True):
        assert before[2].split(" ±")[0] == after[2].split(" ±")[0]
