"""The schema of an experiment: frozen dataclasses, one docstring for each field.

``nasgait.config.load`` reads a YAML file into :class:`ExperimentConfig`.  The
defaults here are those of the published SPOSGait recipes where there is one.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from nasgait.config.amount import with_suffix

Probability = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]
NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Amount = Annotated[float, Field(gt=0), BeforeValidator(with_suffix)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
TwoOrMore = Annotated[int, Field(ge=2)]


@dataclass(frozen=True)
class SynthConfig:
    """The embedded dataset (``nasgait data synth``)."""

    preset: Literal["wild", "wild-mini", "lab"] = "wild-mini"
    """Which population and which covariates; the dataset's card describes each."""
    ids: Count | None = None
    """Number of identities; the preset's own number by default."""
    seqs: Count | None = None
    """Sequences for each identity; the preset's own number by default."""
    seed: Whole = 0
    """The same seed gives the same frames."""


@dataclass(frozen=True)
class SourceConfig:
    """Raw silhouettes to import (``nasgait data import``)."""

    layout: Literal["grew", "casia-b", "oumvlp", "gait3d", "opengait-pkl"]
    """How the folders below ``root`` are arranged."""
    root: str
    """The dataset's folder."""
    bits: Literal[1, 8] = 8
    """Bits per pixel in the store; 1 takes an eighth of the space and binarises at 128."""
    size: Count = 64
    """Height and width of the store's frames; 128 for networks that take 128 x 88."""
    partition: str | None = None
    """Who trains and who tests: ``casia-b``, ``casia-b-73`` (without subject 005, as HSTL),
    ``oumvlp``, or an OpenGait partition JSON.  By default the published one of the layout; pickles:
    GREW's names decide, or else the first half of the identities trains; Gait3D needs one."""
    data_in_use: tuple[bool | Whole, ...] = ()
    """``opengait-pkl`` only, where folders hold several pickles: which of them, in the order of
    their names, is that of the silhouettes: a flag for each ([true, false]) or its number ([0])."""


@dataclass(frozen=True)
class DataConfig:
    """Which silhouettes, and which identities serve for what."""

    store: str
    """The packed store, a directory."""
    synth: SynthConfig | None = None
    """Make the store from the embedded dataset when it is not there."""
    source: SourceConfig | None = None
    """Make the store from raw silhouettes when it is not there."""
    train_ids: Count | None = None
    """Only the first so many training identities, in sorted order, serve (search-val included);
    all by default.  GREW is published with 500, 5,000 and 20,000."""
    search_val: Positive = 0.2
    """Training identities kept apart to score architectures: a share below 1, or a
    number of identities.  Ignored when the store marks its own (subset ``search-val``)."""
    split_seed: Whole = 0
    """Which training identities become search-val."""
    workers: Count | None = None
    """Processes that make the store; all cores by default."""


@dataclass(frozen=True)
class TripletConfig:
    """Batch-all triplet loss for each part."""

    weight: NonNegative = 1.0
    """Factor in the total loss; 0 leaves the term out."""
    margin: Positive = 0.2
    """Margin between the distances of negative and positive pairs."""


@dataclass(frozen=True)
class CrossEntropyConfig:
    """Softmax cross-entropy for each part on the BNNeck's logits."""

    weight: NonNegative = 0.0
    """Factor in the total loss; 0 leaves the term out, and the neck with it."""
    scale: Positive = 16.0
    """Factor on the cosine logits."""
    label_smoothing: Probability = 0.1
    """Share of the target spread over all classes; 0.1 in OpenGait and SPOSGait."""


@dataclass(frozen=True)
class ContrastiveConfig:
    """Supervised contrastive loss for each part."""

    weight: NonNegative = 0.0
    """Factor in the total loss; 0 leaves the term out."""
    temperature: Positive = 0.01
    """Of the softmax over the other samples; 0.01 in OpenGait, 0.07 in the paper."""
    similarity: Literal["cosine", "distance"] = "cosine"
    """``cosine`` as in the paper and OpenGait's SupConLoss_Re, the loss times
    temperature / 0.07; ``distance``: minus the distance on the unit sphere, as in SupConLoss_Lp."""


@dataclass(frozen=True)
class LossConfig:
    """The weighted sum that training minimises."""

    triplet: TripletConfig = TripletConfig()
    """Metric term on the embeddings."""
    cross_entropy: CrossEntropyConfig = CrossEntropyConfig()
    """Classification term on the logits."""
    contrastive: ContrastiveConfig = ContrastiveConfig()
    """Second metric term on the embeddings."""


