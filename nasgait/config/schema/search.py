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


def _with_a_metric(names: tuple[Objective, ...]) -> tuple[Objective, ...]:
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
    which fit no single path, as published searches do."""
    max_frames: Count | None = None
    """Frames used of each, from the first; all by default."""


@dataclass(frozen=True)
class RayConfig:
    """Workers on Ray that score, for ``backend: ray``."""

    workers: Count = 2
    """Processes that score, each with its own copy of the supernet; they share ``threads``
    evenly."""
    cpus: Positive | None = None
    """CPUs that Ray reserves for each worker; by default as many as it has threads."""
    gpus: NonNegative = 0.0
    """GPUs for each worker: 0.5 puts two workers on one GPU, 0 scores on CPUs."""
    address: str | None = None
    """A running cluster to join, ``host:port`` or ``auto``; by default the search starts one on
    this machine and stops it at the end."""
    max_failures: Whole = 3
    """How often each worker is restarted after it died."""


@dataclass(frozen=True)
class SearchConfig:
    """Evolution over architectures (published SPOSGait: 50 / 10 / 25 / 25 / 0.1 / 20)."""

    population: Count = 50
    """Architectures in each generation."""
    top_k: Count = 10
    """The best of all scored so far, which breed; with more than one objective the best
    ``population`` breed, by non-dominated front and crowding distance (NSGA-II)."""
    mutations: Whole = 25
    """Offspring by mutation in each generation; the rest of a generation is drawn at random."""
    crossovers: Whole = 25
    """Offspring by crossover in each generation."""
    mutation_prob: Probability = 0.1
    """Probability that a mutation redraws a layer."""
    max_epochs: Whole = 20
    """Generations bred after the first random one."""
    batches_per_generation: Count = 5
    """Even shares of each generation, which are bred one after the other."""
    lookahead: Count = 3
    """A batch is bred from the scores of all batches at least so many before it, so that scoring
    never waits for a whole generation.  One batch per generation and a lookahead of 1 is the
    published search; the result depends on both, not on the backend."""
    candidates: Count = 1
    """Candidates for each architecture that is scored: once a population is scored, a regression
    on all scores so far picks the most promising one.  1 is the published search, without the
    regression; 8 saves evaluations in large spaces (docs/benchmarks.md)."""
    chunk: Count = 64
    """Most architectures scored together; they share the work on the prefixes of their paths."""
    backend: Literal["local", "ray"] = "local"
    """Where architectures are scored: in this process, or by workers on Ray.  The scores are the
    same at equal threads for each scorer."""
    ray: RayConfig = RayConfig()
    """The workers on Ray."""
    max_macs: Amount | None = None
    """Budget in multiply-accumulates for one sequence of ``frames``; 40M is 40e6."""
    max_params: Amount | None = None
    """Budget in parameters of the embedding network."""
    max_latency: Duration | None = None
    """Budget in seconds for one sequence of ``frames``, measured here; 50ms is 0.05."""
    frames: Count | None = None
    """Frames at which MACs are counted and latency is measured; the space's own by default."""
    objectives: Annotated[tuple[Objective, ...], AfterValidator(_with_a_metric)] = ("map",)
    """What is optimised: leave-one-out metrics on search-val identities go up, costs go down.  The
    first metric names the best architecture; with more than one objective the search is for the
    non-dominated front."""
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
    architecture, and activations along a path, which are recomputed where they do not fit."""

    @property
    def metric(self) -> str:
        """The metric that names the best architecture."""
        return Objectives(self.objectives).metric
