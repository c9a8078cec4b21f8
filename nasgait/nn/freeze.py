"""Training a part of a network while the rest stays as it is."""

from collections.abc import Collection

from torch import nn

from nasgait.core.errors import ConfigError
from nasgait.nn.base import GaitNetwork
from nasgait.nn.heads import SeparateFCs
from nasgait.nn.norm import BatchNorm


def freeze_backbone(model: GaitNetwork) -> None:
    """Let only the linear maps of the parts and the neck with its classifier learn.

    All other weights lose their gradient, and BatchNorm there keeps its statistics and
    normalises by them, in training too.

    Raises ConfigError for a network without such a head.
    """
    heads: list[nn.Module] = [
        module for module in model.modules() if isinstance(module, SeparateFCs)
    ]
    if model.neck is not None:
        heads.append(model.neck)
    if not any(parameter.requires_grad for head in heads for parameter in head.parameters()):
        raise ConfigError("freeze: this network has no linear head to train; leave freeze out")
    spared = {id(module) for head in heads for module in head.modules()}
    for module in model.modules():
        if id(module) in spared:
            continue
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad_(False)
        if isinstance(module, BatchNorm):
            module.frozen = True


def freeze_norms(model: nn.Module, fresh: Collection[str] = ()) -> None:
    """Keep weights, biases and statistics of BatchNorm as they are, in training too.

    Unlike OpenGait's fix_BN, which goes on training their weights and biases.

    Args:
        model: the network.
        fresh: entries of its state dict that were drawn at random: a norm that has such
            statistics learns them like any other.

    Raises ConfigError when there is none to keep.
    """
    kept = [
        module
        for name, module in model.named_modules()
        if isinstance(module, BatchNorm) and f"{name}.running_mean" not in fresh
    ]
    if not kept:
        raise ConfigError(
            "freeze: norms, but the network has no BatchNorm whose statistics came with --init; "
            "leave freeze out"
        )
    for module in kept:
        module.frozen = True
        for parameter in module.parameters():
            parameter.requires_grad_(False)
