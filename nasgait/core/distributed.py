"""One process or many: joining the group, averaging gradients, common decisions.

Ranks come from the environment that ``torchrun`` sets; without it there is one
rank.  The backend follows the device: nccl for CUDA, gloo for the CPU, so the
world size need not equal a number of GPUs.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from nasgait.core import interrupts
from nasgait.core.errors import ConfigError
from nasgait.core.memory import keep_freed_memory
from nasgait.core.pool import cores


@dataclass(frozen=True)
class World:
    """This process among the ranks."""

    rank: int
    size: int
    device: torch.device

    @property
    def main(self) -> bool:
        """Whether this rank writes files and logs."""
        return self.rank == 0


def pick_device(device: str, local_rank: int = 0) -> torch.device:
    """The torch device for ``auto``, ``cpu`` or ``cuda`` on this rank.

    Raises ConfigError when CUDA is asked for and there is none, or fewer GPUs than ranks.
    """
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise ConfigError("device: cuda is not available here; allowed now: auto, cpu")
    if device == "cpu" or not available:
        return torch.device("cpu")
    gpus = torch.cuda.device_count()
    if local_rank >= gpus:
        raise ConfigError(
            f"{local_rank + 1} processes on {gpus} GPU(s): nccl takes one GPU for each; give "
            f"--nproc {gpus} or fewer, or device=cpu"
        )
    return torch.device("cuda", local_rank)


def share_of_threads(threads: int, processes: int) -> int:
    """CPU threads of each of ``processes`` that run at a time; 0 shares all cores."""
    return max(1, (threads or cores()) // processes)


@contextmanager
def joined(device: str, threads: int = 0) -> Iterator[World]:
    """Join the ranks that torchrun started, or be the only one; leave them at the end."""
    rank = int(os.environ.get("RANK", 0))
    size = int(os.environ.get("WORLD_SIZE", 1))
    local = int(os.environ.get("LOCAL_RANK", 0))
    # Always set: the number of threads changes the order of sums, and so the results.
    torch.set_num_threads(share_of_threads(threads, int(os.environ.get("LOCAL_WORLD_SIZE", 1))))
    keep_freed_memory()
    where = pick_device(device, local)
    if where.type == "cuda":
        torch.cuda.set_device(where)
    if size == 1:
        yield World(0, 1, where)
        return
    if where.type == "cuda":
        dist.init_process_group("nccl", device_id=where)
    else:
        dist.init_process_group("gloo")
    try:
        yield World(rank, size, where)
        dist.barrier()
    finally:
        dist.destroy_process_group()
    interrupts.alone()


def broadcast(model: nn.Module, world: World) -> None:
    """Give every rank the parameters and buffers of rank 0."""
    if world.size == 1:
        return
    with torch.no_grad():
        for tensor in model.state_dict().values():
            # A contiguous copy: collectives refuse channels-last strides.
            values = tensor.contiguous()
            dist.broadcast(values, src=0)
            tensor.copy_(values)


def average_gradients(parameters: Iterable[nn.Parameter], world: World) -> None:
    """Average the gradients that exist over the ranks in one flat all-reduce.

    Single-path training leaves most parameters without a gradient, and the path
    is the same on every rank, so only the active ones travel.
    """
    if world.size == 1:
        return
    grads = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([g.flatten() for g in grads])
    dist.all_reduce(flat)
    flat /= world.size
    for grad, values in zip(grads, flat.split([g.numel() for g in grads]), strict=True):
        grad.copy_(values.view_as(grad))


def largest(values: Sequence[Tensor | int], world: World) -> list[int]:
    """The largest of each number (int, or scalar tensor of bool or int) over all ranks."""
    if world.size == 1:
        return [int(value) for value in values]
    votes = torch.stack([torch.as_tensor(v, device=world.device).to(torch.int32) for v in values])
    dist.all_reduce(votes, op=dist.ReduceOp.MAX)
    return [int(vote) for vote in votes.tolist()]


def agreed(value: object, world: World) -> bool:
    """Whether all ranks hold the same value; every rank gets the same answer."""
    if world.size == 1:
        return True
    values: list[object] = [None] * world.size
    dist.all_gather_object(values, value)
    return all(other == values[0] for other in values)
