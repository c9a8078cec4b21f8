"""MACs and parameters of the published networks, built from their published configs."""

from dataclasses import replace

import pytest
import torch
from reference import load_json, needs_reference

from nasgait.compat import opengait
from nasgait.profiling.macs import profile

pytestmark = needs_reference
RECORDS = load_json("flops").get("baselines", {})
VARIANTS = {"hstl_casiab": "casia-b", "hstl_oumvlp": "oumvlp", "hstl_gait3d": "gait3d"}


@pytest.mark.parametrize("name", RECORDS)
def test_costs_equal_the_recorded_ones(name):
    record = RECORDS[name]
    settings = record["model_cfg"]
    config = {"data_cfg": {"dataset_name": record["dataset_name"]}, "model_cfg": settings}
    published = opengait.read(config, {}, VARIANTS.get(name.removesuffix("_T30")))
    # GLN's first phase names a number of classes and has no classifier.
    classes = None if settings.get("Lateral_pretraining") else record["class_num"]
    with torch.device("meta"):
        found = profile(replace(published, num_classes=classes).build(), record["frames"], (64, 44))
    assert found.macs == record["conv_macs"] + record["embedding_head_matmul_macs"]
    assert found.params_with_classes == record["params_total"]
