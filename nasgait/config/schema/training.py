"""Training recipes: losses, optimiser, schedule, batches, augmentation; with labels and without."""

from dataclasses import dataclass
from typing import Literal

from nasgait.config.schema.bounds import (
    BelowOne,
    Count,
    NonNegative,
    Positive,
    Probability,
    TwoOrMore,
    Whole,
)


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
class PretrainOptimizerConfig(OptimizerConfig):
    """As in SelfGait, also where only some of the keys are given."""

    lr: Positive = 0.03
    """Peak learning rate."""
    weight_decay: NonNegative = 4e-4
    """L2 penalty (decoupled for AdamW)."""


@dataclass(frozen=True)
class PretrainConfig(LoopConfig):
    """Self-supervised pre-training (``nasgait pretrain``): BYOL, with SelfGait's defaults."""

    optimizer: PretrainOptimizerConfig = PretrainOptimizerConfig()
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
