"""Memory of this process: its peak, and keeping what it frees."""

import ctypes
import resource

import torch

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8


def keep_freed_memory() -> None:
    """Have glibc keep freed blocks instead of giving them back to the kernel.

    A training step on the CPU frees its activations and allocates the same again.  By default
    they come as fresh pages, whose faults cost a fifth of a small network's step.  Does nothing
    if the C library has no ``mallopt``.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(M_MMAP_MAX, 0)  # mapped (large) blocks always go back
    mallopt(M_ARENA_MAX, 1)  # and so do large ones of threads' arenas


def peak_memory(device: torch.device) -> int:
    """Peak memory of this process in bytes: on the GPU if it trains there, else resident."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
