"""Self-supervised learning of gait networks: two views of a sequence, one predicts the other.

Grill et al.: "Bootstrap Your Own Latent: A New Approach to Self-Supervised Learning",
NeurIPS 2020; on the parts of a gait embedding, as in SelfGait (ICASSP 2021).
"""

import copy
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasgait.nn.base import GaitNetwork
from nasgait.nn.norm import BatchNorm
from nasgait.nn.precision import no_autocast, widen

Cosine = Literal["parts", "channels"]
"""The axis along which the cosine of two projections [n, c, p] is taken."""

HeadNorm = Literal["shared", "parts"]
"""Whether all parts share the BatchNorm of projectors and predictor, or each has its own."""


class BYOLOutput(NamedTuple):
    """The online side's predictions and the target side's projections; all [n, c, p]."""

    predictions: tuple[Tensor, Tensor]
    """From the first view, and from the second."""
    targets: tuple[Tensor, Tensor]
    """Of the second view, and of the first, without gradient."""


class ProjectionHead(nn.Module):
    """Two linear layers that all parts share, BatchNorm and ReLU between them.

    Args:
        in_channels, hidden, out_channels: widths of input, middle and output.
        parts: BatchNorms, one for each part of the input; by default one for all.
    """

    def __init__(self, in_channels: int, hidden: int, out_channels: int, parts: int = 1) -> None:
        super().__init__()
        self.parts = parts
        self.expand = nn.Conv1d(in_channels, hidden, 1)
        self.norm = BatchNorm(hidden * parts)
        self.contract = nn.Conv1d(hidden, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map x [n, in, p] to [n, out, p], in float32 or wider like all heads."""
        with no_autocast(x):
            y = self.expand(widen(x))
            normal = self.norm(y.flatten(1)).view_as(y) if self.parts > 1 else self.norm(y)
            z: Tensor = self.contract(F.relu_(normal))
            return z


class BYOL(nn.Module):
    """An online network that learns to predict its own moving average.

    The optimizer does not see the target's weights: :meth:`update_target` moves them after each
    of its steps.  BatchNorm of the target keeps statistics of its own inputs and is in training
    mode like that of the online network, as published.

    Args:
        online: the network to train, without neck.
        hidden: middle width of projectors and predictor.
        projection: their output width.
        momentum: share of the target that :meth:`update_target` keeps.
        norm: BatchNorm of projectors and predictor: ``shared`` by all parts, as in SelfGait, or
            one for each of the ``parts``.  Where a network maps each part by itself, parts
            differ far more than sequences do: behind a shared norm there is little left to
            predict but which part it is.
    """

    def __init__(
        self,
        online: GaitNetwork,
        hidden: int = 256,
        projection: int = 128,
        momentum: float = 0.996,
        norm: HeadNorm = "shared",
    ) -> None:
        super().__init__()
        self.momentum = momentum
        channels, parts = embedding_shape(online)
        norms = parts if norm == "parts" else 1
        self.online = online
        self.projector = ProjectionHead(channels, hidden, projection, norms)
        self.predictor = ProjectionHead(projection, hidden, projection, norms)
        self.target = online.momentum_target().requires_grad_(False)
        self.target_projector = copy.deepcopy(self.projector).requires_grad_(False)

    def forward(self, silhouettes: Tensor, lengths: Tensor | None = None) -> BYOLOutput:
        """Predict each view of a sequence from the other.

        Args:
            silhouettes: float [2n, s, h, w] in 0..1; the two views of a sequence are next to
                each other.
            lengths: int64 [2n], frames of each view; the rest is padding.
        """
        # One view at a time, so that BatchNorm never sees both together, as published.
        views = [(silhouettes[i::2], None if lengths is None else lengths[i::2]) for i in range(2)]
        first, second = (self.predict(*view) for view in views)
        with torch.no_grad():
            of_first, of_second = (self.project_target(*view) for view in views)
        return BYOLOutput((first, second), (of_second, of_first))

    def predict(self, silhouettes: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The online side: view [n, s, h, w] to [n, c, p]."""
        embeddings = self.online(silhouettes, lengths).embeddings
        prediction: Tensor = self.predictor(self.projector(embeddings))
        return prediction

    def project_target(self, silhouettes: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The target side: view [n, s, h, w] to [n, c, p]."""
        projection: Tensor = self.target_projector(self.target(silhouettes, lengths).embeddings)
        return projection

    @torch.no_grad()
    def update_target(self) -> None:
        """Move the target's weights towards the online ones; call it after each optimizer step."""
        for online, target in (
            (self.online, self.target),
            (self.projector, self.target_projector),
        ):
            leaders = dict(online.named_parameters())
            for name, parameter in target.named_parameters():
                parameter.mul_(self.momentum).add_(leaders[name], alpha=1 - self.momentum)


def regression_loss(prediction: Tensor, target: Tensor, cosine: Cosine = "parts") -> Tensor:
    """One minus the cosine of prediction and target [n, c, p].

    Args:
        prediction, target: [n, c, p].
        cosine: ``parts`` as in SelfGait, which compares each channel over all parts;
            ``channels`` as in BYOL, which compares each part over all channels.

    Returns:
        [n, c] for ``parts``, [n, p] for ``channels``.
    """
    return 1 - F.cosine_similarity(prediction, target, dim=axis(cosine), eps=1e-6)


class RegressionLoss:
    """The mean of both views' regression losses, and metrics to log.

    The metric ``spread`` tells learning from collapse, which the loss cannot.  It is the standard
    deviation of the targets' directions over the batch: 0 (all sequences look the same) to 1.
    """

    def __init__(self, cosine: Cosine = "parts") -> None:
        self.cosine: Cosine = cosine

    def __call__(self, output: BYOLOutput, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the scalar to minimise and the metrics to log; ``labels`` are ignored."""
        terms = [
            regression_loss(prediction, target, self.cosine)
            for prediction, target in zip(*output, strict=True)
        ]
        loss = torch.stack(terms).sum(0).mean()
        directions = F.normalize(torch.stack(output.targets), dim=1 + axis(self.cosine))
        spread = directions.var(1, correction=0).sum(axis(self.cosine)).mean().sqrt()
        return loss, {"spread": spread}


def axis(cosine: Cosine) -> int:
    """The dimension of [n, c, p] along which the cosine is taken."""
    return 2 if cosine == "parts" else 1


def embedding_shape(model: GaitNetwork) -> tuple[int, int]:
    """Channels and parts of a network's embedding, from a pass on the meta device."""
    bare = model.momentum_target().to("meta").eval()
    with torch.no_grad():
        silhouettes = torch.zeros(1, model.frames, *model.size, device="meta")
        _, channels, parts = bare(silhouettes).embeddings.shape
    return channels, parts
