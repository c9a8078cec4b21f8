"""Arithmetic and memory layout of a forward pass."""

from contextlib import AbstractContextManager
from typing import TypeVar

import torch
from torch import nn

from nasgait.errors import ConfigError

Network = TypeVar("Network", bound=nn.Module)

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def autocast(device: torch.device, precision: str) -> AbstractContextManager[None]:
    """Mixed precision for a forward pass; a null context in ``float32``.

    Raises ConfigError for float16 on a CPU, which has no loss scaling there.
    """
    if precision == "float16" and device.type != "cuda":
        raise ConfigError("precision: float16 needs a GPU; allowed on the CPU: float32, bfloat16")
    return torch.autocast(device.type, DTYPES[precision], enabled=precision != "float32")


def to_channels_last(model: Network) -> Network:
    """Keep the channels of convolution weights innermost; the activations follow them."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    for parameter in model.parameters():
        if parameter.dim() in formats:
            parameter.data = parameter.data.contiguous(memory_format=formats[parameter.dim()])
    return model
