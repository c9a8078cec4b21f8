"""The cost table against torch's counter, on every choice of every layer, and the records."""

import json

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from nasgait.core.errors import ConfigError
from search_spaces import load_space
from search_spaces.space import space_names

RECORDED = {
    "sposgait-small": "small_grew_T30",
    "sposgait-small-casiab": "small_casiab_T30",
    "sposgait-medium": "medium_grew_T30",
    "sposgait-large": "large_grew_T30",
    "sposgait-large-oumvlp": "large_oumvlp_T30",
    "sposgait-large-gait3d": "large_gait3d_T30",
}


def counted(space, choices, frames):
    with torch.device("meta"):
        model = space.build(choices).eval()
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(torch.zeros(1, frames, *space.size))
    return counter.get_total_flops() / 2, sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("name", space_names())
def test_table_equals_the_counter_for_every_choice(name):
    space = load_space(name)
    table = space.cost_table()
    first = [0] * len(space.choices)
    base = counted(space, first, space.frames)
    assert base == (table.total(first).macs, table.total(first).params)
    for layer, count in enumerate(space.choices):
        for choice in range(1, count):
            path = [*first[:layer], choice, *first[layer + 1 :]]
            cost = space.cost(path)
            assert counted(space, path, space.frames) == (cost.macs, cost.params), path


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5, 17, 31])
def test_any_number_of_frames(frames):
    space = load_space("nano")
    for arch in space.uniform():
        cost = space.cost(arch, frames)
        assert counted(space, arch, frames) == (cost.macs, cost.params)


@pytest.mark.parametrize("name", RECORDED)
def test_table_equals_the_published_networks(name, shared):
    record = json.loads((shared / "reference/flops.json").read_text())["sposgait"][RECORDED[name]]
    space = load_space(name)
    table = space.cost_table(record["frames"])
    for layer, wanted in zip(table.layers, record["layers"], strict=True):
        for cost, choice in zip(layer, wanted["choices"], strict=False):
            assert (cost.macs, cost.params) == (choice["conv_macs"], choice["params"])
    for wanted in record["archs"]:
        cost = space.cost(wanted["arch"])
        assert cost.macs == wanted["macs_with_Head0"]
        assert cost.params == wanted["params_inference"]


def test_extremes_bound_every_architecture():
    space = load_space("nano")
    table = space.cost_table()
    costs = [table.total((0, a, b, c)) for a in range(6) for b in range(6) for c in range(6)]
    assert min(c.macs for c in costs) == table.smallest.macs
    assert max(c.params for c in costs) == table.largest.params


def test_no_frames_are_refused():
    with pytest.raises(ConfigError, match="frames"):
        load_space("nano").cost((0, 0, 0, 0), frames=0)
