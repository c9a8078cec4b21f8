"""Heads on part features [n, c, p]: one linear map for each part, and the BNNeck.

Heads compute in float32 or wider even under autocast: they are a thousandth of
a network's work, and their outputs are what distances and losses are made of.
"""

from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasgait.nn.norm import BatchNorm


class SeparateFCs(nn.Module):
    """A linear map without bias of its own for each part.

    Args:
        parts: p; in_channels, out_channels: of each map.
    """

    def __init__(self, parts: int, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.fc_bin = nn.Parameter(torch.empty(parts, in_channels, out_channels))
        nn.init.xavier_uniform_(self.fc_bin)

    def forward(self, x: Tensor) -> Tensor:
        """Map x [n, in, p] to [n, out, p]."""
        with _full_precision(x):
            x, weight = _wide(x), _wide(self.fc_bin)
            return x.permute(2, 0, 1).matmul(weight).permute(1, 2, 0)


class BNNecks(nn.Module):
    """BatchNorm over the flattened features, then cosine logits for each part.

    Features and class weights are both L2-normalised (OpenGait's SeparateBNNecks).

    Args:
        parts: p; channels: c; classes: number of identities.
    """

    def __init__(self, parts: int, channels: int, classes: int) -> None:
        super().__init__()
        self.fc_bin = nn.Parameter(torch.empty(parts, channels, classes))
        nn.init.xavier_uniform_(self.fc_bin)
        self.norm = BatchNorm(channels * parts)

    def forward(self, x: Tensor) -> Tensor:
        """Map features x [n, c, p] to cosine logits [n, classes, p]."""
        with _full_precision(x):
            x, weight = _wide(x), _wide(self.fc_bin)
            normal = self.norm(x.flatten(1)).view_as(x)
            feature = F.normalize(normal.permute(2, 0, 1), dim=-1)
            return feature.matmul(F.normalize(weight, dim=1)).permute(1, 2, 0)


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _full_precision(x: Tensor) -> AbstractContextManager[None]:
    """Autocast off, on devices that have it (``meta`` has not)."""
    kind = x.device.type
    if torch.amp.is_autocast_available(kind):
        return torch.autocast(kind, enabled=False)
    return nullcontext()
