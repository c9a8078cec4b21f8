"""Search over the trained supernet, and how it scores."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator

from nasgait.config.objectives import Objectives
from nasgait.config.schema.bounds import (
    Amount,
    Count,
    Duration,
    NonNegative,
    Positive,
    Probability,
    Whole,
)
from nasgait.core.errors import ConfigError

Objective = Literal["map", "rank1", "macs", "params", "latency"]


def _with_a_rate(names: tuple[Objective, ...]) -> tuple[Objective, ...]:
    try:
        Objectives(names)
    except ConfigError as error:
        raise ValueError(error) from None
    return names


@dataclass(frozen=True)
class CalibrationConfig:
    """BatchNorm recalibration before an architecture is scored."""

    sequences: Whole = 128
    """Training sequences whose moments are pooled; 0 keeps the statistics of supernet training,
    which fit no path, as published scores do."""
    max_frames: Count | None = None
    """Frames used of each, from the first; all by default."""


@dataclass(frozen=True)
class RayConfig:
    """Scoring workers on Ray, for ``backend: ray``."""

    workers: Count = 2
    """Processes that score, each with a supernet of its own; they share ``threads`` evenly."""
    cpus: Positive | None = None
    """CPUs that Ray sets aside for each worker; as many as it has threads by default."""
    gpus: NonNegative = 0.0
    """GPUs for each worker, or the part of one: 0.5 puts two workers on a GPU; 0 scores on CPUs."""
    address: str | None = None
    """A running cluster to join, ``host:port`` or ``auto``; by default one is started on this
    machine and ended with the search."""
    max_failures: Whole = 3
    """How often each worker is started again after it died."""


@dataclass(frozen=True)
class SearchConfig:
    """Evolution over architectures (published SPOSGait: 50 / 10 / 25 / 25 / 0.1 / 20)."""

    population: Count = 50
    """Architectures in each generation."""
    top_k: Count = 10
    """Best ones that breed; with more than one objective the best ``population`` do, by
    non-domination and crowding (NSGA-II)."""
    mutations: Whole = 25
    """Children by mutation in each generation."""
    crossovers: Whole = 25
    """Children by crossover in each generation."""
    mutation_prob: Probability = 0.1
    """Chance that a mutation redraws a layer."""
    max_epochs: Whole = 20
    """Generations bred after the first random one."""
    broods: Count = 5
    """Shares of each generation that are bred one after the other."""
    ahead: Count = 3
    """A brood is bred from the scores of those that come so many before it, and of all before
    them, so that scoring never waits for a whole generation.  One brood and 1 ahead is the
    published search; the result depends on both, not on the backend."""
    proposals: Count = 1
    """Children proposed for each one that is scored: once a population is scored, a regression on
    all scores so far picks the most promising one.  1, as published, goes without; 8 saves
    evaluations in large spaces (docs/benchmarks.md)."""
    chunk: Count = 64
    """Architectures scored together at most, sharing what their paths have in common."""
    backend: Literal["local", "ray"] = "local"
    """Where architectures are scored: in this process, or by workers on Ray.  The scores are the
    same at equal threads for each scorer."""
    ray: RayConfig = RayConfig()
    """The workers on Ray."""
    max_macs: Amount | None = None
    """Budget in multiply-accumulates for one sequence at ``frames``; 40M is 40e6."""
    max_params: Amount | None = None
    """Budget in parameters of the embedding network."""
    max_latency: Duration | None = None
    """Budget in seconds for one sequence of ``frames``, measured here; 50ms is 0.05."""
    frames: Count | None = None
    """Frames at which MACs are counted and latency is measured; the space's own by default."""
    objectives: Annotated[tuple[Objective, ...], AfterValidator(_with_a_rate)] = ("map",)
    """What is optimised: leave-one-out rates on search-val identities go up, costs go down.  The
    first rate names the best architecture; with more than one objective the front is sought."""
    calibration: CalibrationConfig = CalibrationConfig()
    """Recalibration before each score."""
    max_sequences: Count | None = None
    """Search-val sequences scored (whole identities); all by default."""
    max_frames: Count | None = None
    """Frames used of each scored sequence, from the first; all by default."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Arithmetic of the convolutions in scoring, recalibration included; shortcuts, sums and heads
    stay in float32."""
    memory: Amount = 4e9
    """Bytes that scoring may hold beside the supernet: the calibration set, the embeddings of one
    architecture, and activations along a path, which are computed again where they do not fit."""

    @property
    def rate(self) -> str:
        """The rate that names the best architecture."""
        return Objectives(self.objectives).rate
