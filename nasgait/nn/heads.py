"""Heads on part features [n, c, p]: one linear map for each part, and the BNNeck.

Heads compute in float32 or wider even under autocast: they are a thousandth of a network's
work, and distances and losses depend on their outputs.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasgait.nn.base import GaitNetwork
from nasgait.nn.init import initialise
from nasgait.nn.norm import BatchNorm
from nasgait.nn.precision import no_autocast, widen


class SeparateFCs(nn.Module):
    """One linear map without bias for each part.

    Args:
        parts: p; in_channels, out_channels: of each map.
        normalise: scale each output's weights to length 1.
    """

    def __init__(
        self, parts: int, in_channels: int, out_channels: int, normalise: bool = False
    ) -> None:
        super().__init__()
        self.normalise = normalise
        self.fc_bin = nn.Parameter(torch.empty(parts, in_channels, out_channels))
        nn.init.xavier_uniform_(self.fc_bin)

    def forward(self, x: Tensor) -> Tensor:
        """Map x [n, in, p] to [n, out, p]."""
        with no_autocast(x):
            x, weight = widen(x), widen(self.fc_bin)
            if self.normalise:
                weight = F.normalize(weight, dim=1)
            return x.permute(2, 0, 1).matmul(weight).permute(1, 2, 0)


class BNNecks(nn.Module):
    """BatchNorm over the flattened features, then cosine logits for each part.

    Features and class weights are both L2-normalised (OpenGait's SeparateBNNecks).

    Args:
        parts: p; channels: c; classes: number of identities.
        cosine: normalise both; without, logits are plain inner products.
        joint_norm: one BatchNorm for all parts; without, one for each, which does the same
            under other names in the state dict.
        bias: train the bias of the BatchNorm; without, it stays 0 (Luo et al., "Bag of Tricks
            and a Strong Baseline for Deep Person Re-identification", CVPRW 2019).
    """

    def __init__(
        self,
        parts: int,
        channels: int,
        classes: int,
        cosine: bool = True,
        joint_norm: bool = True,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.cosine = cosine
        self.fc_bin = nn.Parameter(torch.empty(parts, channels, classes))
        nn.init.xavier_uniform_(self.fc_bin)
        self.norm: nn.Module = (
            BatchNorm(channels * parts)
            if joint_norm
            else nn.ModuleList(BatchNorm(channels) for _ in range(parts))
        )
        if not bias:
            for name, parameter in self.norm.named_parameters():
                if name.endswith("bias"):
                    parameter.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """Map features x [n, c, p] to logits [n, classes, p]."""
        return self.classify(self.features(x))

    def features(self, x: Tensor) -> Tensor:
        """The classifier's input: x [n, c, p] after BatchNorm, with ``cosine`` of length 1."""
        normal = self.normalised(x)
        return F.normalize(normal, dim=1) if self.cosine else normal

    def normalised(self, x: Tensor) -> Tensor:
        """x [n, c, p] after BatchNorm."""
        with no_autocast(x):
            x = widen(x)
            if isinstance(self.norm, nn.ModuleList):
                parts = [norm(part) for norm, part in zip(self.norm, x.unbind(2), strict=True)]
                return torch.stack(parts, dim=2)
            normal: Tensor = self.norm(x.flatten(1)).view_as(x)
            return normal

    def classify(self, features: Tensor) -> Tensor:
        """Logits [n, classes, p] of what :meth:`features` returned."""
        with no_autocast(features):
            weight = widen(self.fc_bin)
            if self.cosine:
                weight = F.normalize(weight, dim=1)
            return features.permute(2, 0, 1).matmul(weight).permute(1, 2, 0)


class PartNetwork(GaitNetwork):
    """A network that ends in OpenGait's head: a linear map for each part, then the BNNeck."""

    fcs: SeparateFCs
    neck: BNNecks | None

    def add_head(
        self,
        parts: int,
        channels: int,
        embedding: int,
        num_classes: int | None,
        normalise_fcs: bool = False,
        cosine: bool = True,
        joint_norm: bool = True,
        neck_bias: bool = True,
        initial: str = "xavier",
    ) -> None:
        """Add the linear maps, draw the weights of the layers so far, then add the neck.

        The last step of a constructor, always in this order: a seed then gives the same weights.

        Args:
            parts: how many there are.
            channels: of each part before its linear map.
            embedding: channels of each part after it.
            num_classes: identities; no neck and no logits without.
            normalise_fcs: scale the weights of the linear maps to length 1.
            cosine, joint_norm, neck_bias: of the neck, see :class:`BNNecks`.
            initial: how convolutions start, one of :data:`nasgait.nn.init.CONVOLUTIONS`.
        """
        self.fcs = SeparateFCs(parts, channels, embedding, normalise_fcs)
        initialise(self, initial)
        self.neck = None
        if num_classes:
            self.neck = BNNecks(parts, embedding, num_classes, cosine, joint_norm, neck_bias)
