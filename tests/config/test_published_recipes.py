"""The published recipes as literals: rate, steps, milestones, batch, weights of the losses.

From the configs of SPOSGait ad2d421, OpenGait 0efafd4 and HSTL 86c7e45 (``configs/`` there), which
the header of each file in ``configs/published`` names.
"""

from pathlib import Path

import pytest

from nasgait.config.load import load_config
from nasgait.config.schema import ScheduleConfig, SearchConfig

FOLDER = Path(__file__).parents[2] / "configs" / "published"
SGD, SGD_LOW, SGD_LATER = ("sgd", 0.1, 5e-4), ("sgd", 0.05, 5e-4), ("sgd", 0.01, 5e-4)
ADAM, ADAM_DECAY = ("adam", 1e-4, 0.0), ("adam", 1e-4, 5e-4)

# Optimiser, steps [thousands], milestones [thousands], batch, weights of triplet and softmax,
# scale of the logits, largest entry of the gradient.
RECIPES = {
    ("deepgaitv2-casia-b", "retrain"): (SGD, 60, (20, 40, 50), (8, 16), 1, 1, 16, None),
    ("deepgaitv2-gait3d", "retrain"): (SGD, 60, (20, 40, 50), (32, 4), 1, 1, 16, None),
    ("deepgaitv2-grew", "retrain"): (SGD, 180, (80, 120, 150), (32, 4), 1, 1, 16, None),
    ("deepgaitv2-oumvlp", "retrain"): (SGD, 120, (60, 80, 100), (32, 8), 1, 1, 16, None),
    ("gaitbase-casia-b", "retrain"): (SGD, 60, (20, 40, 50), (8, 16), 1, 1, 16, None),
    ("gaitbase-gait3d", "retrain"): (SGD, 60, (20, 40, 50), (32, 4), 1, 1, 16, None),
    ("gaitbase-grew", "retrain"): (SGD, 180, (80, 120, 150), (32, 4), 1, 1, 16, None),
    ("gaitbase-oumvlp", "retrain"): (SGD, 120, (60, 80, 100), (32, 8), 1, 1, 16, None),
    ("gaitgl-casia-b", "retrain"): (ADAM_DECAY, 80, (70,), (8, 8), 1, 1, 1, None),
    ("gaitgl-grew", "retrain"): (ADAM, 250, (150, 200), (32, 4), 1, 1, 1, None),
    ("gaitgl-grew-bnneck", "retrain"): (ADAM, 250, (150, 200), (32, 4), 1, 1, 1, None),
    ("gaitgl-oumvlp", "retrain"): (ADAM, 210, (150, 200), (32, 8), 1, 1, 1, None),
    ("gaitpart-casia-b", "retrain"): (ADAM, 120, (100,), (8, 16), 1, 0, None, None),
    ("gaitpart-grew", "retrain"): (ADAM, 250, (150,), (32, 4), 1, 0, None, None),
    ("gaitpart-oumvlp", "retrain"): (ADAM, 250, (150,), (32, 16), 1, 0, None, None),
    ("gaitset-casia-b", "retrain"): (SGD, 40, (10, 20, 30), (8, 16), 1, 0, None, None),
    ("gaitset-grew", "retrain"): (ADAM, 250, (150,), (32, 4), 1, 0, None, None),
    ("gaitset-oumvlp", "retrain"): (ADAM, 250, (150,), (32, 16), 1, 0, None, None),
    ("gln-casia-b-phase1", "retrain"): (SGD, 40, (10, 20, 30), (8, 16), 1, 0, None, None),
    ("gln-casia-b-phase2", "retrain"): (SGD_LATER, 40, (10, 20, 30), (8, 16), 1, 0.1, 16, None),
    ("hstl-casia-b", "retrain"): (ADAM_DECAY, 90, (70,), (8, 8), 1, 1, 1, None),
    ("hstl-gait3d", "retrain"): (SGD, 210, (80, 150, 200), (32, 8), 1, 1, 16, None),
    ("hstl-oumvlp", "retrain"): (SGD, 250, (150, 200), (32, 8), 1, 1, 1, None),
    ("sposgait-large-gait3d", "retrain"): (SGD, 61.001, (20, 40, 50, 60), (32, 4), 1, 1, 16, None),
    ("sposgait-large-grew-20000", "retrain"): (SGD, 200, (50, 100, 150), (32, 4), 0.1, 1, 16, None),
    ("sposgait-large-grew-20000", "supernet"): (SGD, 500, (250, 350), (32, 4), 1, 0, None, None),
    ("sposgait-large-grew-20000-2loss", "retrain"):
        (SGD, 200, (50, 100, 150), (32, 4), 0.1, 1, 16, None),
    ("sposgait-large-grew-20000-2loss", "supernet"):
        (SGD, 500, (250, 350), (32, 4), 0.1, 1, 16, None),
    ("sposgait-large-grew-500", "retrain"): (SGD, 100, (20, 40, 80), (32, 4), 1, 0.1, 16, None),
    ("sposgait-large-grew-5000", "retrain"): (SGD, 180, (50, 100, 150), (32, 4), 1, 0.1, 16, 0.1),
    ("sposgait-large-oumvlp", "retrain"): (SGD_LOW, 120, (60, 80, 100), (32, 8), 1, 1, 16, None),
    ("sposgait-medium-grew-20000", "retrain"): (SGD, 200, (50, 100, 150), (32, 4), 1, 0.1, 16, 0.1),
    ("sposgait-medium-grew-500", "retrain"): (SGD, 60, (20, 40), (32, 4), 1, 0.1, 16, None),
    ("sposgait-medium-grew-5000", "retrain"): (SGD, 180, (50, 100, 150), (32, 4), 1, 0.1, 16, 0.1),
    ("sposgait-medium-grew-5000", "supernet"): (SGD, 500, (250, 350), (32, 4), 1, 0, None, None),
    ("sposgait-small-casia-b", "retrain"): (SGD, 100, (40, 60, 80), (32, 4), 1, 1, 16, None),
    ("sposgait-small-casia-b", "supernet"): (SGD, 100, (40, 60, 80), (32, 4), 1, 1, 16, None),
    ("sposgait-small-grew-20000", "retrain"): (SGD, 200, (50, 100, 150), (32, 4), 0.1, 1, 16, 0.1),
    ("sposgait-small-grew-500", "retrain"): (SGD, 50, (20, 40), (32, 4), 1, 0.1, 16, None),
    ("sposgait-small-grew-500", "supernet"): (SGD, 100, (40, 60, 80), (32, 4), 1, 0, None, None),
    ("sposgait-small-grew-5000", "retrain"): (SGD, 180, (50, 100, 150), (32, 4), 1, 0.1, 16, 0.1),
}  # fmt: skip

