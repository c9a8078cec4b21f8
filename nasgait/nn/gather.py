"""One batch of the samples of all ranks, for losses that compare samples with each other."""

from typing import Any

import torch
from torch import Tensor, distributed

from nasgait.nn.precision import widen


def gather(embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Embeddings and labels of all ranks, in the order of the ranks.

    All ranks hold equally many samples.  The gradient is scaled so that its average over ranks
    is that of one process with the whole batch.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return embeddings, labels
    world = distributed.get_world_size()
    if world == 1:
        return embeddings, labels
    everyone = [torch.empty_like(labels) for _ in range(world)]
    distributed.all_gather(everyone, labels)
    return _Gather.apply(widen(embeddings)), torch.cat(everyone)


class _Gather(torch.autograd.Function):
    """Concatenate over ranks; the gradient is the rank's own slice times the number of ranks.

    Every rank computes the same loss of all samples, but only its own samples depend on its
    weights.  The factor makes up for averaging over ranks; backward needs no communication.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.own = x.shape[0]
        parts = [x.new_empty(x.shape) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        first = distributed.get_rank() * ctx.own
        return grads[0][first : first + ctx.own] * distributed.get_world_size()
