"""The operations between convolutions: BatchNorm, ReLU, sums and maxima, bound by memory traffic.

``BatchNorm of images`` views channels-last clips [n, c, s, h, w] as images [n * s, c, h, w], for
which torch has faster kernels.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gpu_parts.machine import Task, milliseconds
from nasgait.nn.norm import BatchNorm
from nasgait.nn.pooling import GeMPyramid, spatial_max, temporal_max

FIRST, LAST = (128, 64, 30, 64, 44), (128, 256, 10, 16, 11)
"""Activations [n, c, s, h, w] behind the first convolution, and behind the last."""


def measured_elementwise(task: Task) -> dict[str, Any]:
    """Forward and backward times of each operation, beside the traffic it cannot avoid."""
    rows: dict[str, Any] = {}
    compiled = task.device.type == "cuda"
    for name, shape in (("first", FIRST), ("last", LAST)):
        shape = (2, 8, *shape[2:]) if task.small else shape
        for label, (step, moved) in operations(shape, task.device, compiled).items():
            if not task.time_left():
                rows[f"{name}: {label}"] = {"left_out": "no time left"}
                continue
            try:
                spent = milliseconds(step, task.device)
            except Exception as fault:
                rows[f"{name}: {label}"] = {"failed": f"{type(fault).__name__}: {fault}"[:300]}
                continue
            floor = 1000 * moved / task.limits["copy_bytes_per_second"]
            rows[f"{name}: {label}"] = {"ms": spent, "floor_ms": floor, "share": floor / spent}
    return {"rows": rows}


def operations(
    shape: tuple[int, ...], device: torch.device, compiled: bool
) -> dict[str, tuple[Callable[[], Any], float]]:
    """Each with the bytes that forward and backward pass move at least."""

    def draw() -> Tensor:
        x = torch.randn(shape, device=device, dtype=torch.bfloat16)
        return x.contiguous(memory_format=torch.channels_last_3d).requires_grad_()

    x, side = draw(), draw()
    norm = BatchNorm(shape[1]).to(device)
    pyramid = GeMPyramid((16,)).to(device)
    valid = torch.ones(shape[0], 1, shape[2], 1, 1, dtype=torch.bool, device=device)
    valid[0, :, -1] = False

    def both(forward: Callable[[], Tensor]) -> Callable[[], Any]:
        def step() -> None:
            y = forward()
            torch.autograd.grad(y, [x], torch.ones_like(y), allow_unused=True)

        return step

    def normal(x: Tensor) -> Tensor:
        images = x.transpose(1, 2).flatten(0, 1)
        images = F.batch_norm(images, mean, var, norm.weight, norm.bias, True)
        return images.unflatten(0, (len(x), -1)).transpose(1, 2)

    def closing(x: Tensor, side: Tensor) -> Tensor:
        return F.relu(spatial_max(normal(x) + side))

    size = x.nbytes
    mean, var = torch.zeros(shape[1], device=device), torch.ones(shape[1], device=device)
    found: dict[str, tuple[Callable[[], Any], float]] = {
        # Forward: read twice, write; backward: gradient and input read twice, write.
        "BatchNorm": (both(lambda: norm(x)), 8 * size),
        "BatchNorm of images": (both(lambda: normal(x)), 8 * size),
        "BatchNorm, padded": (both(lambda: norm(x, valid)), 8 * size),
        "BatchNorm and ReLU": (both(lambda: F.relu_(norm(x))), 8 * size),
        "BatchNorm, add, ReLU": (both(lambda: F.relu_(norm(x) + side)), 10 * size),
        "BatchNorm, add, maximum, ReLU": (both(lambda: closing(x, side)), 8.5 * size),
        "spatial maximum": (both(lambda: spatial_max(x)), 2.75 * size),
        "spatial maximum of pairs": (both(lambda: pairs_max(x)), 2.75 * size),
        "temporal maximum": (both(lambda: temporal_max(x)), 2 * size),
        "temporal maximum, amax": (both(lambda: x.amax(2)), 2 * size),
        "GeM pyramid": (both(lambda: pyramid(temporal_max(x))), 2 * size),
    }
    if compiled:
        compile_ = torch.compile
        relu, add = (
            compile_(lambda x: F.relu(normal(x))),
            compile_(lambda x, s: F.relu(normal(x) + s)),
        )
        close, pairs = compile_(closing), compile_(pairs_max)
        found |= {
            "BatchNorm and ReLU, compiled": (both(lambda: relu(x)), 8 * size),
            "BatchNorm, add, ReLU, compiled": (both(lambda: add(x, side)), 10 * size),
            "BatchNorm, add, maximum, ReLU, compiled": (both(lambda: close(x, side)), 8.5 * size),
            "spatial maximum of pairs, compiled": (both(lambda: pairs(x)), 2.75 * size),
        }
    return found


def pairs_max(x: Tensor) -> Tensor:
    """The largest of each 2x2 pixels by two comparisons; ties share their gradient."""
    rows = torch.maximum(x[..., ::2, :], x[..., 1::2, :])
    even = rows.shape[-1] // 2 * 2
    return torch.maximum(rows[..., 0:even:2], rows[..., 1:even:2])


def table(found: dict[str, Any]) -> list[str]:
    """A line for each operation."""
    return [
        f"{name:40}" + (f"{row['ms']:9.3f} ms {row['share']:6.0%}" if "ms" in row else f"{row}")
        for name, row in found["rows"].items()
    ]
