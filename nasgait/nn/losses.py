"""Triplet and cross-entropy losses over parts, and their weighted sum.

Every part of an embedding has its own loss.  The triplet loss is the batch-all
loss of Hermans et al. (2017), averaged over the triplets that violate the
margin, as GaitSet and its successors use it.  All arithmetic is float32 (or
float64 when the input is), also inside autocast.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, distributed

from nasgait.config.schema import LossConfig
from nasgait.errors import ConfigError
from nasgait.nn.output import GaitOutput


class TripletResult(NamedTuple):
    """The triplet loss and what is worth logging about it; each one value per part, [p]."""

    loss: Tensor
    """Mean over the triplets above zero; 0 without any."""
    hard: Tensor
    """Largest loss of a triplet."""
    nonzero: Tensor
    """Number of triplets above zero."""
    distance: Tensor
    """Mean distance over all pairs."""


def triplet_loss(embeddings: Tensor, labels: Tensor, margin: float) -> TripletResult:
    """Batch-all triplet loss for each part.

    As published, the positives of an anchor include the anchor itself.
    Identities may have different numbers of samples; a batch without any
    negative pair has loss 0.

    Args:
        embeddings: [n, c, p].
        labels: int [n].
        margin: wanted gap between the distances of negative and positive pairs.
    """
    with torch.autocast(embeddings.device.type, enabled=False):
        distance = _pairwise(_widen(embeddings).permute(2, 0, 1))
        same = labels[:, None] == labels[None, :]
        anchor, positive = same.nonzero(as_tuple=True)
        gap = distance[:, anchor, positive, None] - distance[:, anchor]
        losses = (F.relu(gap + margin) * ~same[anchor]).flatten(1)
        nonzero = (losses > 0).sum(1)
        loss = losses.sum(1) / nonzero.clamp(min=1)
        return TripletResult(loss, losses.amax(1), nonzero, distance.mean((1, 2)))


def _pairwise(x: Tensor) -> Tensor:
    """Euclidean distances [p, n, n] between the rows of x [p, n, c]."""
    # Distances do not depend on the origin; near the middle fewer digits cancel.
    x = x - x.detach().mean(1, keepdim=True)
    square = x.square().sum(2)
    squared = square[:, :, None] + square[:, None, :] - 2 * x @ x.transpose(1, 2)
    # The distance of a sample to itself is rounding noise under a root, whose
    # slope there is huge: it is zero, and so is its gradient.
    itself = torch.eye(x.shape[1], dtype=torch.bool, device=x.device)
    squared = squared.masked_fill(itself, 0)
    # relu passes no gradient at 0, where the root's is infinite.
    return F.relu(squared).sqrt()


def cross_entropy(
    logits: Tensor, labels: Tensor, scale: float, smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Softmax cross-entropy for each part.

    Args:
        logits: [n, classes, p].
        labels: int [n].
        scale: factor on the logits.
        smoothing: share of the target spread evenly over all classes.

    Returns:
        The loss of each part [p], and the share of right answers over samples
        and parts.
    """
    with torch.autocast(logits.device.type, enabled=False):
        logits = _widen(logits)
        targets = labels[:, None].expand(-1, logits.shape[2])
        losses = F.cross_entropy(
            logits * scale, targets, label_smoothing=smoothing, reduction="none"
        )
        accuracy = (logits.argmax(1) == targets).float().mean()
    return losses.mean(0), accuracy


class GaitLoss:
    """The weighted sum that training minimises.

    Under ``torch.distributed`` the triplet term sees the samples of all ranks,
    and its gradient is scaled so that averaging gradients over ranks gives
    that of one process with the whole batch.  All ranks hold equally many
    samples.
    """

    def __init__(self, config: LossConfig) -> None:
        """Keep the weights; ConfigError when no term has any."""
        if not config.triplet.weight and not config.cross_entropy.weight:
            raise ConfigError(
                "loss: the weights of triplet and cross_entropy are both 0; give one of them weight"
            )
        self.config = config

    def __call__(self, output: GaitOutput, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the scalar to minimise and the figures to log (detached scalars).

        Args:
            output: of a network; embeddings [n, c, p], logits [n, classes, p] or None.
            labels: int [n], class numbers.

        Raises:
            ConfigError: cross-entropy has weight and the network has no classifier.
        """
        total = output.embeddings.new_zeros((), dtype=torch.float32)
        figures: dict[str, Tensor] = {}
        triplet, classify = self.config.triplet, self.config.cross_entropy
        if triplet.weight:
            result = triplet_loss(*_gather(output.embeddings, labels), triplet.margin)
            total = total + triplet.weight * result.loss.mean()
            figures["triplet"] = result.loss.mean()
            figures["triplet_hard"] = result.hard.mean()
            figures["triplet_nonzero"] = result.nonzero.float().mean()
            figures["distance"] = result.distance.mean()
        if classify.weight:
            if output.logits is None:
                raise ConfigError(
                    "loss.cross_entropy: has weight, but the network was built without classes"
                )
            losses, accuracy = cross_entropy(
                output.logits, labels, classify.scale, classify.label_smoothing
            )
            total = total + classify.weight * losses.mean()
            figures["cross_entropy"] = losses.mean()
            figures["accuracy"] = accuracy
        return total, {name: figure.detach() for name, figure in figures.items()}


def _widen(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _gather(embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Join embeddings and labels of all ranks, in the order of the ranks."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return embeddings, labels
    world = distributed.get_world_size()
    if world == 1:
        return embeddings, labels
    everyone = [torch.empty_like(labels) for _ in range(world)]
    distributed.all_gather(everyone, labels)
    return _Gather.apply(_widen(embeddings)), torch.cat(everyone)


class _Gather(torch.autograd.Function):
    """Join along dim 0 over ranks; backward is the own slice times the number of ranks.

    Every rank computes the same loss of all samples, but only its own samples
    lead to its weights: times ``world`` makes up for the averaging of
    gradients, and no communication is needed on the way back.
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
