"""GLN: lateral connections merge features of all depths; a compact block classifies.

Hou, Cao, Liu, Huang: "Gait Lateral Network: Learning Discriminative and Compact
Representations for Gait Recognition", ECCV 2020; as built in OpenGait.
"""

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasgait.baselines.reported import casia_b
from nasgait.baselines.variant import Variant
from nasgait.nn.base import GaitNetwork, GaitOutput
from nasgait.nn.blocks import Conv2d, SetBlock
from nasgait.nn.heads import SeparateFCs
from nasgait.nn.init import initialise
from nasgait.nn.norm import BatchNorm
from nasgait.nn.pooling import HorizontalPyramid, packed_max
from nasgait.nn.temporal import check_lengths, pack

DEPTHS = 3


class CompactBlock(nn.Module):
    """The classifier of the second phase, on one short vector of all parts.

    BatchNorm, dropout, ReLU and a linear map give the vector; BatchNorm and a linear classifier
    follow.  The biases of both norms stay 0, as published.

    Args:
        features: numbers in the embedding, channels times parts.
        compact: length of the vector.
        classes: identities.
        dropout: share of the features dropped in training.
    """

    def __init__(self, features: int, compact: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.norm = BatchNorm(features)
        self.dropout = nn.Dropout(dropout)
        self.reduce = nn.Linear(features, compact, bias=False)
        self.compact_norm = BatchNorm(compact)
        self.classifier = nn.Linear(compact, classes, bias=False)
        initialise(self)
        self.norm.bias.requires_grad_(False)
        self.compact_norm.bias.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """Map an embedding [n, c, p] to logits [n, classes, 1], one for all parts together."""
        x = F.relu(self.dropout(self.norm(x.flatten(1))))
        logits: Tensor = self.classifier(self.compact_norm(self.reduce(x)))
        return logits[..., None]


class GLN(GaitNetwork):
    """GaitSet's two branches, merged at three depths from the deepest up, strips at each.

    The embedding [n, embedding, 3 * sum(bins)] is the output of one linear map for each strip;
    the compact block (phase 2) classifies it.  Phase 1 is the network without classes.

    Args:
        channels: of the three stages.
        lateral: channels of the merged maps.
        size: height and width of the input; 128 x 88 as published.
        frames: of a sequence, when costs are stated.
        bins: strips of the horizontal pyramid at each depth.
        embedding: channels of each part.
        compact: length of the vector in the compact block.
        dropout: in the compact block.
        normalise_fcs: scale the weights of the linear maps to length 1.
        num_classes: identities; no compact block and no logits without.
    """

    def __init__(
        self,
        channels: Sequence[int] = (32, 64, 128),
        lateral: int = 256,
        size: tuple[int, int] = (128, 88),
        frames: int = 30,
        bins: Sequence[int] = (16, 8, 4, 2, 1),
        embedding: int = 256,
        compact: int = 256,
        dropout: float = 0.9,
        normalise_fcs: bool = False,
        num_classes: int | None = None,
    ) -> None:
        super().__init__()
        self.size, self.frames = size, frames
        first, second, third = channels
        self.block1 = SetBlock(1, first, 5, pool=False)
        self.block2 = SetBlock(first, second, 3, pool=False)
        self.block3 = SetBlock(second, third, 3, pool=False)
        self.global2 = SetBlock(first, second, 3, pool=False)
        self.global3 = SetBlock(second, third, 3, pool=False)
        self.lateral = nn.ModuleList(Conv2d(2 * width, lateral, 1) for width in channels)
        self.smooth = nn.ModuleList(Conv2d(lateral, lateral, 3) for _ in channels)
        parts = DEPTHS * sum(bins)
        self.pooling = HorizontalPyramid(bins)
        self.fcs = SeparateFCs(parts, lateral, embedding, normalise_fcs)
        initialise(self)
        self.neck = (
            CompactBlock(embedding * parts, compact, num_classes, dropout) if num_classes else None
        )

    def forward(self, silhouettes: Tensor, lengths: Tensor | None = None) -> GaitOutput:
        """Embed silhouettes [n, s, h, w] in 0..1 with ``lengths`` int64 [n] real frames."""
        x, valid = pack(silhouettes, check_lengths(silhouettes, lengths))
        maps = self._merged(self._levels(x, len(silhouettes), valid))
        strips = [self.pooling(smooth(x)) for smooth, x in zip(self.smooth, maps, strict=True)]
        embeddings = self.fcs(torch.cat(strips, dim=-1))
        return self.output(embeddings)

    def _levels(self, x: Tensor, n: int, valid: Tensor | None) -> list[Tensor]:
        """Maximum over frames and set-level map, concatenated, at each depth: [n, 2c, h, w]."""
        x = self.block1(x)
        frames1 = packed_max(x, n, valid)
        x = self.block2(F.max_pool2d(x, 2))
        frames2 = packed_max(x, n, valid)
        # The maxima over frames and over pixels commute.
        set2 = self.global2(F.max_pool2d(frames1, 2)) + frames2
        frames3 = packed_max(self.block3(F.max_pool2d(x, 2)), n, valid)
        set3 = self.global3(F.max_pool2d(set2, 2)) + frames3
        # The first depth has no set-level map: the published network takes the maximum twice.
        pairs = ((frames1, frames1), (frames2, set2), (frames3, set3))
        return [torch.cat(pair, dim=1) for pair in pairs]

    def _merged(self, levels: list[Tensor]) -> list[Tensor]:
        """Each depth plus the upsampled depths below it: [n, lateral, h, w] of its own size."""
        maps = [lateral(x) for lateral, x in zip(self.lateral, levels, strict=True)]
        for depth in reversed(range(DEPTHS - 1)):
            size = maps[depth].shape[2:]
            below = F.interpolate(maps[depth + 1], size=size, mode="nearest")
            maps[depth] = below + maps[depth]
        return maps


VARIANTS = {
    "gln": Variant(
        GLN,
        "GLN (ECCV 2020) as published for CASIA-B: frames of 128 x 88",
        # Those of the first phase, without the compact block.
        casia_b(96.4, 93.1, 81.0),
    ),
    "gln-64x44": Variant(
        partial(GLN, size=(64, 44)), "GLN with the published layers on frames of 64 x 44"
    ),
    "gln-nano": Variant(
        partial(
            GLN,
            channels=(8, 16, 32),
            lateral=32,
            size=(32, 22),
            bins=(8, 4, 2, 1),
            embedding=64,
            compact=64,
            dropout=0.5,
            frames=16,
        ),
        "GLN narrowed to the cost of the nano space; not a published network",
    ),
}
