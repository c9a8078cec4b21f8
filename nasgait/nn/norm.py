"""One BatchNorm for 1 to 3 dimensions, padded batches and several ranks.

torch's SyncBatchNorm refuses the CPU, and none of its norms knows which positions of a padded
batch are real.  Without padding and with one rank a GPU runs plain ``F.batch_norm``.  On a CPU
torch sums channels-last activations one by one in float32, which is off by 2e-3 over a large
batch; the same kernels on a regrouped view (:func:`_regroup`) are exact and no slower.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd, isqrt
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from nasgait.nn.precision import wide_dtype
from nasgait.nn.temporal import hide


@dataclass(frozen=True)
class Moments:
    """Count, mean and sum of squared deviations over the positions of each channel."""

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


def moments(x: Tensor, valid: Tensor | None = None) -> Moments:
    """Moments, in float64, of x [n, c, ...] for each channel over its valid positions.

    ``valid`` is bool, broadcastable to x with channel dimension 1; all by default.
    """
    if valid is not None:
        return moments(_valid_rows(x, valid))
    channels = x.shape[1]
    count = x.numel() // channels
    grouped, groups = _regroup(x)
    # Wide running statistics make the kernel accumulate half precision in float32.
    unused = x.new_zeros(groups * channels, dtype=wide_dtype(x))
    mean, var = torch.batch_norm_update_stats(grouped, unused, unused.clone(), 0.0)
    means, variances = mean.view(groups, -1).double(), var.view(groups, -1).double()
    mean = means.mean(0)
    return Moments(count, mean, (variances + (means - mean).square()).sum(0) * count / groups)


def _valid_rows(x: Tensor, valid: Tensor) -> Tensor:
    """The valid positions of x [n, c, ...], as [1, c, positions] with channels last in memory."""
    rows, mask = x.movedim(1, -1), valid[:, 0]
    while mask.dim() > 1 and mask.shape[-1] == 1:
        mask = mask[..., 0]  # take whole frames at once
    mask = mask.expand(rows.shape[: mask.dim()])
    return rows[mask].flatten(0, -2).T[None]


class BatchNorm(_BatchNorm):
    """Batch normalisation of [n, c], [n, c, s] or [n, c, s, h, w] over all but channels.

    The state-dict keys are those of torch's BatchNorm.  In training the
    statistics count valid positions only, and those of all ranks when
    torch.distributed runs with more than one; gradients flow through them.
    Statistics are float32 or wider; the output has the type of the input.
    """

    frozen: bool = False
    """Normalise by the running statistics in training, too, without updating them."""

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__(num_features, eps=eps, momentum=momentum)
        self.momentum: float = momentum

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Normalise x [n, c, ...].

        Args:
            x: activations.
            valid: bool, broadcastable to x with channel dimension 1 (say
                [n, 1, s, 1, 1]); positions where it is False enter no statistic.
                There the output is 0 in training and means nothing in evaluation.

        Raises:
            ValueError: training with fewer than 2 positions for each channel.
        """
        assert self.running_mean is not None and self.running_var is not None
        if self.training and not self.frozen:
            return self._train(x, valid)
        return self.normalise(x, self.running_mean, self.running_var)

    def normalise(self, x: Tensor, mean: Tensor, var: Tensor) -> Tensor:
        """Normalise x [n, c, ...] by a mean and variance [c], with this weight and bias."""
        return F.batch_norm(x, mean, var, self.weight, self.bias, False, 0.0, self.eps)

    def _train(self, x: Tensor, valid: Tensor | None) -> Tensor:
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        ranks = dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
        if valid is None and ranks == 1 and x.device.type != "cpu":
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
        x = hide(x, valid)
        found = pool_ranks(moments(x.detach(), valid), ranks)
        if found.count < 2:
            raise ValueError("BatchNorm in training needs at least 2 valid positions")
        with torch.no_grad():
            self.running_mean.lerp_(found.mean.to(self.running_mean.dtype), self.momentum)
            unbiased = (found.m2 / (found.count - 1)).to(self.running_var.dtype)
            self.running_var.lerp_(unbiased, self.momentum)
        y: Tensor = _Normalise.apply(x, valid, self.weight, self.bias, found, self.eps, ranks)
        return y