UNSMOOTHED = ("gaitgl-casia-b", "hstl-casia-b")
VARIED = {"gaitbase-gait3d": (10, 50), "gaitbase-grew": (20, 40)}
"""Frames of a sequence, where their number is drawn anew; 30 elsewhere."""
UNORDERED = ("gaitbase", "gaitset")


@pytest.mark.parametrize(("name", "section"), list(RECIPES))
def test_a_recipe_is_the_published_one(name, section):
    optimizer, steps, milestones, batch, triplet, softmax, scale, clip = RECIPES[name, section]
    recipe = getattr(load_config(name), section)
    found = recipe.optimizer
    assert (found.kind, found.lr, found.weight_decay) == optimizer
    assert (found.momentum, found.clip_value, found.clip_norm) == (0.9, clip, None)
    assert recipe.steps == round(1000 * steps)
    thousands = tuple(1000 * milestone for milestone in milestones)
    assert recipe.schedule == ScheduleConfig("multi-step", 0, thousands, 0.1)
    assert (recipe.batch.ids, recipe.batch.seqs) == batch
    assert (recipe.loss.triplet.weight, recipe.loss.triplet.margin) == (triplet, 0.2)
    assert recipe.loss.cross_entropy.weight == softmax
    if softmax:
        assert recipe.loss.cross_entropy.scale == scale
        smoothing = 0.0 if name in UNSMOOTHED else 0.1
        assert recipe.loss.cross_entropy.label_smoothing == smoothing
    frames = VARIED.get(name, (30, None))
    assert (recipe.batch.frames, recipe.batch.frames_max) == frames
    assert recipe.batch.order == ("unordered" if name.startswith(UNORDERED) else "ordered")


def test_every_published_config_is_in_the_table():
    assert {name for name, _ in RECIPES} == {path.stem for path in FOLDER.glob("*.yaml")}


@pytest.mark.parametrize("name", [name for name, section in RECIPES if section == "supernet"])
def test_searches_are_the_published_ones(name):
    search, published = load_config(name).search, SearchConfig()
    for key in ("population", "top_k", "mutations", "crossovers", "mutation_prob", "max_epochs"):
        assert getattr(search, key) == getattr(published, key), key
