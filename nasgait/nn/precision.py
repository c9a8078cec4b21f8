"""Arithmetic in float32 where half precision would lose too much."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def widen(x: Tensor) -> Tensor:
    """As float32, or as float64 where it is."""
    return x.to(wide_dtype(x))


def wide_dtype(x: Tensor) -> torch.dtype:
    """The type that :func:`widen` gives x."""
    return torch.promote_types(x.dtype, torch.float32)


def no_autocast(x: Tensor) -> AbstractContextManager[None]:
    """Autocast off on the device of x; a null context where there is none (``meta``)."""
    kind = x.device.type
    if torch.amp.is_autocast_available(kind):
        return torch.autocast(kind, enabled=False)
    return nullcontext()
