"""The floating-point types of a forward pass."""

from contextlib import AbstractContextManager

import torch

from nasgait.core.errors import ConfigError

MIXED = {"bfloat16": torch.bfloat16, "float16": torch.float16}
"""Precisions of autocast over float32 weights."""


def weight_dtype(precision: str) -> torch.dtype:
    """The type of the weights: float32, except for ``float64``."""
    return torch.float64 if precision == "float64" else torch.float32


def autocast(device: torch.device, precision: str) -> AbstractContextManager[None]:
    """Mixed precision for a forward pass; does nothing in ``float32`` and ``float64``.

    Raises ConfigError for float16 on a CPU, where there is no loss scaling.
    """
    if precision == "float16" and device.type != "cuda":
        raise ConfigError("precision: float16 needs a GPU; allowed on the CPU: float32, bfloat16")
    return torch.autocast(device.type, MIXED.get(precision), enabled=precision in MIXED)
