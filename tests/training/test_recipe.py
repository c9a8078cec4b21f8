"""Recipes that would fail, or learn nothing, are refused before anything is started."""

from types import SimpleNamespace

import pytest
import torch

from nasgait.config.schema import BatchConfig, LossConfig, ScheduleConfig, TrainConfig
from nasgait.config.schema.training import ContrastiveConfig, CrossEntropyConfig, TripletConfig
from nasgait.core.errors import ConfigError
from nasgait.training.recipe import check_neck, recipe_faults

PLAIN = {"steps": 10, "precision": "float32", "batch": BatchConfig(ids=2, seqs=2, frames=8)}
ONLY_CLASSES = LossConfig(TripletConfig(weight=0), CrossEntropyConfig(weight=1))
ONLY_CONTRASTIVE = LossConfig(TripletConfig(weight=0), contrastive=ContrastiveConfig(weight=1))


def faults(**recipe):
    recipe = TrainConfig(**(PLAIN | recipe))
    return [str(fault) for fault in recipe_faults("retrain", recipe, torch.device("cpu"))]


def test_nothing_is_wrong_at_the_limits():
    assert faults(schedule=ScheduleConfig(kind="constant", warmup=9)) == []
    assert faults(batch=BatchConfig(ids=1, seqs=1, frames=8), loss=ONLY_CLASSES) == []


def test_a_warm_up_as_long_as_the_training_never_ends():
    (fault,) = faults(schedule=ScheduleConfig(kind="constant", warmup=10))
    assert fault.startswith("retrain.schedule.warmup 10: the training ends after 10 steps")


@pytest.mark.parametrize(
    ("ids", "seqs", "loss", "term"),
    [
        (1, 2, LossConfig(), "triplet"),
        (2, 1, LossConfig(), "triplet"),
        (1, 2, ONLY_CONTRASTIVE, "contrastive"),
        (2, 1, ONLY_CONTRASTIVE, "contrastive"),
    ],
)
def test_a_batch_without_pairs_teaches_a_metric_nothing(ids, seqs, loss, term):
    (fault,) = faults(batch=BatchConfig(ids=ids, seqs=seqs, frames=8), loss=loss)
    assert fault.startswith(f"retrain.batch: {ids} x {seqs} holds no triplet")
    assert fault.endswith(f"or loss.{term}.weight=0")


def test_all_faults_come_at_once():
    nothing = LossConfig(TripletConfig(weight=0))
    found = faults(
        loss=nothing, precision="float16", schedule=ScheduleConfig(kind="constant", warmup=20)
    )
    assert len(found) == 3 and all(fault.startswith("retrain") for fault in found)


def test_a_neck_that_is_evaluated_is_trained():
    behind, before = SimpleNamespace(needs_neck=True), SimpleNamespace(needs_neck=False)
    check_neck("retrain", TrainConfig(loss=ONLY_CLASSES), behind)
    check_neck("retrain", TrainConfig(), before)
    with pytest.raises(ConfigError, match=r"^retrain\.loss\.cross_entropy\.weight 0: trains no"):
        check_neck("retrain", TrainConfig(), behind)
