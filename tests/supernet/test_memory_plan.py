"""How a memory budget is shared out."""

import torch

from search_spaces import load_space
from supernet.scoring.memory_plan import WORKING_SET, NetworkMemory


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
