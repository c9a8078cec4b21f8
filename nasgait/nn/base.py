"""What every gait network is, and what it returns."""

import copy
from typing import NamedTuple, Self

from torch import Tensor, nn


class GaitOutput(NamedTuple):
    """Result of ``model(silhouettes, lengths=None)`` for n sequences."""

    embeddings: Tensor
    """Float [n, c, p]: c channels for each of p body parts; used for retrieval and triplets."""
    logits: Tensor | None
    """Float [n, classes, p] of the BNNeck's cosine classifier; None without classes."""


class GaitNetwork(nn.Module):
    """A network called as ``model(silhouettes, lengths=None) -> GaitOutput``.

    ``silhouettes`` are float [n, s, h, w] in 0..1, ``lengths`` int64 [n].  The first frames of
    each sequence are valid; the rest is padding and changes nothing.
    """

    size: tuple[int, int]
    """Height and width of its input."""
    frames: int
    """Frames of a sequence, when costs are stated."""
    neck: nn.Module | None
    """BNNeck and classifier, which only training needs; None without classes."""
    needs_neck = False
    """Whether its embeddings are taken after the neck, so that it must be trained with one."""

    def output(self, embeddings: Tensor) -> GaitOutput:
        """The embeddings [n, c, p] with the neck's logits, or None where it has no neck."""
        return GaitOutput(embeddings, None if self.neck is None else self.neck(embeddings))

    def momentum_target(self) -> Self:
        """A copy without neck, which becomes the moving average of :mod:`nasgait.nn.byol`."""
        twin = copy.deepcopy(self)
        twin.neck = None
        return twin
