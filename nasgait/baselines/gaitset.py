"""GaitSet: a gait sequence as a set of frames.

Chao, He, Zhang, Feng: "GaitSet: Regarding Gait as a Set for Cross-View Gait
Recognition", AAAI 2019; as built in OpenGait.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from nasgait.baselines.reported import Reported, casia_b
from nasgait.baselines.variant import Variant
from nasgait.nn.base import GaitOutput
from nasgait.nn.blocks import SetBlock
from nasgait.nn.heads import PartNetwork
from nasgait.nn.pooling import HorizontalPyramid, packed_max
from nasgait.nn.temporal import check_lengths, pack


class GaitSet(PartNetwork):
    """Convolutions on frames, a maximum over the set, and a second branch on set-level maps.

    Args:
        channels: of the three blocks.
        size: height and width of the input; a quarter of the height must be a
            multiple of each of ``bins``.
        frames: of a sequence, when costs are stated.
        bins: strips of the horizontal pyramid; each of the two branches has sum(bins) parts.
        embedding, normalise_fcs: of the head, see :meth:`~nasgait.nn.heads.PartNetwork.add_head`.
        num_classes: identities; the published network has no classifier, so
            this adds the BNNeck of OpenGait's other networks.
        activation: ``leaky-relu`` as published, or ``relu``.
        initial: how convolutions start: ``xavier`` as published, ``kaiming``, or ``normal``
            with standard deviation 0.001.
        after_neck: in evaluation take the embedding after the neck's BatchNorm; in training
            triplets use the one before it either way (Luo et al., CVPRW 2019).
        neck_bias: train the bias of the neck's BatchNorm; without, it stays 0.

    Raises:
        ConfigError: an ``activation`` or ``initial`` that is not among these.
    """

    def __init__(
        self,
        channels: Sequence[int] = (32, 64, 128),
        size: tuple[int, int] = (64, 44),
        frames: int = 30,
        bins: Sequence[int] = (16, 8, 4, 2, 1),
        embedding: int = 256,
        normalise_fcs: bool = False,
        num_classes: int | None = None,
        activation: str = "leaky-relu",
        initial: str = "xavier",
        after_neck: bool = False,
        neck_bias: bool = True,
    ) -> None:
        super().__init__()
        self.size, self.frames, self.needs_neck = size, frames, after_neck
        first, second, third = channels
        self.block1 = SetBlock(1, first, 5, pool=True, activation=activation)
        self.block2 = SetBlock(first, second, 3, pool=True, activation=activation)
        self.block3 = SetBlock(second, third, 3, pool=False, activation=activation)
        self.global2 = SetBlock(first, second, 3, pool=True, activation=activation)
        self.global3 = SetBlock(second, third, 3, pool=False, activation=activation)
        self.pooling = HorizontalPyramid(bins)
        parts = 2 * sum(bins)
        self.add_head(
            parts,
            third,
            embedding,
            num_classes,
            normalise_fcs,
            neck_bias=neck_bias,
            initial=initial,
        )

    def forward(self, silhouettes: Tensor, lengths: Tensor | None = None) -> GaitOutput:
        """Embed silhouettes [n, s, h, w] in 0..1 with ``lengths`` int64 [n] real frames."""
        n = len(silhouettes)
        x, valid = pack(silhouettes, check_lengths(silhouettes, lengths))
        x = self.block1(x)
        level = self.global2(packed_max(x, n, valid))
        x = self.block2(x)
        level = self.global3(level + packed_max(x, n, valid))
        frames = packed_max(self.block3(x), n, valid)
        strips = torch.cat([self.pooling(frames), self.pooling(level + frames)], dim=-1)
        output = self.output(self.fcs(strips))
        if self.needs_neck and self.neck is not None and not self.training:
            return output._replace(embeddings=self.neck.normalised(output.embeddings))
        return output


VARIANTS = {
    "gaitset": Variant(
        GaitSet, "GaitSet (AAAI 2019) as published for CASIA-B", casia_b(95.8, 90.0, 75.4)
    ),
    "gaitset-grew": Variant(
        partial(GaitSet, channels=(64, 128, 256)),
        "GaitSet as published for OU-MVLP and GREW: twice as wide",
        (Reported("GREW", 48.4), Reported("OU-MVLP", 87.2)),
    ),
    "gaitset-nano": Variant(
        partial(
            GaitSet, channels=(8, 16, 48), size=(32, 22), bins=(8, 4, 2, 1), embedding=64, frames=16
        ),
        "GaitSet narrowed to the cost of the nano space; not a published network",
    ),
}