class _Normalise(torch.autograd.Function):
    """Normalise by statistics pooled over ranks; gradients flow through them on all ranks."""

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
        ctx.save_for_backward(x, valid, weight, mean, var)
        ctx.count, ctx.ranks, ctx.eps = found.count, ranks, eps
        y = F.batch_norm(x, mean, var, weight, bias, False, 0.0, eps)
        return y if valid is None else y.masked_fill_(~valid, 0)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, valid, weight, mean, var = ctx.saved_tensors
        dy = gradients[0] if valid is None else gradients[0].masked_fill(~valid, 0)
        along, across = _gradient_sums(dy, x, mean, (var + ctx.eps).rsqrt())
        grad_weight, grad_bias = along.to(weight.dtype), across.to(weight.dtype)
        sums = torch.stack([along, across])
        if ctx.ranks > 1:
            dist.all_reduce(sums)
        # dx = weight / std * (dy - across - normal(x) * along) as two affine maps, by kernels
        # that make one pass each and compute half precision in float32.
        scale = weight * (var + ctx.eps).rsqrt()
        along, across = (sums / ctx.count * scale).to(weight.dtype)
        none, one = torch.zeros_like(var), torch.full_like(var, 1 - ctx.eps)
        dx = F.batch_norm(dy, none, one, scale, -across, False, 0.0, ctx.eps)
        dx -= F.batch_norm(x, mean, var, along, none, False, 0.0, ctx.eps)
        if valid is not None:
            dx = dx.masked_fill_(~valid, 0)
        return dx, None, grad_weight, grad_bias, None, None, None


def _gradient_sums(dy: Tensor, x: Tensor, mean: Tensor, invstd: Tensor) -> tuple[Tensor, Tensor]:
    """Sums of dy * normal(x) and of dy for each channel, [c] in float64."""
    grouped, groups = _regroup(x)
    gradient = dy
    if groups > 1:
        gradient = torch.empty_like(x).copy_(dy) if dy.stride() != x.stride() else dy
        gradient = _regroup(gradient)[0]
    wide = wide_dtype(x)
    mean, invstd = (value.to(wide).repeat(groups) for value in (mean, invstd))
    _, along, across = torch.ops.aten.native_batch_norm_backward(
        gradient,
        grouped,
        torch.ones_like(mean),
        None,
        None,
        mean,
        invstd,
        True,
        0.0,
        [False, True, True],
    )
    return along.view(groups, -1).double().sum(0), across.view(groups, -1).double().sum(0)


def _regroup(x: Tensor) -> tuple[Tensor, int]:
    """View channels-last x with k * c channels, k groups of positions for each channel.

    Sums over the positions of a group are short, and k of them add up to a channel of x.
    Returns the view and k; x itself and 1 where a view gains nothing.
    """
    if x.device.type != "cpu":
        return x, 1
    count = x.numel() // x.shape[1]
    groups = gcd(count, 1 << isqrt(count).bit_length() - 1)
    rows = x.movedim(1, -1)
    if x.dim() < 3 or x.is_contiguous() or not rows.is_contiguous() or groups == 1:
        return x, 1
    return rows.view(1, count // groups, 1, -1).permute(0, 3, 1, 2), groups


def pool_ranks(own: Moments, ranks: int) -> Moments:
    """Pool over ranks with one all-gather; every rank sums in the same order."""
    if ranks == 1:
        return own
    count = own.mean.new_tensor([own.count], dtype=torch.float64)
    packed = torch.cat([count, own.mean, own.m2])
    gathered = [torch.empty_like(packed) for _ in range(ranks)]
    dist.all_gather(gathered, packed)
    channels = own.mean.numel()
    return pool([Moments(float(g[0]), g[1 : channels + 1], g[channels + 1 :]) for g in gathered])
