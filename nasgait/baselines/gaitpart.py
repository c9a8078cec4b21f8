"""GaitPart: each part of the body has its own model of short movements.

Fan, Peng, Cao, Liu, Hou, Chi, Huang, Li, He: "GaitPart: Temporal Part-Based Model for Gait
Recognition", CVPR 2020; as built in OpenGait.
"""

from collections.abc import Sequence
from functools import partial

from torch import Tensor

from nasgait.baselines.reported import Reported, casia_b
from nasgait.baselines.variant import Variant
from nasgait.nn.base import GaitOutput
from nasgait.nn.heads import PartNetwork
from nasgait.nn.micro_motion import MicroMotionCapture
from nasgait.nn.plain_backbone import PlainBackbone
from nasgait.nn.pooling import HorizontalPyramid
from nasgait.nn.temporal import check_lengths, pack, unpack

CASIA_B = ("BC-32", "BC-32", "M", "FC-64-2", "FC-64-2", "M", "FC-128-3", "FC-128-3")
GREW = (
    *("BC-32", "BC-32", "M", "BC-64", "BC-64", "M"),
    *("FC-128-3", "FC-128-3", "FC-256-3", "FC-256-3"),
)
NANO = ("BC-8", "BC-8", "M", "FC-24-2", "FC-24-2", "M", "FC-48-2", "FC-48-2")


class GaitPart(PartNetwork):
    """Focal convolutions on frames, strips of each frame, micro-motion capture over time.

    The embedding [n, embedding, sum(bins)] is the output of one linear map for each part.

    Args:
        layers: as for OpenGait's Baseline, see :func:`~nasgait.nn.plain_backbone.parse_layers`.
        size: height and width of the input.
        frames: of a sequence, when costs are stated.
        bins: strips of the horizontal pyramid.
        embedding, normalise_fcs: of the head, see :meth:`~nasgait.nn.heads.PartNetwork.add_head`.
        num_classes: identities; the published network has no classifier, so
            this adds the BNNeck of OpenGait's other networks.

    Raises:
        ConfigError: ``layers`` has a layer of another form.
    """

    def __init__(
        self,
        layers: Sequence[str] = CASIA_B,
        size: tuple[int, int] = (64, 44),
        frames: int = 30,
        bins: Sequence[int] = (16,),
        embedding: int = 128,
        normalise_fcs: bool = False,
        num_classes: int | None = None,
    ) -> None:
        super().__init__()
        self.size, self.frames = size, frames
        parts = sum(bins)
        self.backbone = PlainBackbone(layers)
        channels = self.backbone.channels
        self.pooling = HorizontalPyramid(bins)
        self.motion = MicroMotionCapture(parts, channels)
        self.add_head(parts, channels, embedding, num_classes, normalise_fcs)

    def forward(self, silhouettes: Tensor, lengths: Tensor | None = None) -> GaitOutput:
        """Embed silhouettes [n, s, h, w] in 0..1 with ``lengths`` int64 [n] real frames."""
        x, valid = pack(silhouettes, check_lengths(silhouettes, lengths))
        strips = self.pooling(self.backbone(x))
        strips = (
            strips.unflatten(0, (len(silhouettes), -1)) if valid is None else unpack(strips, valid)
        )
        return self.output(self.fcs(self.motion(strips, valid)))


VARIANTS = {
    "gaitpart": Variant(
        GaitPart, "GaitPart (CVPR 2020) as published for CASIA-B", casia_b(96.1, 90.7, 78.7)
    ),
    "gaitpart-grew": Variant(
        partial(GaitPart, layers=GREW, embedding=256),
        "GaitPart as published for OU-MVLP and GREW: a stage more, twice as wide",
        (Reported("GREW", 47.6), Reported("OU-MVLP", 88.6)),
    ),
    "gaitpart-nano": Variant(
        partial(GaitPart, layers=NANO, size=(32, 22), bins=(8,), embedding=64, frames=16),
        "GaitPart narrowed to the cost of the nano space; not a published network",
    ),
}
