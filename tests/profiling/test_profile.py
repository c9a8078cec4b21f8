"""Profiles against records and formulas, cross-checks, and the command line."""

import argparse
import importlib
import json

import pytest
import torch

from nasgait.baselines.registry import build
from nasgait.core.errors import ConfigError
from nasgait.profiling.crosscheck import crosscheck
from nasgait.profiling.macs import profile
from search_spaces import load_space


def command(name, *argv):
    module = importlib.import_module(f"nasgait.cli.{name}")
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    return module.run(parser.parse_args(argv))


@pytest.mark.parametrize(
    ("model", "record", "neck_norm"),
    [
        ("gaitset", "gaitset_casiab_T30", 0),
        ("gaitset-grew", "gaitset_oumvlp_grew_T30", 0),
        ("gaitbase", "gaitbase_casiab_T30", 8192),
    ],
)
def test_baselines_cost_what_was_recorded(model, record, neck_norm, shared):
    wanted = json.loads((shared / "reference/flops.json").read_text())["baselines"][record]
    with torch.device("meta"):
        found = profile(build(model, wanted["class_num"]), wanted["frames"])
    assert found.macs == wanted["conv_macs"] + wanted["embedding_head_matmul_macs"]
    assert found.params == wanted["params_without_class_head"] - neck_norm
    if wanted["class_num"]:
        assert found.params_with_classes == wanted["params_total"]


def test_profile_equals_the_cost_table_and_leaves_the_model_alone():
    space = load_space("nano")
    model = space.build((0, 3, 1, 5), 7)
    before = model.state_dict()
    found = profile(model, 20)
    cost = space.cost((0, 3, 1, 5), 20)
    assert (found.macs, found.params) == (cost.macs, cost.params)
    assert sum(layer.macs for layer in found.layers) == found.macs
    assert sum(layer.params for layer in found.layers) == found.params
    assert found.params_with_classes == sum(p.numel() for p in model.parameters())
    assert model.neck is not None and model.training
    assert all(value.device.type == "cpu" for value in before.values())


def test_narrow_baselines_cost_as_much_as_nano_architectures():
    table = load_space("nano").cost_table()
    for name in ("gaitset-nano", "gaitbase-nano"):
        assert table.smallest.macs < profile(build(name)).macs < table.largest.macs


@pytest.mark.parametrize("model", ["gaitset-nano", "gaitbase-nano", "nano"])
def test_every_difference_of_thop_and_fvcore_is_explained(model):
    network = load_space("nano").build((0, 3, 1, 5)) if model == "nano" else build(model)
    exact = profile(network)
    for check in crosscheck(network, exact, ["thop", "fvcore"]):
        assert check.macs == exact.macs + sum(d.amount for d in check.macs_differences)
        assert check.params == exact.params + sum(d.amount for d in check.params_differences)
        reasons = [d.reason for d in check.macs_differences + check.params_differences]
        assert "not explained" not in reasons


def test_thop_says_what_it_says_of_the_published_network(shared):
    """The record ran the neck's BatchNorm as well: 4 for each of its 4096 elements."""
    record = json.loads((shared / "reference/flops.json").read_text())["sposgait"]
    wanted = record["small_grew_T30"]["archs"][0]
    with torch.device("meta"):
        network = load_space("sposgait-small").build(wanted["arch"])
    (check,) = crosscheck(network, profile(network), ["thop"])
    assert check.macs == wanted["thop"]["macs"] - 4 * 4096
    assert check.params == wanted["thop"]["params"] - 2 * 4096


def test_unknown_tool_is_named():
    model = build("gaitset-nano")
    with pytest.raises(ConfigError, match="'ptflops'; allowed: thop, fvcore"):
        crosscheck(model, profile(model), ["ptflops"])


def test_command_on_an_architecture(capsys):
    argv = [
        "--arch",
        "nano:0-3-1-5",
        "--frames",
        "30",
        "--classes",
        "9",
        "--check",
        "thop",
        "--json",
    ]
    assert command("profile", *argv) == 0
    result = json.loads(capsys.readouterr().out)
    cost = load_space("nano").cost((0, 3, 1, 5), 30)
    assert result["arch"] == "nano:0-3-1-5"
    assert result["space"] == "nano"
    assert (result["frames"], result["size"]) == (30, [32, 22])
    assert (result["macs"], result["params"]) == (cost.macs, cost.params)
    assert result["params_with_classes"] == cost.params + 2 * 64 * 8 + 9 * 64 * 8
    assert result["layers"][0].keys() == {"name", "macs", "params"}
    assert result["checks"][0]["tool"] == "thop"
    assert command("profile", *argv[:-1]) == 0
    text = capsys.readouterr().out
    assert f"{cost.macs:,}" in text
    assert "matrix products with an nn.Parameter" in text


def test_command_on_a_space(capsys):
    assert command("profile", "--space", "nano", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    table = load_space("nano").cost_table()
    macs = result["base"]["macs"] + sum(layer[0]["macs"] for layer in result["layers"])
    assert macs == table.total((0, 0, 0, 0)).macs
    assert result["layers"][1][3]["block"] == "3x3x1+3x1x3"
    assert result["smallest"]["macs"] == table.smallest.macs
    assert command("profile", "--space", "nano") == 0
    assert "3x3x1+3x1x3" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--model", "gaitsett"], "did you mean 'gaitset'"),
        (["--model", "gaitset", "--frames", "0"], "at least 1"),
        (["--model", "gaitset", "--classes", "-1"], "at least 1"),
        (["--space", "nano", "--check", "thop"], "--arch or --model"),
        (["--arch", "nano:9-9-9-9"], "layer 0"),
    ],
)
def test_wrong_command_lines(argv, words):
    with pytest.raises(ConfigError, match=words):
        command("profile", *argv)


def test_lists_of_spaces_and_models(capsys):
    assert command("spaces", "--json") == 0
    spaces = json.loads(capsys.readouterr().out)["spaces"]
    assert {"nano", "sposgait-large"} <= {row["space"] for row in spaces}
    published = {row["space"]: row["published"] for row in spaces}
    assert published["nano"] is None
    assert published["sposgait-small"]["arch"] == "sposgait-small:0-5-5-4"
    assert all(row is None or row["macs"] > 0 for row in published.values())
    assert command("models", "--json") == 0
    models = json.loads(capsys.readouterr().out)["models"]
    assert {"gaitset", "gaitbase-nano"} <= {row["model"] for row in models}
    assert command("spaces") == command("models") == 0
    assert "216 paths" in capsys.readouterr().out


@pytest.mark.parametrize("network", [("--model", "gaitset-nano"), ("--arch", "nano:0-5-2-4")])
def test_time_of_a_sequence(nasgait, network):
    code, stdout, _ = nasgait("profile", *network, "--time", "--frames", "4", "--json")
    seconds = json.loads(stdout)["seconds"]
    assert code == 0 and 0 < seconds["best"] <= seconds["median"] < 60
    assert seconds["repeats"] > 1 and seconds["threads"] > 0 and seconds["device"]
    code, stdout, _ = nasgait("profile", *network, "--time", "--frames", "4")
    assert code == 0 and "ms a sequence" in stdout
    code, _, err = nasgait("profile", "--space", "nano", "--time")
    assert code == 2 and "--time" in err
