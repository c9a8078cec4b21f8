"""Search over the trained supernet, and how it scores."""

from dataclasses import dataclass
from typing import Literal

from nasgait.config.schema.bounds import Amount, Count, Probability, Whole


@dataclass(frozen=True)
class CalibrationConfig:
    """BatchNorm recalibration before an architecture is scored."""

    sequences: Count = 128
    """Training sequences whose moments are pooled."""
    max_frames: Count | None = None
    """Frames used of each, from the first; all by default."""


@dataclass(frozen=True)
class SearchConfig:
    """Evolution over architectures (published SPOSGait: 50 / 10 / 25 / 25 / 0.1 / 20)."""

    population: Count = 50
    """Architectures in each generation."""
    top_k: Count = 10
    """Best ones that breed."""
    mutations: Whole = 25
    """Children by mutation in each generation."""
    crossovers: Whole = 25
    """Children by crossover in each generation."""
    mutation_prob: Probability = 0.1
    """Chance that a mutation redraws a layer."""
    max_epochs: Whole = 20
    """Generations bred after the first random one."""
    max_macs: Amount | None = None
    """Budget in multiply-accumulates for one sequence at ``frames``; 40M is 40e6."""
    max_params: Amount | None = None
    """Budget in parameters of the embedding network."""
    frames: Count | None = None
    """Frames at which MACs are counted; the space's own by default."""
    objective: Literal["map", "rank1"] = "map"
    """Leave-one-out score on search-val identities that ranks architectures."""
    calibration: CalibrationConfig = CalibrationConfig()
    """Recalibration before each score."""
    max_sequences: Count | None = None
    """Search-val sequences scored (whole identities); all by default."""
    max_frames: Count | None = None
    """Frames used of each scored sequence, from the first; all by default."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Arithmetic of scoring, recalibration included."""
