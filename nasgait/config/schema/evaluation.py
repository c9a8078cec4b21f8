"""How final networks are evaluated."""

from dataclasses import dataclass
from typing import Literal

from nasgait.config.schema.bounds import Count, TwoOrMore


@dataclass(frozen=True)
class EvaluationConfig:
    """How final networks are evaluated.

    Each protocol of :data:`nasgait.evaluation.protocols.PROTOCOLS` names the settings that it
    accepts of those marked "some protocols only"; others refuse them.
    """

    protocol: str = "leave-one-out"
    """Which sequences are probes and which the gallery; ``nasgait eval --help`` lists the names."""
    metric: Literal["euc", "cos"] = "euc"
    """Distance between the embeddings of a part."""
    gallery_ids: TwoOrMore | None = None
    """Some protocols only: identities in each disjoint gallery; all in one by default."""
    max_frames: Count | None = None
    """Frames used of each sequence, from the first; all by default."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Arithmetic of the embeddings, the same for every network."""
    truth: str | None = None
    """Some protocols only: CSV ``videoId,label`` of the unlabelled probes, where it is known."""
    probes: str | None = None
    """Some protocols only, and needed there: OpenGait's partition JSON, whose PROBE_SET lists
    the probes as ``id-type-view``."""
    distractors: bool = False
    """Some protocols only: distractors (type 04) are in the gallery too."""
    rerank: bool = False
    """Some protocols only: re-rank the gallery by k-reciprocal neighbours."""
