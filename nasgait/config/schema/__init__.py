"""The schema of an experiment: frozen dataclasses, one docstring for each field.

``nasgait.config.load`` reads a YAML file into :class:`ExperimentConfig`.  The
defaults here are those of the published SPOSGait recipes where there is one.
Import from this package; which file of it holds a section is its own affair.
"""
# ruff: noqa: F401

from nasgait.config.schema.bounds import Count
from nasgait.config.schema.data import DataConfig, SourceConfig, SynthConfig
from nasgait.config.schema.evaluation import EvaluationConfig
from nasgait.config.schema.experiment import BaselineConfig, ExperimentConfig
from nasgait.config.schema.search import CalibrationConfig, RayConfig, SearchConfig
from nasgait.config.schema.training import (
    AugmentConfig,
    BatchConfig,
    ContrastiveConfig,
    CrossEntropyConfig,
    LoopConfig,
    LossConfig,
    OptimizerConfig,
    PretrainConfig,
    ScheduleConfig,
    TrainConfig,
    TripletConfig,
    ViewsConfig,
)
