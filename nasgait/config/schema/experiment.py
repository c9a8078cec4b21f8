"""The whole experiment, and the hand-designed networks beside it."""

from dataclasses import dataclass, field
from typing import Any, Literal

from nasgait.config.schema.bounds import Count, Name, Names, Probability, Whole
from nasgait.config.schema.data import DataConfig
from nasgait.config.schema.evaluation import EvaluationConfig
from nasgait.config.schema.search import SearchConfig
from nasgait.config.schema.training import PretrainConfig, TrainConfig


@dataclass(frozen=True)
class BaselineConfig:
    """A hand-designed network to train beside the searched one."""

    model: str
    """A name from ``nasgait models``."""
    name: Name | None = None
    """What the results and its folder are called; the model by default.  Needed to list a model
    twice."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Arguments that replace those of the model, say ``{channels: [64, 128, 256]}``."""
    recipe: TrainConfig | None = None
    """A recipe of its own, which does not follow ``retrain`` in anything; by default it is trained
    by ``retrain``, overrides included."""
    retrain: dict[str, Any] = field(default_factory=dict)
    """Keys of ``retrain`` that are other for it, say ``{schedule: {warmup: 60}}``; all others
    follow.  Not beside a ``recipe``."""
    evaluation: EvaluationConfig | None = None
    """How it is evaluated; as all others by default.  In a run, by the protocol of all others."""

    @property
    def title(self) -> str:
        """What the results call it."""
        return self.name or self.model


@dataclass(frozen=True)
class ExperimentConfig:
    """The whole way: data, supernet, search, retraining, evaluation, report."""

    name: Names
    """Names the run's default directory, ``runs/<name>``."""
    data: DataConfig
    """Silhouettes and identities."""
    space: str | None = "nano"
    """Search space: a name from ``nasgait spaces`` or a YAML file; null: no supernet and no
    search, only the ``baselines`` are trained and evaluated."""
    seed: Whole = 0
    """Everything drawn at random follows from it."""
    threads: Whole = 0
    """CPU threads at work at a time, shared by the processes; 0 takes all cores.  Results of
    different numbers of threads differ as seeds do."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where networks run; ``auto`` takes a GPU if there is one."""
    supernet: TrainConfig = field(default_factory=TrainConfig)
    """Recipe of the weight-sharing network."""
    search: SearchConfig = field(default_factory=SearchConfig)
    """Search over the trained supernet."""
    retrain: TrainConfig = field(default_factory=TrainConfig)
    """Recipe of all final networks, but for ``baselines`` with a ``recipe`` of their own."""
    pretrain: PretrainConfig = field(default_factory=PretrainConfig)
    """Recipe of pre-training without labels."""
    label_rate: Probability = 1.0
    """Share of the training identities whose labels final networks may see, drawn by ``seed``;
    the sequences of the others are left out.  A smaller share is part of every larger one."""
    freeze: Literal["nothing", "norms", "backbone"] = "nothing"
    """What of a final network stays as ``--init`` gives it: ``norms`` are its BatchNorms with
    their statistics; ``backbone`` is all but the linear maps of its parts and the classifier,
    which makes training them a linear evaluation."""
    evaluate_every: Whole = 0
    """Steps between evaluations of a final network while it trains, logged and kept as the best
    checkpoint; 0 evaluates it at the end alone.  The result is the last step's all the same: the
    best one is chosen on the test identities."""
    baselines: tuple[BaselineConfig, ...] = ()
    """Hand-designed networks trained and evaluated beside."""
    random: Whole = 0
    """Affordable architectures drawn at random, trained and evaluated beside; not with
    ``search.max_latency``, which only the search measures."""
    uniform: bool = False
    """Also train each architecture that takes the same choice in every free layer."""
    seeds: Count = 1
    """Trainings of each final network, with seeds ``seed``, ``seed + 1``, ..."""
    jobs: Count = 1
    """Final networks trained at the same time."""
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    """Evaluation of the final networks."""
