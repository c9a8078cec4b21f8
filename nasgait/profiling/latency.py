"""How long a network takes for one sequence on this machine."""

import time
from dataclasses import dataclass
from statistics import median

import torch

from nasgait.core.distributed import pick_device
from nasgait.nn.base import GaitNetwork
from nasgait.nn.memory_format import to_channels_last

REPEATS = 10


@dataclass(frozen=True)
class Latency:
    """Wall time to embed one sequence that is on the device already."""

    median: float
    """Seconds, over several passes after one that does not count."""
    best: float
    """Seconds of the fastest pass."""
    repeats: int
    device: str
    """``cpu``, or the GPU's name."""
    threads: int
    """CPU threads."""


@torch.inference_mode()
def latency(
    model: GaitNetwork,
    frames: int | None = None,
    repeats: int = REPEATS,
    device: torch.device | None = None,
) -> Latency:
    """Time a network in evaluation mode and float32, without its neck.

    Args:
        model: moved to the device, without its neck, and left so.
        frames: of the sequence; the network's own by default.
        repeats: timed passes.
        device: a GPU if there is one by default.
    """
    device = device or pick_device("auto")
    model.neck = None
    model = to_channels_last(model.eval().to(device))
    silhouettes = torch.rand(1, frames or model.frames, *model.size, device=device)
    seconds = []
    for _ in range(1 + repeats):
        began = time.perf_counter()
        model(silhouettes)
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    timed = seconds[1:]
    return Latency(median(timed), min(timed), repeats, device_name(device), torch.get_num_threads())


def device_name(device: torch.device) -> str:
    """``cpu``, or the GPU's name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
