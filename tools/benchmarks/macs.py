"""Multiply-accumulates: counted as convolutions run, and the most that this machine reaches."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from nasgait.nn.blocks import ConvBN, LTAConv


@contextmanager
def counted_macs() -> Iterator[list[int]]:
    """Count the multiply-accumulates of all convolutions that run within.

    The count is that of direct convolution, also where Winograd's method needs fewer.
    """
    done, lock = [0], Lock()

    def counted(
        convolve: Callable[..., Tensor], weight_of: Callable[[Any], Tensor]
    ) -> Callable[..., Tensor]:
        def count(self: nn.Module, *args: Any) -> Tensor:
            y = convolve(self, *args)
            with lock:
                done[0] += weight_of(self).numel() * (y.numel() // y.shape[1])
            return y

        return count

    with (
        patch.object(ConvBN, "convolve", counted(ConvBN.convolve, lambda c: c.conv.weight)),
        patch.object(LTAConv, "forward", counted(LTAConv.forward, lambda c: c.weight)),
    ):
        yield done


def best_macs_per_second(threads: int, dtype: torch.dtype) -> float:
    """Measure the most multiply-accumulates per second of large 3x3x3 convolutions."""
    torch.set_num_threads(threads)
    best = 0.0
    for frames in (23, 69, 160):
        conv = nn.Conv3d(256, 256, 3, padding=1, bias=False).to(dtype)
        conv = conv.to(memory_format=torch.channels_last_3d)
        x = torch.rand(1, 256, frames, 16, 11, dtype=dtype)
        x = x.to(memory_format=torch.channels_last_3d)
        with torch.inference_mode():
            for _ in range(5):
                began = time.perf_counter()
                conv(x)
                seconds = time.perf_counter() - began
                best = max(best, conv.weight.numel() * frames * 16 * 11 / seconds)
    return best
