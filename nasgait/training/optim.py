"""Optimizer and learning-rate schedule of a recipe."""

import math
from collections.abc import Iterable

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from nasgait.config.schema import LoopConfig, OptimizerConfig, ScheduleConfig


def build_optimizer(parameters: Iterable[nn.Parameter], config: OptimizerConfig) -> Optimizer:
    """The update rule of ``config`` over ``parameters``."""
    rate, decay = config.lr, config.weight_decay
    if config.kind == "sgd":
        return SGD(parameters, lr=rate, weight_decay=decay, momentum=config.momentum)
    kind = Adam if config.kind == "adam" else AdamW
    return kind(parameters, lr=rate, weight_decay=decay, betas=(config.momentum, 0.999))


def rate_factor(step: int, steps: int, config: ScheduleConfig) -> float:
    """Share of the peak learning rate at ``step`` (counted from 0) of ``steps``."""
    if step < config.warmup:
        rise = (step + 1) / (config.warmup + 1)
        return 0.5 * (1 - math.cos(math.pi * rise)) if config.kind == "one-cycle" else rise
    if config.kind == "constant":
        return 1.0
    if config.kind == "multi-step":
        return config.gamma ** sum(step >= milestone for milestone in config.milestones)
    done = (step - config.warmup) / max(1, steps - config.warmup)
    return config.final + (1 - config.final) * 0.5 * (1 + math.cos(math.pi * done))


def build_scheduler(optimizer: Optimizer, config: LoopConfig) -> LambdaLR:
    """The schedule of a recipe, one ``step()`` for each optimisation step."""
    return LambdaLR(optimizer, lambda step: rate_factor(step, config.steps, config.schedule))


def change_rate(optimizer: Optimizer, scheduler: LambdaLR, rate: float) -> None:
    """Go on with another peak learning rate, from the step that the schedule is at."""
    factor = scheduler.lr_lambdas[0](scheduler.last_epoch)
    for group in optimizer.param_groups:
        group["initial_lr"], group["lr"] = rate, rate * factor
    scheduler.base_lrs = [rate] * len(optimizer.param_groups)
    scheduler._last_lr = [rate * factor] * len(optimizer.param_groups)
