"""How final networks are held against each other."""

import numpy as np
import pytest

from nasgait.core.rng import generator
from retrain.compare import against_chance
from retrain.evaluate import Probes

LABELS = np.repeat([f"{i}" for i in range(30)], 4)


def network(name: str, kind: str, value: float) -> dict:
    return {"name": name, "kind": kind, "map": value}


@pytest.fixture
def judged():
    """Four random networks and a searched one, each probe at the network's rate."""
    rates = {"searched": 60.0, "r1": 40.0, "r2": 57.0, "r3": 50.0, "r4": 70.0}
    networks = [
        network(name, "random" if name[0] == "r" else "searched", v) for name, v in rates.items()
    ]
    probes = {
        name: Probes(LABELS, np.zeros(len(LABELS)), np.full(len(LABELS), v / 100))
        for name, v in rates.items()
    }
    return networks, probes


def test_the_searched_network_meets_the_better_of_the_two_median_random_ones(judged):
    networks, probes = judged
    (note,) = against_chance(networks, probes, "searched", generator(0, "study"))
    assert "median of 4 random" in note and "r2 (57.0)" in note
    assert "+3.0 to it [+3.0, +3.0]" in note


def test_without_random_or_searched_networks_there_is_nothing_to_say(judged):
    networks, probes = judged
    rng = generator(0, "study")
    assert against_chance(networks[:1], probes, "searched", rng) == []
    assert against_chance(networks[1:], probes, "r4", rng) == []
