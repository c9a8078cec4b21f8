"""What every gait network is, and what it returns."""

from typing import NamedTuple

from torch import Tensor, nn


class GaitOutput(NamedTuple):
    """Result of ``model(silhouettes, lengths=None)`` for n sequences."""

    embeddings: Tensor
    """Float [n, c, p]: c channels for each of p body parts; used for retrieval and triplets."""
    logits: Tensor | None
    """Float [n, classes, p] of the BNNeck's cosine classifier; None without classes."""


class GaitNetwork(nn.Module):
    """A network called as ``model(silhouettes, lengths=None) -> GaitOutput``.

    ``silhouettes`` are float [n, s, h, w] in 0..1; ``lengths`` int64 [n]: valid frames come
    first, the rest is padding and changes nothing.
    """

    size: tuple[int, int]
    """Height and width of the silhouettes it takes."""
    frames: int
    """Frames of a sequence when costs are stated."""
    neck: nn.Module | None
    """BNNeck and classifier, which training alone needs; None without classes."""
