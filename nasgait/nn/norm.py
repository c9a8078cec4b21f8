"""One BatchNorm for 1 to 3 dimensions, padded batches, several ranks and recalibration.

torch's own SyncBatchNorm refuses the CPU, and no norm of torch's knows which
positions of a padded batch are real.  When neither padding nor ranks are in
play this is plain ``F.batch_norm``, which is the fastest there is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm


@dataclass(frozen=True)
class Moments:
    """Count, mean and summed squared deviation of the positions of each channel."""

    count: float
    mean: Tensor
    """Float [c]."""
    m2: Tensor
    """Float [c]: sum of (x - mean)^2; divided by ``count`` it is the biased variance."""


def pool(parts: Sequence[Moments]) -> Moments:
    """Moments of all positions of all ``parts`` together (Chan, Golub, LeVeque 1979)."""
    count = sum(part.count for part in parts)
    mean = torch.stack([part.mean * (part.count / count) for part in parts]).sum(0)
    spread = [part.m2 + part.count * (part.mean - mean).square() for part in parts]
    return Moments(count, mean, torch.stack(spread).sum(0))


def moments(x: Tensor, valid: Tensor | None = None, dtype: torch.dtype | None = None) -> Moments:
    """Moments of x [n, c, ...] for each channel over its valid positions.

    Args:
        x: activations of any float type.
        valid: bool, broadcastable to x with channel dimension 1; all by default.
        dtype: accumulation type; at least float32 by default.
    """
    wide = x.to(dtype or torch.promote_types(x.dtype, torch.float32))
    dims = [d for d in range(x.dim()) if d != 1]
    if valid is None:
        count = float(x.numel() // x.shape[1])
        var, mean = torch.var_mean(wide, dims, correction=0)
        return Moments(count, mean, var * count)
    count = float(valid.expand(-1, -1, *x.shape[2:]).sum())
    mean = wide.masked_fill(~valid, 0).sum(dims) / count
    apart = (wide - _across(mean, x)).masked_fill(~valid, 0)
    return Moments(count, mean, apart.square().sum(dims))


class BatchNorm(_BatchNorm):
    """Batch normalisation of [n, c], [n, c, s] or [n, c, s, h, w] over all but channels.

    The state-dict keys are those of torch's BatchNorm.  In training the
    statistics count valid positions only, and those of all ranks when
    torch.distributed runs with more than one; gradients flow through them.
    Statistics are float32 or wider; the output has the type of the input.

    Set :attr:`calibrate` to have each forward, in any mode, measure the moments
    of its input over valid positions in float64, pass them to the callable
    (which may pool them over batches and ranks), take what it returns as
    running statistics (biased variance) and normalise with those.
    """

    calibrate: Callable[[Moments], Moments] | None = None

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__(num_features, eps=eps, momentum=momentum)
        self.momentum: float = momentum

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Normalise x [n, c, ...].

        Args:
            x: activations.
            valid: bool, broadcastable to x with channel dimension 1 (say
                [n, 1, s, 1, 1]); positions where it is False enter no statistic.
                In training they come out as 0, in evaluation they mean nothing.

        Raises:
            ValueError: training with fewer than 2 positions for each channel.
        """
        assert self.running_mean is not None and self.running_var is not None
        if self.calibrate is not None:
            found = self.calibrate(moments(x, valid, torch.float64))
            self.running_mean.copy_(found.mean)
            self.running_var.copy_(found.m2 / found.count)
        elif self.training:
            return self._train(x, valid)
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
        )

    def _train(self, x: Tensor, valid: Tensor | None) -> Tensor:
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        ranks = dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
        if valid is None and ranks == 1:
            return F.batch_norm(
                x,
                self.running_mean,
                self.running_var,
                self.weight,
                self.bias,
                True,
                self.momentum,
                self.eps,
            )
        found = _pool_ranks(moments(x.detach(), valid), ranks)
        if found.count < 2:
            raise ValueError("BatchNorm in training needs at least 2 valid positions")
        with torch.no_grad():
            self.running_mean.lerp_(found.mean.to(self.running_mean.dtype), self.momentum)
            unbiased = (found.m2 / (found.count - 1)).to(self.running_var.dtype)
            self.running_var.lerp_(unbiased, self.momentum)
        y: Tensor = _Normalise.apply(x, valid, self.weight, self.bias, found, self.eps, ranks)
        return y


class _Normalise(torch.autograd.Function):
    """Normalise with pooled batch statistics; the gradient passes through them on all ranks."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        valid: Tensor | None,
        weight: Tensor,
        bias: Tensor,
        found: Moments,
        eps: float,
        ranks: int,
    ) -> Tensor:
        mean, var = found.mean.to(weight.dtype), (found.m2 / found.count).to(weight.dtype)
        ctx.save_for_backward(x, valid, weight, mean, (var + eps).rsqrt())
        ctx.count, ctx.ranks = found.count, ranks
        y = F.batch_norm(x, mean, var, weight, bias, False, 0.0, eps)
        return y if valid is None else y.masked_fill_(~valid, 0)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, valid, weight, mean, invstd = ctx.saved_tensors
        wide = torch.promote_types(x.dtype, torch.float32)
        dy = gradients[0].to(wide)
        if valid is not None:
            dy = dy.masked_fill(~valid, 0)
        dims = [d for d in range(x.dim()) if d != 1]
        normal = (x.to(wide) - _across(mean, x)) * _across(invstd, x)
        sums = torch.stack([dy.sum(dims), (dy * normal).sum(dims)])
        grad_bias, grad_weight = sums[0].to(weight.dtype), sums[1].to(weight.dtype)
        if ctx.ranks > 1:
            sums = sums.clone()
            dist.all_reduce(sums)
        shared, along = sums / ctx.count
        dx = dy - _across(shared, x) - normal * _across(along, x)
        dx = dx * _across(weight * invstd, x)
        if valid is not None:
            dx = dx.masked_fill(~valid, 0)
        return dx.to(x.dtype), None, grad_weight, grad_bias, None, None, None


def _pool_ranks(own: Moments, ranks: int) -> Moments:
    """Pool over ranks with one all-gather; every rank sums in the same order."""
    if ranks == 1:
        return own
    count = own.mean.new_tensor([own.count], dtype=torch.float64)
    packed = torch.cat([count, own.mean.double(), own.m2.double()])
    gathered = [torch.empty_like(packed) for _ in range(ranks)]
    dist.all_gather(gathered, packed)
    channels = own.mean.numel()
    return pool([Moments(float(g[0]), g[1 : channels + 1], g[channels + 1 :]) for g in gathered])


def _across(per_channel: Tensor, x: Tensor) -> Tensor:
    """View [c] so that it broadcasts over x [n, c, ...]."""
    return per_channel.view(1, -1, *[1] * (x.dim() - 2))