@dataclass(frozen=True)
class OptimizerConfig:
    """How gradients move the weights."""

    kind: Literal["sgd", "adam", "adamw"] = "sgd"
    """Update rule."""
    lr: Positive = 0.1
    """Peak learning rate."""
    momentum: BelowOne = 0.9
    """Momentum of SGD; the first beta of Adam and AdamW."""
    weight_decay: NonNegative = 5e-4
    """L2 penalty (decoupled for AdamW)."""
    clip_norm: Positive | None = None
    """Largest L2 norm of the whole gradient; no limit by default."""
    clip_value: Positive | None = None
    """Largest magnitude of each entry of the gradient; no limit by default."""


@dataclass(frozen=True)
class ScheduleConfig:
    """The learning rate over the steps."""

    kind: Literal["constant", "multi-step", "cosine", "one-cycle"] = "multi-step"
    """``one-cycle`` is a cosine rise over the warm-up, then a cosine fall to the end."""
    warmup: Whole = 0
    """Steps of rise to the peak (linear, but for ``one-cycle``)."""
    milestones: tuple[Count, ...] = ()
    """Steps at which ``multi-step`` multiplies the rate by ``gamma``."""
    gamma: Positive = 0.1
    """Factor at each milestone."""
    final: NonNegative = 0.0
    """Share of the peak left at the end of ``cosine`` and ``one-cycle``."""


@dataclass(frozen=True)
class BatchConfig:
    """P identities times K sequences, and the frames taken of each."""

    ids: Count = 32
    """Identities in a batch (P), over all ranks together."""
    seqs: Count = 4
    """Sequences of each identity (K)."""
    frames: Count = 30
    """Frames taken of each sequence; with ``frames_max`` at least so many."""
    frames_max: Count | None = None
    """Draw the number of frames anew for each sequence, from ``frames`` to this; with the order
    ``all``, take no more than this."""
    order: Literal["ordered", "unordered", "all"] = "ordered"
    """A run of successive frames; frames drawn without regard to order; or the whole sequence
    from its first frame on, for which ``frames`` says nothing."""
    skip: Whole = 0
    """Ordered only: draw from a window this many frames longer, dropping as many at random."""


@dataclass(frozen=True)
class AugmentConfig:
    """Random changes of whole sequences: probability of each, drawn for each sequence."""

    flip: Probability = 0.0
    """Mirror left and right."""
    rotate: Probability = 0.0
    """Rotate by an angle within +-``degrees``."""
    degrees: NonNegative = 10.0
    """Largest rotation."""
    perspective: Probability = 0.0
    """Shift the corners of the frame."""
    perspective_shift: Probability = 0.1
    """Largest inward shift of a corner as a share of the (uncut) width; published: 10/64."""
    erase: Probability = 0.0
    """Blank a rectangle."""
    erase_area: tuple[Probability, Probability] = (0.02, 0.2)
    """Smallest and largest erased share of the frame."""


@dataclass(frozen=True)
class LoopConfig:
    """What every training needs, whatever it minimises."""

    steps: Count = 1000
    """Optimisation steps."""
    optimizer: OptimizerConfig = OptimizerConfig()
    """Update rule and its rates."""
    schedule: ScheduleConfig = ScheduleConfig()
    """Learning rate over the steps."""
    augment: AugmentConfig = AugmentConfig()
    """Random changes of the input."""
    precision: Literal["float64", "float32", "bfloat16", "float16"] = "bfloat16"
    """Arithmetic of the forward pass; float16 needs a GPU; float64, which keeps the weights so as
    well, is slow and tells rounding from a mistake when two machines or world sizes differ."""
    channels_last: bool = True
    """Keep channels innermost in memory, which is faster nearly everywhere."""
    checkpoint_every: Count = 1000
    """Steps between checkpoints."""
    keep: Count = 2
    """Newest checkpoints kept."""
    log_every: Count = 50
    """Steps between lines of metrics."""


@dataclass(frozen=True)
class TrainConfig(LoopConfig):
    """A training recipe, for the supernet and for final networks alike."""

    batch: BatchConfig = BatchConfig()
    """What a step sees."""
    loss: LossConfig = LossConfig()
    """What a step minimises."""


@dataclass(frozen=True)
class ViewsConfig:
    """Sequences of a step of pre-training; each is seen twice, by two draws of its frames."""

    sequences: TwoOrMore = 128
    """Sequences in a batch, over all ranks together; whose they are plays no part."""
    frames: Count = 30
    """Frames of a view."""
    order: Literal["ordered", "unordered"] = "ordered"
    """A run of successive frames, or frames drawn without regard to order."""
    skip: Whole = 0
    """Ordered only: draw from a window this many frames longer, dropping as many at random."""


