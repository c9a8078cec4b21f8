"""SelfGait: GaitSet's frame encoder and micro-motion capture, pre-trained without labels.

Liu, Zeng, Pu, Shan, He, Zhang: "SelfGait: A Spatiotemporal Representation Learning
Method for Self-Supervised Gait Recognition", ICASSP 2021; as built in the authors'
repository.  The pre-training itself is in ``nasgait.nn.byol``.
"""

from collections.abc import Sequence
from functools import partial
from typing import Self

import torch
from torch import Tensor

from nasgait.baselines.variant import Variant
from nasgait.nn.base import GaitNetwork, GaitOutput
from nasgait.nn.blocks import SetBlock
from nasgait.nn.heads import BNNecks, SeparateFCs
from nasgait.nn.init import initialise
from nasgait.nn.micro_motion import MicroMotionCapture
from nasgait.nn.pooling import HorizontalPyramid
from nasgait.nn.temporal import check_lengths, pack, unpack


class SelfGait(GaitNetwork):
    """Strips of every frame, micro-motions of every strip, a maximum over time.

    Six convolutions encode each frame by itself, the horizontal pyramid cuts its map into
    strips, the parts, and micro-motion capture runs over the frames of each part.  The embedding
    is a linear map of each part's maximum over time.

    Args:
        channels: of the three pairs of convolutions.
        size: height and width of the input; a quarter of the height must be a
            multiple of each of ``bins``.
        frames: of a sequence, when costs are stated.
        bins: strips of the horizontal pyramid.
        squeeze: factor by which the micro-motion attention narrows the channels.
        embedding: channels of each part.
        spare: hold the published frame encoder's ``fc_bin``, which every published checkpoint
            contains though no forward pass uses it; it is never trained.
        num_classes: identities; the published network has no classifier, so this adds
            the BNNeck of OpenGait's other networks.
    """

    def __init__(
        self,
        channels: Sequence[int] = (32, 64, 128),
        size: tuple[int, int] = (64, 44),
        frames: int = 30,
        bins: Sequence[int] = (1, 2, 4, 8, 16),
        squeeze: int = 4,
        embedding: int = 128,
        spare: bool = True,
        num_classes: int | None = None,
    ) -> None:
        super().__init__()
        self.size, self.frames = size, frames
        first, second, third = channels
        parts = sum(bins)
        self.block1 = SetBlock(1, first, 5, pool=True)
        self.block2 = SetBlock(first, second, 3, pool=True)
        self.block3 = SetBlock(second, third, 3, pool=False)
        self.pooling = HorizontalPyramid(bins)
        self.motion: MicroMotionCapture | None = MicroMotionCapture(
            parts, third, squeeze, bias=True, slope=0.0
        )
        self.fcs = SeparateFCs(parts, third, embedding)
        self.spare = SeparateFCs(parts, 2 * third, embedding) if spare else None
        if self.spare is not None:
            self.spare.requires_grad_(False)
        initialise(self)
        self.neck = BNNecks(parts, embedding, num_classes) if num_classes else None

    def forward(self, silhouettes: Tensor, lengths: Tensor | None = None) -> GaitOutput:
        """Embed silhouettes [n, s, h, w] in 0..1 with ``lengths`` int64 [n] real frames."""
        strips, valid = self.encode(silhouettes, lengths)
        if self.motion is not None:
            strips = self.motion(strips, valid)
        else:
            if valid is not None:
                strips = strips.masked_fill(~valid[:, :, None, None], -torch.inf)
            strips = strips.max(1).values
        embeddings = self.fcs(strips)
        return self.output(embeddings)

    def encode(
        self, silhouettes: Tensor, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Encode each frame by itself; arguments as for :meth:`forward`.

        Returns:
            Strips [n, s, c, p], zero on padding, and bool [n, s], True on real frames
            (None: all are).
        """
        x, valid = pack(silhouettes, check_lengths(silhouettes, lengths))
        strips = self.pooling(self.block3(self.block2(self.block1(x))))
        if valid is None:
            return strips.unflatten(0, (len(silhouettes), -1)), None
        return unpack(strips, valid), valid

    def momentum_target(self) -> Self:
        """The target of pre-training, without micro-motion capture, as published."""
        target = super().momentum_target()
        target.motion = None
        return target


VARIANTS = {
    "selfgait": Variant(
        SelfGait,
        "SelfGait (ICASSP 2021) as published for CASIA-B and OU-MVLP; see nasgait pretrain",
    ),
    "selfgait-nano": Variant(
        partial(
            SelfGait,
            channels=(8, 16, 48),
            size=(32, 22),
            bins=(1, 2, 4, 8),
            embedding=64,
            spare=False,
            frames=16,
        ),
        "SelfGait narrowed to the cost of the nano space; not a published network",
    ),
}
