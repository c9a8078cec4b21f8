"""Memory format of convolution weights."""

from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)

FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}


def to_channels_last(model: Network) -> Network:
    """Store convolution weights channels-last, in place; activations then come out likewise."""
    for parameter in model.parameters():
        if parameter.dim() in FORMATS:
            parameter.data = parameter.data.contiguous(memory_format=FORMATS[parameter.dim()])
    return model


def to_channels_first(model: Network) -> Network:
    """Store convolution weights channels-first, in place, as torch does by default."""
    for parameter in model.parameters():
        parameter.data = parameter.data.contiguous()
    return model
