"""Learning-rate schedules against their definitions, and against torch's own."""

import math

import pytest
import torch
from torch import nn

from nasgait.config.schema import OptimizerConfig, ScheduleConfig, TrainConfig
from nasgait.training.loop import clip
from nasgait.training.optim import build_optimizer, build_scheduler, rate_factor


def rates(steps, **schedule):
    return [rate_factor(step, steps, ScheduleConfig(**schedule)) for step in range(steps)]


def test_multi_step_equals_torch():
    found = rates(30, kind="multi-step", milestones=(10, 20), gamma=0.1)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.MultiStepLR(optimizer, [10, 20], 0.1)
    for value in found:
        assert value == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()


def test_cosine_equals_torch():
    found = rates(20, kind="cosine", final=0.1)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20, eta_min=0.1)
    for value in found:
        assert value == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()


def test_warm_up_rises_to_the_peak():
    linear = rates(10, kind="constant", warmup=4)
    assert linear == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1, 1, 1, 1, 1])
    smooth = rates(10, kind="one-cycle", warmup=4)
    assert smooth[:4] == pytest.approx([0.5 - 0.5 * math.cos(math.pi * k / 5) for k in range(1, 5)])
    assert max(smooth) == smooth[4] == 1 and smooth[4:] == sorted(smooth[4:], reverse=True)


@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw"])
def test_optimizer_takes_its_settings(kind):
    config = OptimizerConfig(kind=kind, lr=0.5, momentum=0.8, weight_decay=0.01)
    group = build_optimizer([nn.Parameter(torch.zeros(1))], config).param_groups[0]
    assert group["lr"] == 0.5 and group["weight_decay"] == 0.01
    assert group.get("momentum", group.get("betas", (0,))[0]) == 0.8


def test_scheduler_sets_the_rate_of_every_step():
    recipe = TrainConfig(steps=4, optimizer=OptimizerConfig(lr=2.0))
    schedule = ScheduleConfig(kind="multi-step", milestones=(2,), gamma=0.5)
    recipe = TrainConfig(steps=4, optimizer=recipe.optimizer, schedule=schedule)
    optimizer = build_optimizer([nn.Parameter(torch.zeros(1))], recipe.optimizer)
    scheduler = build_scheduler(optimizer, recipe)
    seen = []
    for _ in range(4):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert seen == [2.0, 2.0, 1.0, 1.0]


def test_clipping():
    model = nn.Linear(2, 1, bias=False)
    model.weight.grad = torch.tensor([[3.0, -0.05]])
    clip(model, OptimizerConfig(clip_value=0.1))
    assert torch.allclose(model.weight.grad, torch.tensor([[0.1, -0.05]]))
    model.weight.grad = torch.tensor([[3.0, 4.0]])
    clip(model, OptimizerConfig(clip_norm=1.0))
    assert model.weight.grad.norm() == pytest.approx(1.0, rel=1e-4)


@pytest.mark.parametrize("kind", ["cosine", "one-cycle"])
def test_half_of_the_steps_after_the_warm_up_are_at_half_of_the_rate(kind):
    """10 steps, of which 6 warm up: 4 are left."""
    config = ScheduleConfig(kind=kind, warmup=6)
    assert rate_factor(6, 10, config) == 1
    assert rate_factor(8, 10, config) == pytest.approx(0.5)
