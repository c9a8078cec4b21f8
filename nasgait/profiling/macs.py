"""Exact multiply-accumulates and parameters of any network, layer by layer."""

import copy
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from nasgait.core.errors import ConfigError
from nasgait.nn.base import GaitNetwork


@dataclass(frozen=True)
class LayerCost:
    """One module without children that computes or has parameters."""

    name: str
    """Its path in the network."""
    macs: int
    """Multiply-accumulates for one sequence."""
    params: int
    """Learnable parameters."""


@dataclass(frozen=True)
class Profile:
    """Costs of a network for one sequence; FLOPs are twice the MACs."""

    layers: tuple[LayerCost, ...]
    """In the order of the network."""
    macs: int
    """Convolutions and matrix products, embedding head included, classifier excluded."""
    params: int
    """Of the embedding network: no neck, no classifier."""
    params_with_classes: int
    """Of the whole network, with neck and classifier if there are any."""
    frames: int
    """Frames of the sequence."""
    size: tuple[int, int]
    """Height and width of the silhouettes."""


def profile(
    model: GaitNetwork, frames: int | None = None, size: tuple[int, int] | None = None
) -> Profile:
    """Count with ``torch.utils.flop_counter`` on the meta device, which computes nothing.

    Args:
        model: a gait network; left as it is.
        frames, size: of the silhouettes; those of the network by default.

    Raises:
        ConfigError: fewer than one frame.
    """
    frames, size = input_of(model, frames, size)
    with_classes = count_params(model)
    bare = embedding_network(model).to("meta")
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        bare(torch.zeros(1, frames, *size, device="meta"))
    counts = counter.get_flop_counts()
    root = type(bare).__name__
    layers = []
    for name, module in bare.named_modules():
        own = sum(p.numel() for p in module.parameters(recurse=False))
        leaf = all(isinstance(child, nn.ParameterList) for child in module.children())
        flops = sum(counts.get(f"{root}.{name}", {}).values()) if leaf else 0
        if own or flops:
            layers.append(LayerCost(name, flops // 2, own))
    return Profile(
        layers=tuple(layers),
        macs=counter.get_total_flops() // 2,
        params=count_params(bare),
        params_with_classes=with_classes,
        frames=frames,
        size=size,
    )


def embedding_network(model: GaitNetwork) -> GaitNetwork:
    """A copy in evaluation mode without neck and classifier."""
    # The neck may be most of the memory, so it is not even copied.
    bare = copy.deepcopy(model, {} if model.neck is None else {id(model.neck): None})
    bare.neck = None
    return bare.eval()


def input_of(
    model: GaitNetwork, frames: int | None, size: tuple[int, int] | None
) -> tuple[int, tuple[int, int]]:
    """Frames and size to profile at: those given, or the network's own.

    Raises ConfigError for fewer than one frame.
    """
    if frames is not None and frames < 1:
        raise ConfigError(f"frames: must be at least 1, not {frames}")
    height, width = size or model.size
    return frames or model.frames, (height, width)


def count_params(model: nn.Module) -> int:
    """The number of learnable parameters."""
    return sum(p.numel() for p in model.parameters())
