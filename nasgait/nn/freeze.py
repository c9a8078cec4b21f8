"""Training some layers of a network while the others stay as they are."""

from collections.abc import Collection

from torch import nn

from nasgait.core.errors import ConfigError
from nasgait.nn.base import GaitNetwork
from nasgait.nn.heads import SeparateFCs
from nasgait.nn.norm import BatchNorm


def freeze_backbone(model: GaitNetwork) -> None:
    """Train only the linear maps of the parts and the neck with its classifier.

    All other weights get no gradient, and BatchNorm among them keeps its statistics and
    normalises by them in training, too.

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
    """Keep weights, biases and statistics of BatchNorm as they are in training, too.

    OpenGait's fix_BN, in contrast, goes on training their weights and biases.

    Args:
        model: the network.
        fresh: entries of its state dict that no weights file set; a norm whose statistics are
            among them is trained like any other.

    Raises ConfigError when there is no norm to freeze.
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
