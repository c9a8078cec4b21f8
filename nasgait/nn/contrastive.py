"""Supervised contrastive losses over parts (Khosla et al., 2020).

An anchor should be more similar to the samples of its own identity than to all others.
Its loss is the mean over its positives of the cross-entropy of picking that positive among
all other samples, with similarity over temperature as logits.  Each part of an embedding
has its own loss.  With two views of each sample and one label per sample this is the loss
of SimCLR (Chen et al., 2020).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from nasgait.nn.pairwise import pairwise, self_pairs
from nasgait.nn.precision import no_autocast, widen

BASE_TEMPERATURE = 0.07
"""Temperature of the paper, at which :func:`supervised_contrastive` has factor 1."""


def supervised_contrastive(embeddings: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Loss of each part [p] by inner products, as OpenGait's ``SupConLoss_Re``.

    It is scaled by ``temperature / BASE_TEMPERATURE``.  An anchor without a positive counts as
    0 in the mean over anchors.

    Args:
        embeddings: [n, c, p], of unit length along c as the paper has them.
        labels: int [n].
        temperature: of the softmax over the other samples.
    """
    with no_autocast(embeddings):
        x = widen(embeddings).permute(2, 0, 1)
        losses = _anchor_losses(x @ x.transpose(1, 2) / temperature, labels)
        return temperature / BASE_TEMPERATURE * losses.mean(1)


def distance_contrastive(embeddings: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Loss of each part [p] by distances on the unit sphere, as OpenGait's ``SupConLoss_Lp``.

    Similarity is the negative Euclidean distance of the normalised embeddings; the mean is over
    the anchors whose loss is above 0.  Where the exponentials of all other samples underflow,
    the published loss leaves the anchor out and its gradient is not finite; here it counts
    like any other.

    Args:
        embeddings: [n, c, p], of any length.
        labels: int [n].
        temperature: of the softmax over the other samples.
    """
    with no_autocast(embeddings):
        x = F.normalize(widen(embeddings).permute(2, 0, 1), dim=2)
        losses = _anchor_losses(-pairwise(x) / temperature, labels)
        above = losses > 0
        return (losses * above).sum(1) / above.sum(1).clamp(min=1)


def _anchor_losses(similarity: Tensor, labels: Tensor) -> Tensor:
    """Loss of each anchor [p, n] from similarities [p, n, n]; 0 without a positive."""
    alone = self_pairs(len(labels), labels.device)
    positive = (labels[:, None] == labels[None, :]) & ~alone
    # The smallest number rather than minus infinity, since a lone sample has no others.
    others = similarity.masked_fill(alone, torch.finfo(similarity.dtype).min)
    cost = others.logsumexp(2, keepdim=True) - similarity
    return (cost * positive).sum(2) / positive.sum(1).clamp(min=1)
