"""The numbers of a run's plan and of the cost tables, with their units, by hand."""

import argparse
import re
from dataclasses import replace

import pytest
import torch

from nasgait.cli import plan
from nasgait.cli.profile import _network_text, _time_text
from nasgait.cli.search import add_arguments, flag_overrides
from nasgait.config.load import load_config
from nasgait.config.schema import (
    BaselineConfig,
    DataConfig,
    ExperimentConfig,
    SearchConfig,
    TrainConfig,
)
from nasgait.config.schema.training import BatchConfig
from nasgait.core.errors import ConfigError
from nasgait.profiling.latency import Latency
from nasgait.profiling.macs import LayerCost, Profile


def experiment(search, **changes):
    return ExperimentConfig(name="x", data=DataConfig(store="none"), search=search, **changes)


def search_line(**settings):
    return [*plan.search_lines(experiment(SearchConfig(**settings)))][1]


def test_the_search_is_announced_with_what_it_scores_at_most():
    line = search_line(population=20, mutations=5, crossovers=5, max_epochs=4)
    assert line.startswith("search: at most 100 architectures, budget none, for map; metrics are")
    assert "at most 20 architectures" in search_line(
        population=20, mutations=5, crossovers=5, max_epochs=0
    )
    assert "for map and latency;" in search_line(objectives=("map", "latency"))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.05, "50 ms"), (0.0125, "12.5 ms"), (2.0, "2000 ms"), (0.0002, "0.2 ms")],
)
def test_a_latency_budget_is_told_in_milliseconds(seconds, text):
    assert f"budget latency <= {text}, for map" in search_line(max_latency=seconds)


def test_limits_are_told_as_they_are_and_in_turn():
    line = search_line(max_macs=40e6, max_params=250_000, max_latency=0.1)
    found = re.search(r"budget macs <= (\S+), params <= (\S+), latency <= (\S+) ms, for", line)
    assert found and [float(text) for text in found.groups()] == [40e6, 250_000, 100]


def test_the_supernet_is_announced_by_hand(monkeypatch):
    class Space:
        name = "narrow"

        def supernet(self):
            return torch.nn.Linear(1000, 1250, bias=False)

    def space(name):
        return Space()

    budget = argparse.Namespace(budget=argparse.Namespace(limits={}))
    monkeypatch.setattr(plan, "load_space", space)
    monkeypatch.setattr("supernet.search.evolution_of", lambda config, space: budget)
    recipe = TrainConfig(
        steps=600, keep=2, precision="float32", batch=BatchConfig(ids=8, seqs=4, frames=30)
    )
    line = next(plan.search_lines(experiment(SearchConfig(), supernet=recipe)))
    # 12 bytes for each of 1.25 M parameters, three files at a time.
    assert line == (
        "supernet: narrow, 1.25 M parameters, 600 steps of 8 x 4 sequences x 30 frames in "
        "float32, 45 MB of checkpoints"
    )


@pytest.mark.parametrize(
    ("order", "frames_max", "text"),
    [
        ("ordered", None, "30 frames"),
        ("ordered", 50, "30 to 50 frames"),
        ("all", 720, "up to 720 frames"),
        ("all", None, "all frames"),
    ],
)
def test_frames_of_a_step(order, frames_max, text):
    batch = BatchConfig(ids=8, seqs=4, frames=30, order=order, frames_max=frames_max)
    recipe = TrainConfig(steps=9, batch=batch, precision="bfloat16")
    assert plan.recipe_line(recipe) == f"9 steps of 8 x 4 sequences x {text} in bfloat16"


def test_the_networks_and_seeds_of_a_plan(tiny_config, tmp_path):
    config = load_config(tiny_config, ["random=2", "seeds=3", "jobs=2", "retrain.steps=5"])
    config = replace(config, baselines=(BaselineConfig("gaitset-nano"),))
    lines = list(plan.plan(config, tmp_path / "out"))
    (retrain,) = [line for line in lines if line.startswith("retrain: ")]
    assert retrain == (
        "retrain: 4 networks x 3 seeds, 2 at a time: searched, gaitset-nano, random-1, random-2; "
        "5 steps of 4 x 2 sequences x 6 frames in float32"
    )
    (recipe,) = [line for line in lines if line.startswith("recipe of ")]
    assert recipe == (
        "recipe of searched, gaitset-nano, random-1, random-2: 5 steps of 4 x 2 sequences x 6 "
        "frames in float32; loss 1 triplet (margin 0.2) + 0.1 cross-entropy (scale 16); adam with "
        "lr 0.001, weight decay 0.0005, constant; flip 0.5, rotate 0.5"
    )
    assert not any(line.startswith("Not trained alike") for line in lines)
    (identities,) = [line for line in lines if line.startswith("identities: ")]
    assert identities == "identities: 8 train, 4 search_val, 6 test"
    assert f"data: use {config.data.store} (72 sequences)" in lines
    assert re.fullmatch(r"disk: \d+\.\d GB free", lines[-1])


