"""OpenGait's Baseline with its plain backbone.

The first strong baseline of OpenGait (Fan, Liang, Shen, Hou, Huang, Yu: "OpenGait:
Revisiting Gait Recognition Towards Better Practicality", CVPR 2023, and its code), before
the residual backbone made it GaitBase.
"""

from collections.abc import Sequence
from functools import partial

from torch import Tensor

from nasgait.baselines.variant import Variant
from nasgait.nn.base import GaitOutput
from nasgait.nn.heads import PartNetwork
from nasgait.nn.plain_backbone import PlainBackbone
from nasgait.nn.pooling import HorizontalPyramid, packed_max
from nasgait.nn.temporal import check_lengths, pack

CASIA_B = ("BC-64", "BC-64", "M", "BC-128", "BC-128", "M", "BC-256", "BC-256")
GREW = ("BC-32", "BC-32", "M", "BC-64", "BC-64", "M", "BC-128", "BC-128", "BC-256", "BC-256")
HID = (*CASIA_B, "M", "BC-512", "BC-512")
NANO = ("BC-8", "BC-8", "M", "BC-24", "BC-24", "M", "BC-48", "BC-48")


class PlainBaseline(PartNetwork):
    """Plain convolutions on frames, a maximum over time, strips, one linear map for each.

    The embedding [n, embedding, sum(bins)] is the output of the linear maps, before the neck.

    Args:
        layers: of the backbone, see :func:`~nasgait.nn.plain_backbone.parse_layers`.
        size: height and width of the input.
        frames: of a sequence, when costs are stated.
        bins: strips of the horizontal pyramid.
        embedding, normalise_fcs, cosine, joint_norm, num_classes: of the head, see
            :meth:`~nasgait.nn.heads.PartNetwork.add_head`.

    Raises ConfigError for a layer of another form.
    """

    def __init__(
        self,
        layers: Sequence[str] = CASIA_B,
        size: tuple[int, int] = (64, 44),
        frames: int = 30,
        bins: Sequence[int] = (16, 8, 4, 2, 1),
        embedding: int = 256,
        normalise_fcs: bool = False,
        cosine: bool = True,
        joint_norm: bool = True,
        num_classes: int | None = None,
    ) -> None:
        super().__init__()
        self.size, self.frames = size, frames
        self.backbone = PlainBackbone(layers)
        self.pooling = HorizontalPyramid(bins)
        self.add_head(
            sum(bins),
            self.backbone.channels,
            embedding,
            num_classes,
            normalise_fcs,
            cosine,
            joint_norm,
        )

    def forward(self, silhouettes: Tensor, lengths: Tensor | None = None) -> GaitOutput:
        """Embed silhouettes [n, s, h, w] in 0..1 with ``lengths`` int64 [n] real frames."""
        x, valid = pack(silhouettes, check_lengths(silhouettes, lengths))
        x = packed_max(self.backbone(x), len(silhouettes), valid)
        return self.output(self.fcs(self.pooling(x)))


VARIANTS = {
    "opengait-baseline": Variant(
        PlainBaseline, "OpenGait's Baseline with plain convolutions as published for CASIA-B"
    ),
    "opengait-baseline-grew": Variant(
        partial(PlainBaseline, layers=GREW, bins=(16,)),
        "OpenGait's Baseline with plain convolutions as published for GREW",
    ),
    "opengait-baseline-hid": Variant(
        partial(PlainBaseline, layers=HID, size=(128, 88)),
        "OpenGait's Baseline with plain convolutions as published for HID: frames of 128 x 88",
    ),
    "opengait-baseline-nano": Variant(
        partial(PlainBaseline, layers=NANO, size=(32, 22), bins=(8,), embedding=64, frames=16),
        "OpenGait's plain Baseline narrowed to the cost of the nano space; not a published network",
    ),
}
