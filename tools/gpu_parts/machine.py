"""The machine and its limits: versions, speed of matrix products and of copies."""

import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

BROKEN_TORCH = (2, 9)
"""The bfloat16 3-D convolutions of its cuDNN are slow, need much memory and are wrong (pytorch
issues 166122, 166643 and 163539)."""


@dataclass(frozen=True)
class Task:
    """What each part of the check gets."""

    device: torch.device
    small: bool
    """Sizes that a CPU computes in seconds, to try the check itself."""
    deadline: float
    """``time.monotonic`` after which the part starts no new measurement."""
    limits: dict[str, float]
    """What :func:`measured_limits` found; empty for that part itself."""
    networks: tuple[str, ...] = ()
    """The networks to compare; none: all."""

    def time_left(self) -> bool:
        """Whether there is time for another measurement."""
        return time.monotonic() < self.deadline


def milliseconds(
    step: Callable[[], Any], device: torch.device, repeats: int = 5, warm_up: int = 2
) -> float:
    """Median time of ``step``: by events on a GPU, by the wall clock on a CPU."""
    for _ in range(warm_up):
        step()
    if device.type != "cuda":
        return statistics.median(wall_milliseconds(step) for _ in range(repeats))
    found = []
    for _ in range(repeats):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        step()
        end.record()
        end.synchronize()
        found.append(begin.elapsed_time(end))
    return statistics.median(found)


def wall_milliseconds(step: Callable[[], Any]) -> float:
    """Time of one call by the wall clock, a GPU's work included."""
    began = time.perf_counter()
    step()
    synchronise()
    return 1000 * (time.perf_counter() - began)


def synchronise() -> None:
    """Wait for the GPU, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def describe(device: torch.device) -> dict[str, Any]:
    """Versions and hardware.

    Raises RuntimeError for a torch whose convolutions are known to be wrong on a GPU.
    """
    version = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
    if device.type == "cuda" and version == BROKEN_TORCH:
        raise RuntimeError(
            f"torch {torch.__version__}: 2.9 ships a cuDNN with wrong bfloat16 3-D convolutions; "
            "install 2.11 or later"
        )
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cores": len(os.sched_getaffinity(0)),
        "device": "cpu",
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found |= {
            "device": properties.name,
            "memory_gib": round(properties.total_memory / 2**30, 1),
            "multiprocessors": properties.multi_processor_count,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
    return found


def measured_limits(task: Task) -> dict[str, Any]:
    """Measure the peaks behind all shares: FLOP/s of each type, bytes/s of a copy."""
    device = task.device
    size = 512 if task.small else 8192
    found: dict[str, Any] = describe(device)
    for name, dtype in (
        ("bfloat16", torch.bfloat16),
        ("float16", torch.float16),
        ("float32", torch.float32),
    ):
        a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        spent = milliseconds(
            lambda a=a, b=b: a @ b, device, repeats=3 if dtype.itemsize > 2 else 10
        )
        found[f"{name}_flops"] = 2 * size**3 / spent * 1000
    source = torch.randn(2**20 if task.small else 2**29, device=device)
    target = torch.empty_like(source)
    spent = milliseconds(lambda: target.copy_(source), device, repeats=10)
    found["copy_bytes_per_second"] = 2 * source.nbytes / spent * 1000
    if device.type == "cuda":
        found |= host_copies(device)
    return found


def host_copies(device: torch.device) -> dict[str, float]:
    """Bytes per second from the host, from plain and from pinned memory."""
    plain = torch.randint(0, 255, (2**26,), dtype=torch.uint8)
    target = torch.empty_like(plain, device=device)
    pinned = plain.pin_memory()
    sides = {"from_host_bytes_per_second": plain, "from_pinned_bytes_per_second": pinned}
    return {
        name: plain.nbytes
        / milliseconds(lambda x=source: target.copy_(x, non_blocking=True), device)
        * 1000
        for name, source in sides.items()
    }


def table(found: dict[str, Any]) -> list[str]:
    """A line for each measurement."""
    return [f"{key:32}{value}" for key, value in found.items()]