def test_a_plan_prints_each_recipe_and_what_is_not_alike(tiny_config, tmp_path):
    listed = (
        "[{model: gaitset-nano}, {model: gaitbase-nano, recipe: {steps: 9}}, "
        "{model: gaitset-nano, name: warm, retrain: {schedule: {warmup: 2}}}]"
    )
    words = [f"baselines={listed}", "retrain.steps=7", "retrain.precision=float32"]
    config = load_config(tiny_config, words)
    lines = list(plan.network_lines(config))
    assert lines[0].endswith("searched, gaitset-nano, gaitbase-nano, warm; 3 recipes")
    assert lines[1].startswith("recipe of searched, gaitset-nano: 7 steps of 4 x 2 sequences x 6")
    assert lines[2].startswith("recipe of gaitbase-nano: 9 steps of 32 x 4 sequences x 30 frames")
    assert lines[3].startswith("recipe of warm: 7 steps") and "warm-up 2" in lines[3]
    assert lines[4].startswith("Not trained alike: steps (9: gaitbase-nano; 7: searched,")
    assert "schedule.warmup (2: warm; 0: searched, gaitset-nano, gaitbase-nano)" in lines[4]
    assert len(lines) == 5


@pytest.mark.parametrize("config", ["demo", "demo-study", "bnneck-study"])
def test_an_override_of_the_recipe_reaches_every_network(config):
    found = load_config(config, ["retrain.steps=137"])
    networks = plan.networks_of(found)
    assert {network.recipe(found)[1].steps for network in networks} == {137} and networks[2:]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("retrain: {stps: 5}", r"baselines\.0\.retrain: stps: unknown key, did you mean 'steps'"),
        (
            "retrain: {steps: 5}, recipe: {steps: 5}",
            r"baselines\.0\.retrain: .* give baselines\.0\.recipe or baselines\.0\.retrain",
        ),
    ],
)
def test_changes_of_the_recipe_are_checked(tiny_config, entry, message):
    config = load_config(tiny_config, [f"baselines=[{{model: gaitset-nano, {entry}}}]"])
    faults = [str(fault) for fault in plan.faults_of(config, 1, None)]
    assert any(re.search(message, fault) for fault in faults), faults


def overrides(*flags):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return flag_overrides(parser.parse_args(["--config", "c", "--supernet", "s", *flags]))


def test_a_flop_is_half_a_multiply_accumulate():
    assert overrides("--max-flops", "10G") == ["search.max_macs=5000000000.0"]
    assert overrides("--max-macs", "10G") == ["search.max_macs=10000000000.0"]
    assert overrides("--max-params", "1.5M") == ["search.max_params=1500000.0"]
    assert overrides("--max-latency", "50ms") == ["search.max_latency=0.05"]
    assert overrides() == []


def test_a_key_given_twice_is_refused():
    with pytest.raises(ConfigError, match=r"search\.max_macs: given by a flag as well"):
        overrides("--max-flops", "2M", "search.max_macs=1M")


def test_the_profile_prints_two_flops_for_each_multiply_accumulate():
    layers = (LayerCost("conv", 1_500_000, 300), LayerCost("fc", 500, 40_000))
    exact = Profile(layers, 1_500_500, 40_300, 41_000, 16, (32, 22))
    assert _network_text({"model": "m"}, exact) == [
        "m, 16 frames of 32 x 22",
        "layer       MACs  params",
        "conv   1,500,000     300",
        "fc           500  40,000",
        "total  1,500,500  40,300",
        "FLOPs (2 x MACs): 3,001,000",
        "params with classifier: 41,000",
    ]


def test_times_are_printed_in_milliseconds():
    assert _time_text(Latency(0.01234, 0.0119, 10, "cpu", 2)) == (
        "time: 12.3 ms a sequence, median of 10 in float32 on cpu (2 CPU threads); best 11.9 ms"
    )