@dataclass(frozen=True)
class PretrainConfig(LoopConfig):
    """Self-supervised pre-training (``nasgait pretrain``): BYOL, with SelfGait's defaults."""

    optimizer: OptimizerConfig = OptimizerConfig(lr=0.03, weight_decay=4e-4)
    """Update rule and its rates."""
    schedule: ScheduleConfig = ScheduleConfig(kind="constant")
    """Learning rate over the steps."""
    augment: AugmentConfig = AugmentConfig(flip=0.5)
    """Random changes of the input, drawn for each view by itself."""
    views: ViewsConfig = ViewsConfig()
    """What a step sees."""
    momentum: Probability = 0.996
    """Share of its weights that the target network keeps at each step."""
    hidden: Count = 256
    """Middle width of projectors and predictor."""
    projection: Count = 128
    """Channels of what is predicted."""
    cosine: Literal["parts", "channels"] = "parts"
    """Along what prediction and target are compared: SelfGait takes each channel over the
    ``parts``, BYOL would take each part over its ``channels``."""
    norm: Literal["shared", "parts"] = "shared"
    """BatchNorm of projectors and predictor: one that all parts share, as in SelfGait, or one for
    each of the ``parts``, which keeps the difference of parts from hiding that of sequences."""
    distractors: bool = False
    """Also learn from the store's distractors, who have no training identity."""


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


@dataclass(frozen=True)
class BaselineConfig:
    """A hand-designed network to train beside the searched one."""

    model: str
    """A name from ``nasgait models``."""
    name: str | None = None
    """What the results call it; the model by default.  Needed to list a model twice."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Arguments that replace those of the model, say ``{channels: [64, 128, 256]}``."""
    recipe: TrainConfig | None = None
    """Its own recipe; the ``retrain`` recipe by default."""
    evaluation: "EvaluationConfig | None" = None
    """How it is judged; as all others by default."""

    @property
    def title(self) -> str:
        """What the results call it."""
        return self.name or self.model


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


@dataclass(frozen=True)
class ExperimentConfig:
    """The whole way: data, supernet, search, retraining, evaluation, report."""

    name: str
    """Names the run's default directory, ``runs/<name>``."""
    data: DataConfig
    """Silhouettes and identities."""
    space: str | None = "nano"
    """Search space: a name from ``nasgait spaces`` or a YAML file; null: no supernet and no
    search, only the ``baselines`` are trained and judged."""
    seed: Whole = 0
    """Everything drawn at random follows from it."""
    threads: Whole = 0
    """CPU threads at work at a time, shared by the processes; 0 takes all cores.  Results of
    different numbers of threads differ as seeds do."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where networks run; ``auto`` takes a GPU if there is one."""
    supernet: TrainConfig = TrainConfig()
    """Recipe of the weight-sharing network."""
    search: SearchConfig = SearchConfig()
    """Search over the trained supernet."""
    retrain: TrainConfig = TrainConfig()
    """Recipe of the searched, random and uniform networks."""
    pretrain: PretrainConfig = PretrainConfig()
    """Recipe of pre-training without labels."""
    label_rate: Probability = 1.0
    """Share of the training identities whose labels final networks may see, drawn by ``seed``;
    the sequences of the others are left out.  A smaller share is part of every larger one."""
    freeze: Literal["nothing", "norms", "backbone"] = "nothing"
    """What of a final network stays as ``--init`` gives it: ``norms`` are its BatchNorms with
    their statistics; ``backbone`` is all but the linear maps of its parts and the classifier,
    which makes training them a linear evaluation."""
    evaluate_every: Whole = 0
    """Steps between judgements of a final network while it trains, logged and kept as the best
    checkpoint; 0 judges it at the end alone.  The result is the last step's all the same: the
    best one is chosen on the test identities."""
    baselines: tuple[BaselineConfig, ...] = ()
    """Hand-designed networks trained and judged beside."""
    random: Whole = 0
    """Affordable architectures drawn at random, trained and judged beside."""
    uniform: bool = False
    """Also train each architecture that takes the same choice in every free layer."""
    seeds: Count = 1
    """Trainings of each final network, with seeds ``seed``, ``seed + 1``, ..."""
    jobs: Count = 1
    """Final networks trained at the same time."""
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    """Judging of the final networks."""
