"""Triplet, cross-entropy and contrastive losses over parts, and their weighted sum.

Every part of an embedding has its own loss.  The triplet loss is the batch-all
loss of Hermans et al. (2017), averaged over the triplets that violate the
margin, as GaitSet and its successors use it.  All arithmetic is float32 (or
float64 when the input is), also inside autocast.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from nasgait.config.schema import ContrastiveConfig, LossConfig
from nasgait.core.errors import ConfigError
from nasgait.nn.base import GaitOutput
from nasgait.nn.contrastive import distance_contrastive, supervised_contrastive
from nasgait.nn.gather import gather
from nasgait.nn.pairwise import pairwise
from nasgait.nn.precision import no_autocast, widen


class TripletResult(NamedTuple):
    """The triplet loss and the metrics to log with it, each with one value per part [p]."""

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

    As published, the positives of an anchor include the anchor itself.  Identities may have
    different numbers of samples; a batch without a negative pair has loss 0.

    Args:
        embeddings: [n, c, p].
        labels: int [n].
        margin: by which negative pairs should be further apart than positive ones.
    """
    with no_autocast(embeddings):
        distance = pairwise(widen(embeddings).permute(2, 0, 1))
        same = labels[:, None] == labels[None, :]
        anchor, positive = same.nonzero(as_tuple=True)
        gap = distance[:, anchor, positive, None] - distance[:, anchor]
        losses = (F.relu(gap + margin) * ~same[anchor]).flatten(1)
        nonzero = (losses > 0).sum(1)
        loss = losses.sum(1) / nonzero.clamp(min=1)
        return TripletResult(loss, losses.amax(1), nonzero, distance.mean((1, 2)))


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
        The loss of each part [p], and the accuracy over all samples and parts.
    """
    with no_autocast(logits):
        logits = widen(logits)
        targets = labels[:, None].expand(-1, logits.shape[2])
        losses = F.cross_entropy(
            logits * scale, targets, label_smoothing=smoothing, reduction="none"
        )
        accuracy = (logits.argmax(1) == targets).float().mean()
    return losses.mean(0), accuracy


class GaitLoss:
    """The weighted sum that training minimises.

    Under ``torch.distributed`` the terms that compare samples (triplet and contrastive) see
    those of all ranks, and their gradient is scaled so that its average over ranks is that of
    one process with the whole batch.  All ranks hold equally many samples.
    """

    def __init__(self, config: LossConfig) -> None:
        """Raises ConfigError when no term has any weight."""
        terms = (config.triplet, config.cross_entropy, config.contrastive)
        if not any(term.weight for term in terms):
            raise ConfigError(
                "loss: the weights of triplet, cross_entropy and contrastive are all 0; give one "
                "of them weight"
            )
        self.config = config

    def __call__(self, output: GaitOutput, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the scalar to minimise and the metrics to log (detached scalars).

        Args:
            output: of a network; embeddings [n, c, p], logits [n, classes, p] or None.
            labels: int [n], class numbers.

        Raises:
            ConfigError: cross-entropy has weight, but the network has no classifier.
        """
        config = self.config
        total = output.embeddings.new_zeros((), dtype=torch.float32)
        metrics: dict[str, Tensor] = {}
        if config.triplet.weight or config.contrastive.weight:
            samples = gather(output.embeddings, labels)
        if config.triplet.weight:
            result = triplet_loss(*samples, config.triplet.margin)
            metrics["triplet"] = result.loss.mean()
            metrics["triplet_hard"] = result.hard.mean()
            metrics["triplet_nonzero"] = result.nonzero.float().mean()
            metrics["distance"] = result.distance.mean()
            total = total + config.triplet.weight * metrics["triplet"]
        if config.cross_entropy.weight:
            losses, metrics["accuracy"] = self._classify(output.logits, labels)
            metrics["cross_entropy"] = losses.mean()
            total = total + config.cross_entropy.weight * metrics["cross_entropy"]
        if config.contrastive.weight:
            metrics["contrastive"] = contrast(*samples, config.contrastive).mean()
            total = total + config.contrastive.weight * metrics["contrastive"]
        return total, {name: metric.detach() for name, metric in metrics.items()}

    def _classify(self, logits: Tensor | None, labels: Tensor) -> tuple[Tensor, Tensor]:
        if logits is None:
            raise ConfigError(
                "loss.cross_entropy: has weight, but the network was built without classes"
            )
        config = self.config.cross_entropy
        return cross_entropy(logits, labels, config.scale, config.label_smoothing)


def contrast(embeddings: Tensor, labels: Tensor, config: ContrastiveConfig) -> Tensor:
    """Contrastive loss of each part [p] of embeddings [n, c, p] of any length."""
    if config.similarity == "distance":
        return distance_contrastive(embeddings, labels, config.temperature)
    unit = F.normalize(widen(embeddings), dim=1)
    return supervised_contrastive(unit, labels, config.temperature)
