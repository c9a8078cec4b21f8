"""How final networks are judged."""

from dataclasses import dataclass
from typing import Literal

from nasgait.config.schema.bounds import Count, TwoOrMore


@dataclass(frozen=True)
class EvaluationConfig:
    """How final networks are judged."""

    protocol: Literal[
        "leave-one-out",
        "casia-b",
        "casia-b-cross-view",
        "oumvlp",
        "oumvlp-cross-view",
        "grew",
        "gait3d",
        "hid",
    ] = "leave-one-out"
    """Which sequences are probes and which the gallery."""
    metric: Literal["euc", "cos"] = "euc"
    """Distance between the embeddings of a part."""
    gallery_ids: TwoOrMore | None = None
    """Leave-one-out only: identities in each disjoint gallery; all in one by default."""
    max_frames: Count | None = None
    """Frames used of each sequence, from the first; all by default."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Arithmetic of the embeddings, the same for every network."""
    truth: str | None = None
    """GREW and HID only: CSV ``videoId,label`` of the unlabelled probes, where it is known."""
    probes: str | None = None
    """Gait3D only, and needed there: OpenGait's partition JSON, whose PROBE_SET lists the
    probes as ``id-type-view``."""
    distractors: bool = False
    """GREW only: distractors (type 04) are in the gallery too."""
    rerank: bool = False
    """GREW, Gait3D and HID only: re-rank the gallery by k-reciprocal neighbours."""
