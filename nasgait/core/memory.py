"""The memory of this process: how much it has held, and keeping what it frees."""

import ctypes
import resource

import torch

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8


def keep_freed_memory() -> None:
    """Have glibc keep freed blocks instead of giving them back to the kernel.

    A training step on the CPU frees and asks again for the same activations; by
    default each comes back as fresh pages, whose faults cost a fifth of a small
    network's step.  Does nothing where the C library has no ``mallopt``.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(M_MMAP_MAX, 0)  # mapped blocks, the large ones, always go back
    mallopt(M_ARENA_MAX, 1)  # so do large ones of the threads' own arenas


def peak_memory(device: torch.device) -> int:
    """Bytes this process has held at most: on the GPU if it trains there, else resident."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
