"""What every gait network returns."""

from typing import NamedTuple

from torch import Tensor


class GaitOutput(NamedTuple):
    """Result of ``model(silhouettes, lengths=None)`` for n sequences."""

    embeddings: Tensor
    """Float [n, c, p]: c channels for each of p body parts; used for retrieval and triplets."""
    logits: Tensor | None
    """Float [n, classes, p] of the BNNeck's cosine classifier; None without classes."""
