"""GaitGL: every convolution sees the whole body and each horizontal strip of it.

Lin, Zhang, Yu: "Gait Recognition via Effective Global-Local Feature Representation
and Local Temporal Aggregation", ICCV 2021; as built in OpenGait.
"""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasgait.baselines.reported import Reported, casia_b
from nasgait.baselines.variant import Variant
from nasgait.nn.base import GaitNetwork, GaitOutput
from nasgait.nn.blocks import Conv3d, TemporalAggregation
from nasgait.nn.heads import BNNecks, SeparateFCs
from nasgait.nn.init import initialise
from nasgait.nn.norm import BatchNorm
from nasgait.nn.pooling import GeMPyramid, spatial_max, temporal_max
from nasgait.nn.temporal import LTA_STRIDE, check_lengths, hide, repeat_short, valid_mask

KERNEL = (3, 3, 3)


class GLConv(nn.Module):
    """A convolution of the whole map and one that all its strips share, each with LeakyReLU.

    Args:
        in_channels, channels: of both convolutions.
        strips: equal strips of the height, each zero-padded.
    """

    def __init__(self, in_channels: int, channels: int, strips: int) -> None:
        super().__init__()
        self.whole = Conv3d(in_channels, channels, KERNEL)
        self.local = Conv3d(in_channels, channels, KERNEL)
        self.strips = strips

    def branches(self, x: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        """The whole and the local map [n, channels, s, h, w] of x [n, c, s, h, w]."""
        x = hide(x, valid)
        whole = F.leaky_relu_(self.whole(x))
        local = F.leaky_relu_(self.local(strips_to_batch(x, self.strips)))
        return whole, batch_to_strips(local, self.strips)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Map x [n, c, s, h, w] to the sum of both maps; ``valid`` is bool [n, 1, s, 1, 1]."""
        whole, local = self.branches(x, valid)
        return whole + local


def strips_to_batch(x: Tensor, strips: int) -> Tensor:
    """Strips of the height as separate sequences: [n, c, s, h, w] to [n * k, c, s, h / k, w].

    The result is channels-last in memory, which makes the convolutions fast.
    """
    rows = x.movedim(1, -1).unflatten(2, (strips, -1))
    return rows.transpose(1, 2).flatten(0, 1).movedim(-1, 1)


def batch_to_strips(x: Tensor, strips: int) -> Tensor:
    """Undo :func:`strips_to_batch`: [n * k, c, s, h / k, w] to [n, c, s, h, w]."""
    rows = x.movedim(1, -1).unflatten(0, (-1, strips))
    return rows.transpose(1, 2).flatten(2, 3).movedim(-1, 1)


class GaitGL(GaitNetwork):
    """3-D convolutions, local temporal aggregation, then global and local convolutions in parallel.

    Sequences below three frames are repeated.  After the first convolutions each three frames
    become one; three stages of :class:`GLConv` follow, with 2x2 max pooling after the first.
    The two maps of the last one are stacked along the height, so that the maximum over time
    has as many rows as the input; generalised means of these are the parts.

    With the original head, whose classifier is linear, the embedding is the output of a BatchNorm
    on the part features.  With OpenGait's BNNeck it is the neck's input.

    Args:
        channels: of the first convolutions and the three stages.
        layers: convolutions before the aggregation and in each stage.
        strips: of each local convolution; half the height must be a multiple of it.
        size: height and width of the input.
        frames: of a sequence, when costs are stated.
        parts: of the embedding; the height must be a multiple of it.
        bnneck: use OpenGait's BNNeck instead of the original head.
        cosine, joint_norm: of the BNNeck, see :class:`~nasgait.nn.heads.BNNecks`.
        num_classes: identities; no classifier and no logits without.

    Raises:
        ValueError: a height that ``strips`` or ``parts`` do not divide.
    """

    def __init__(
        self,
        channels: Sequence[int] = (32, 64, 128, 128),
        layers: int = 1,
        strips: int = 8,
        size: tuple[int, int] = (64, 44),
        frames: int = 30,
        parts: int = 64,
        bnneck: bool = False,
        cosine: bool = True,
        joint_norm: bool = True,
        num_classes: int | None = None,
    ) -> None:
        super().__init__()
        if size[0] % (2 * strips) or size[0] % parts:
            raise ValueError(
                f"a height of {size[0]} gives no {strips} equal strips at half of it, or no "
                f"{parts} equal parts"
            )
        self.size, self.frames, self.layers = size, frames, layers
        first, *_, embedding = channels
        self.stem = nn.ModuleList(Conv3d(first if i else 1, first, KERNEL) for i in range(layers))
        self.aggregation = TemporalAggregation(first)
        widths = [first, *(width for width in channels[1:] for _ in range(layers))]
        blocks = [GLConv(before, after, strips) for before, after in pairwise(widths)]
        self.blocks, self.last = nn.ModuleList(blocks[:-1]), blocks[-1]
        self.pooling = GeMPyramid((parts,))
        self.fcs = SeparateFCs(parts, embedding, embedding)
        self.norm = None if bnneck else BatchNorm(embedding)
        initialise(self)
        self.neck: nn.Module | None = None
        if num_classes and bnneck:
            self.neck = BNNecks(parts, embedding, num_classes, cosine, joint_norm)
        elif num_classes:
            self.neck = SeparateFCs(parts, embedding, num_classes)

    def forward(self, silhouettes: Tensor, lengths: Tensor | None = None) -> GaitOutput:
        """Embed silhouettes [n, s, h, w] in 0..1 with ``lengths`` int64 [n] real frames."""
        lengths = check_lengths(silhouettes, lengths)
        silhouettes, lengths = repeat_short(silhouettes, lengths, LTA_STRIDE)
        x, valid = silhouettes[:, None], valid_mask(lengths, silhouettes.shape[1])
        for conv in self.stem:
            x = F.leaky_relu_(conv(hide(x, valid)))
        x, valid = self.aggregation(x, valid)
        for number, block in enumerate(self.blocks, start=1):
            x = block(x, valid)
            if number == self.layers:
                x = spatial_max(x)
        maps = [temporal_max(branch, valid) for branch in self.last.branches(x, valid)]
        embeddings = self.fcs(self.pooling(torch.cat(maps, dim=2)))
        if self.norm is not None:
            embeddings = self.norm(embeddings)
        return self.output(embeddings)


VARIANTS = {
    "gaitgl": Variant(
        GaitGL, "GaitGL (ICCV 2021) as published for CASIA-B", casia_b(97.4, 94.5, 83.8)
    ),
    "gaitgl-grew": Variant(
        partial(GaitGL, channels=(32, 64, 128, 256), layers=2, strips=2),
        "GaitGL as published for OU-MVLP and GREW: twice as deep, local strips four times as high",
        (Reported("GREW", 41.5), Reported("OU-MVLP", 89.9)),
    ),
    "gaitgl-grew-bnneck": Variant(
        partial(GaitGL, channels=(32, 64, 128, 256), layers=2, strips=2, bnneck=True),
        "GaitGL as published for GREW with OpenGait's BNNeck",
        (Reported("GREW", 51.7),),
    ),
    "gaitgl-nano": Variant(
        partial(GaitGL, channels=(8, 12, 16, 24), strips=4, size=(32, 22), parts=32, frames=16),
        "GaitGL narrowed to the cost of the nano space; not a published network",
    ),
}
