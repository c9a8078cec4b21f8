"""How a memory budget is shared out."""

import pytest
import torch

from nasgait.core.errors import ConfigError
from search_spaces import load_space
from supernet.scoring.memory_plan import SIDE_BY_SIDE, WORKING_SET, MemoryPlan, NetworkMemory


def test_batches_run_side_by_side_where_networks_are_large_and_memory_suffices(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    large, small = (NetworkMemory.of(load_space(name).spec) for name in ("sposgait-small", "nano"))

    def threads(network, memory, device="cpu"):
        plan = network.plan(memory, 100, torch.device(device), calibration=0, scored=10)
        working_sets = plan.threads * WORKING_SET * network.frame * plan.batch_frames
        assert 0 < plan.activations < memory - working_sets
        return plan.threads

    assert threads(large, 16e9) == 8
    assert 1 < threads(large, 3e9) < 8
    assert threads(large, 0.6e9) == threads(large, 16e9, "cuda") == threads(small, 16e9) == 1


def test_what_nano_needs_by_hand():
    """Its first layer has the largest activation: 16 channels of 32 x 22, float32."""
    weights = 27 * 1 * 16 + 27 * 16 * 32 + 27 * 32 * 64 + 27 * 64 * 64
    assert NetworkMemory.of(load_space("nano").spec) == NetworkMemory(
        pixels=32 * 22, frame=4 * 16 * 32 * 22, embedding=4 * 64 * 8, weights=4 * weights
    )


HELD = 300 + 2 * 7 * 100 + 10 * 50
"""Calibration set, two copies of 7 embeddings, weights ten times."""


def planned(memory, longest=3, frame=1000, device="cpu"):
    network = NetworkMemory(pixels=704, frame=frame, embedding=100, weights=50)
    return network.plan(memory, longest, torch.device(device), calibration=300, scored=7)


@pytest.mark.parametrize(
    ("beyond", "frames", "activations"),
    [
        (18_000, 3, 0),  # the longest sequence alone
        (2 * 6000 * 50, 50, 6000 * 50),  # half for a batch, half for activations
        (2 * 6000 * 50 - 1, 49, 2 * 6000 * 50 - 1 - 6000 * 49),
        (10**9, 279, 10**9 - 6000 * 279),  # 3 * 2^16 pixels of 704 each
    ],
)
def test_what_a_plan_holds_by_hand(beyond, frames, activations):
    assert planned(HELD + beyond) == MemoryPlan(frames, 1, activations)


def test_a_gpu_takes_larger_batches():
    """2^23 pixels of 704 each."""
    assert planned(10**9, device="cuda").batch_frames == 11_915


def test_too_little_memory_says_how_much_is_needed():
    with pytest.raises(
        ConfigError, match=r"a sequence of 3 frames.* 7 sequences .* need 2.02e\+04"
    ):
        planned(HELD + 18_000 - 1)


@pytest.mark.parametrize(
    ("frame", "missing", "threads"),
    [(SIDE_BY_SIDE, 0, 3), (SIDE_BY_SIDE, 1, 2), (SIDE_BY_SIDE - 1, 0, 1)],
)
def test_each_thread_needs_room_for_the_longest_sequence(monkeypatch, frame, missing, threads):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    room = 2 * WORKING_SET * frame * 100
    plan = planned(HELD + 3 * room - missing, longest=100, frame=frame)
    assert plan.threads == threads
    assert plan.batch_frames == {3: 100, 2: 149, 1: 279}[threads]
