"""Two ranks that differ: in their losses, gradients, weights, numbers of samples.

Both go through everything once; each test looks at what either of them had in the end.
"""

import math
import time
from datetime import timedelta
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from nasgait.config.schema import (
    LossConfig,
    OptimizerConfig,
    ScheduleConfig,
    TrainConfig,
    TripletConfig,
)
from nasgait.core.distributed import World, agreed, average_gradients, broadcast, largest
from nasgait.core.errors import RunFailed
from nasgait.data.loader import Batch
from nasgait.evaluation.embed import embed_shared
from nasgait.nn.base import GaitOutput
from nasgait.nn.norm import BatchNorm, Moments, pool_ranks
from nasgait.training.loop import Training, train_step

RANKS = 2
SECONDS = 120
"""After which ranks that wait for each other are given up."""
FAULTS = {
    "nan on rank 0": (math.nan, 3.0),
    "nan on rank 1": (1.0, math.nan),
    "inf on rank 0": (math.inf, 3.0),
    "-inf on rank 1": (1.0, -math.inf),
}
"""Gradients of the two ranks, which are their losses as well."""


class Scale(nn.Module):
    """One weight that multiplies the first pixel of each sequence: embeddings [n, 1, 1]."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, silhouettes, lengths=None):
        return GaitOutput(self.weight * silhouettes[:, :1, 0, :1], None)


def training(world, criterion=None):
    recipe = TrainConfig(
        steps=3,
        optimizer=OptimizerConfig(lr=0.1, momentum=0.9, weight_decay=0.0),
        schedule=ScheduleConfig(kind="constant"),
        loss=LossConfig(TripletConfig(margin=0.5)),
        precision="float64",
    )
    return Training(Scale(), recipe, world, criterion=criterion)


def sequences(values, labels):
    pixels = torch.tensor(values, dtype=torch.float32)[:, None, None, None]
    return Batch(pixels.expand(-1, 2, 3, 3).clone(), torch.tensor(labels))


def own_sum(output, labels):
    return output.embeddings.sum(), {}


def votes(world):
    flags = [(False, False), (True, False), (False, True), (True, True)]
    return [bool(largest([torch.tensor(flag[world.rank])], world)[0]) for flag in flags]


def numbers(world):
    """A flag of rank 0 and numbers of both, at once."""
    return largest([torch.tensor(world.rank == 0), 15 * world.rank, 2 - world.rank], world)


def faulty_step(world, gradients):
    """What a step leaves behind when a loss is not finite, then what a good step does."""
    begun = training(world, own_sum)
    left = {
        "message": attempt(begun, gradients[world.rank]),
        "weight": begun.model.weight.item(),
        "gradient": begun.model.weight.grad,
        "states": len(begun.optimizer.state),
        "steps": (begun.step, begun.scheduler.last_epoch),
    }
    attempt(begun, (1.0, 3.0)[world.rank])
    return left | {"after": begun.model.weight.item()}


def attempt(begun, gradient):
    """Take a step of one sequence; why it failed, if it did."""
    try:
        train_step(begun, sequences([gradient], [0]), None)
    except RunFailed as error:
        return str(error)
    return "none"


def averaged(world):
    model = nn.ModuleList([nn.Linear(2, 1), nn.Conv2d(1, 2, (2, 1), bias=False)])
    first, second = model
    first.weight.grad = torch.tensor([[[1.0, 2.0]], [[3.0, -6.0]]][world.rank])
    pixels = torch.arange(4.0).view(2, 1, 2, 1) * (1 + 2 * world.rank)
    # As torch lays out the gradient of a channels-last weight.
    second.weight.grad = pixels.permute(2, 3, 0, 1).contiguous().permute(2, 3, 0, 1)
    average_gradients(model.parameters(), world)
    return first.weight.grad, first.bias.grad, second.weight.grad


def broadcasted(world):
    torch.manual_seed(world.rank)
    model = nn.Sequential(nn.Conv3d(2, 3, 2), BatchNorm(3))
    model.to(memory_format=torch.channels_last_3d)
    with torch.no_grad():
        model[1].running_mean.fill_(5.0 + world.rank)
        model[1].num_batches_tracked.fill_(7 + world.rank)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    broadcast(model, world)
    return before, dict(model.state_dict())


def normalised(world):
    norm = BatchNorm(1).double()
    rows = [[[1.0]], [[3.0], [5.0], [7.0]]][world.rank]
    x = torch.tensor(rows, dtype=torch.float64, requires_grad=True)
    y = norm(x)
    y.backward(torch.full_like(y, 1.0 - world.rank))
    return y.detach(), x.grad, norm.running_mean, norm.running_var


def pooled(world):
    """Moments of 0, 4 on one rank, and of six times 1 on the other."""
    mean, m2 = torch.tensor([[2.0], [1.0]][world.rank]), torch.tensor([[8.0], [0.0]][world.rank])
    found = pool_ranks(Moments([2, 6][world.rank], mean.double(), m2.double()), world.size)
    return found.count, found.mean.item(), found.m2.item()


def triplet_step(world):
    begun = training(world)
    values = train_step(begun, sequences([[0, 1], [3, 5]][world.rank], [0, 1]), None)
    return values["loss"].item(), begun.model.weight.grad.item(), begun.model.weight.item()


def embedded(world, indices):
    lengths = [2, 5, 1, 3, 4]
    seen = []

    def model(silhouettes, lengths=None):
        seen.append(len(silhouettes))
        return GaitOutput(silhouettes[:, :1, 0, :1], None)

    network = nn.Module()
    network.forward = model
    store = SimpleNamespace(
        sequences=[SimpleNamespace(length=n, key=str(n)) for n in lengths],
        read=lambda i, frames: np.full((len(frames), 4, 4), 51 * i, np.uint8),
    )
    rows = embed_shared(network, store, indices, (4, 4), world)
    return rows[:, 0, 0].tolist(), sum(seen)


def go(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meet",
        rank=rank,
        world_size=RANKS,
        timeout=timedelta(seconds=SECONDS / 2),
    )
    world = World(rank, RANKS, torch.device("cpu"))
    found = {
        "votes": votes(world),
        "agreements": [agreed(pair[world.rank], world) for pair in (("a", "a"), ("a", "b"))],
        "numbers": numbers(world),
        **{name: faulty_step(world, gradients) for name, gradients in FAULTS.items()},
        "averaged": averaged(world),
        "broadcast": broadcasted(world),
        "normalised": normalised(world),
        "pooled": pooled(world),
        "triplet": triplet_step(world),
        "embedded": embedded(world, [3, 0, 4, 1, 2]),
        "one embedded": embedded(world, [2]),
    }
    torch.save(found, folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """What each rank found, by the name of the matter."""
    folder = tmp_path_factory.mktemp("ranks")
    running = mp.spawn(go, args=(folder,), nprocs=RANKS, join=False)
    deadline = time.monotonic() + SECONDS
    try:
        while not running.join(timeout=1):
            assert time.monotonic() < deadline, "the ranks wait for each other"
    finally:
        for process in running.processes:
            process.kill()
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(RANKS)]


def both(ranks, name):
    return [found[name] for found in ranks]


def test_ranks_know_whether_they_agree(ranks):
    assert both(ranks, "agreements") == [[True, False]] * 2


def test_one_rank_is_enough_and_all_hear_of_it(ranks):
    assert both(ranks, "votes") == [[False, True, True, True]] * 2


def test_every_rank_knows_the_largest_of_each_number(ranks):
    assert both(ranks, "numbers") == [[1, 15, 2]] * 2


@pytest.mark.parametrize("name", list(FAULTS))
def test_a_loss_that_is_not_finite_on_one_rank_stops_all_before_the_weights_change(ranks, name):
    for left in both(ranks, name):
        assert "the loss is not finite at step 1" in left["message"]
        assert left["weight"] == 1.0 and left["gradient"] is None and left["states"] == 0
        assert left["steps"] == (0, 0)
        assert left["after"] == pytest.approx(1 - 0.1 * (1 + 3) / 2), "the ranks are in step"


def test_gradients_are_averaged_and_absent_ones_stay_absent(ranks):
    for linear, bias, conv in both(ranks, "averaged"):
        assert linear.tolist() == [[2, -2]] and bias is None
        assert conv.flatten().tolist() == [0, 2, 4, 6]


def test_every_rank_has_weights_and_statistics_of_the_first(ranks):
    (first, after), (second, after_second) = both(ranks, "broadcast")
    assert not torch.equal(first["0.weight"], second["0.weight"])
    assert first["1.num_batches_tracked"] == 7 and second["1.num_batches_tracked"] == 8
    for name, value in first.items():
        assert torch.equal(after[name], value) and torch.equal(after_second[name], value), name


def test_one_sample_here_and_three_there_are_normalised_as_four(ranks):
    """1 | 3, 5, 7: mean 4, variance 5, unbiased 20 / 3; a gradient at the 1 alone."""
    std = math.sqrt(5 + 1e-5)
    wanted = [[-3 / std], [-1 / std, 1 / std, 3 / std]]
    slopes = [[0.3], [-0.4, -0.1, 0.2]]  # of (x - mean) / std, times std
    for rank, (y, gradient, mean, var) in enumerate(both(ranks, "normalised")):
        assert y.flatten().tolist() == pytest.approx(wanted[rank], abs=1e-6)
        expected = [slope / math.sqrt(5) for slope in slopes[rank]]
        assert gradient.flatten().tolist() == pytest.approx(expected, abs=1e-5)
        assert mean.item() == pytest.approx(0.1 * 4)
        assert var.item() == pytest.approx(0.9 + 0.1 * 20 / 3)


def test_moments_weigh_by_their_counts(ranks):
    """0, 4 and six times 1: mean 10 / 8, squared deviations 22 - 100 / 8."""
    for found in both(ranks, "pooled"):
        assert found == pytest.approx((8, 1.25, 9.5))


def test_triplets_reach_over_ranks(ranks):
    """People 0 and 1 at 0, 1 on one rank and at 3, 5 on the other, margin 0.5.

    Of the triplets six violate the margin: by 2.5 (anchor 0), 3.5 and 2.5 (anchor 1), 1.5 and
    1.5 (anchor 3), 2.5 (anchor 5).  Their slopes at the four add up to -1, -3, 3, 1.
    """
    slope = (-3 * 1 + 3 * 3 + 1 * 5) / 6
    for found in both(ranks, "triplet"):
        assert found == pytest.approx((14 / 6, slope, 1 - 0.1 * slope))


def test_an_uneven_share_of_embeddings_comes_back_in_order(ranks):
    rows, counts = zip(*both(ranks, "embedded"), strict=True)
    assert counts == (3, 2)
    for row in rows:
        assert row == pytest.approx([0.6, 0, 0.8, 0.2, 0.4])


def test_a_rank_with_nothing_to_embed_gets_all_the_same(ranks):
    rows, counts = zip(*both(ranks, "one embedded"), strict=True)
    assert counts == (1, 0)
    for row in rows:
        assert row == pytest.approx([0.4])
