"""Defaults that papers and published code state, each with its source.

SPOSGait: Guo et al., "Gait Recognition in the Wild" (2022), and its published configs; OpenGait
0efafd4; SPOS: Guo et al., ECCV 2020; SelfGait 80a26fd; BYOL: Grill et al., NeurIPS 2020.
"""

import inspect

import numpy as np
import pytest
import torch
from torch import nn

from nasgait.baselines import registry
from nasgait.config import schema
from nasgait.data.transforms import draw_changes
from nasgait.evaluation import metrics, rerank
from nasgait.nn.byol import BYOL
from nasgait.nn.norm import BatchNorm
from nasgait.nn.pooling import GeMPyramid, GeMRegions
from search_spaces import load_space

SPOSGAIT, OPENGAIT, SELFGAIT = "SPOSGait's configs", "OpenGait", "SelfGait's config"
RECIPE, PRETRAIN = schema.TrainConfig(), schema.PretrainConfig()


def argument(function, name):
    return inspect.signature(function).parameters[name].default


DEFAULTS = [
    ("triplet weight", RECIPE.loss.triplet.weight, 1.0, SPOSGAIT + ", supernet"),
    ("triplet margin", RECIPE.loss.triplet.margin, 0.2, SPOSGAIT),
    ("cross-entropy weight", RECIPE.loss.cross_entropy.weight, 0.0, SPOSGAIT + ", supernet"),
    ("cross-entropy scale", RECIPE.loss.cross_entropy.scale, 16.0, SPOSGAIT),
    ("label smoothing", RECIPE.loss.cross_entropy.label_smoothing, 0.1, OPENGAIT),
    ("contrastive weight", RECIPE.loss.contrastive.weight, 0.0, "in none of the configs"),
    ("contrastive temperature", RECIPE.loss.contrastive.temperature, 0.01, OPENGAIT),
    ("contrastive similarity", RECIPE.loss.contrastive.similarity, "cosine", "Khosla et al. 2020"),
    ("optimizer", RECIPE.optimizer.kind, "sgd", SPOSGAIT),
    ("rate", RECIPE.optimizer.lr, 0.1, SPOSGAIT),
    ("momentum", RECIPE.optimizer.momentum, 0.9, SPOSGAIT),
    ("weight decay", RECIPE.optimizer.weight_decay, 5e-4, SPOSGAIT),
    ("gradient clipping", RECIPE.optimizer.clip_value, None, SPOSGAIT + ", supernet"),
    ("schedule", RECIPE.schedule.kind, "multi-step", SPOSGAIT),
    ("gamma", RECIPE.schedule.gamma, 0.1, SPOSGAIT),
    ("warm-up", RECIPE.schedule.warmup, 0, SPOSGAIT),
    ("identities", RECIPE.batch.ids, 32, SPOSGAIT),
    ("sequences of each", RECIPE.batch.seqs, 4, SPOSGAIT),
    ("frames", RECIPE.batch.frames, 30, SPOSGAIT),
    ("order of frames", RECIPE.batch.order, "ordered", SPOSGAIT),
    ("skipped frames", RECIPE.batch.skip, 0, SPOSGAIT),
    ("precision", RECIPE.precision, "bfloat16", SPOSGAIT + ": mixed"),
    ("largest rotation", RECIPE.augment.degrees, 10.0, OPENGAIT),
    ("smallest erased share", RECIPE.augment.erase_area[0], 0.02, "Zhong et al., AAAI 2020"),
    ("largest erased share", RECIPE.augment.erase_area[1], 0.2, OPENGAIT),
    ("rate of pre-training", PRETRAIN.optimizer.lr, 0.03, SELFGAIT),
    ("momentum of pre-training", PRETRAIN.optimizer.momentum, 0.9, SELFGAIT),
    ("decay of pre-training", PRETRAIN.optimizer.weight_decay, 4e-4, SELFGAIT),
    ("optimizer of pre-training", PRETRAIN.optimizer.kind, "sgd", SELFGAIT),
    ("schedule of pre-training", PRETRAIN.schedule.kind, "constant", SELFGAIT),
    ("moving average", PRETRAIN.momentum, 0.996, "BYOL, SelfGait"),
    ("moving average of BYOL", argument(BYOL, "momentum"), 0.996, "BYOL, SelfGait"),
    ("hidden width", PRETRAIN.hidden, 256, SELFGAIT),
    ("projection width", PRETRAIN.projection, 128, SELFGAIT),
    ("cosine", PRETRAIN.cosine, "parts", SELFGAIT),
    ("metric", schema.EvaluationConfig().metric, "euc", OPENGAIT),
    ("ranks", metrics.RANKS, (1, 5, 10, 20), "GREW's tables"),
    ("re-ranking k1", argument(rerank.reranked, "k1"), 6, OPENGAIT + ", HID"),
    ("re-ranking k2", argument(rerank.reranked, "k2"), 6, OPENGAIT + ", HID"),
    ("re-ranking lambda", argument(rerank.reranked, "own_share"), 0.3, OPENGAIT + ", HID"),
]
SEARCH = [
    ("population", 50, SPOSGAIT),
    ("top_k", 10, SPOSGAIT),
    ("mutations", 25, SPOSGAIT),
    ("crossovers", 25, SPOSGAIT),
    ("mutation_prob", 0.1, SPOSGAIT),
    ("max_epochs", 20, SPOSGAIT),
    ("candidates", 1, "SPOS: each child is scored"),
]
SPACES = {
    # choices of each layer, channels of each layer, bins, channels of the embedding
    "sposgait-small": ((1, 6, 6, 6), (64, 128, 256, 256), (16,), 256),
    "sposgait-small-casiab": ((1, 6, 6, 6), (96, 192, 256, 256), (16,), 256),
    "sposgait-medium": (
        (1, 1, 6, 6, 6, 6, 6), (64, 64, 128, 128, 256, 512, 512), (16, 8, 4, 2, 1), 512,
    ),
    "sposgait-large": (
        (1, 1, *[6] * 8),
        (64, 64, 128, 128, 256, 256, 512, 512, 512, 512), (16, 8, 4, 2, 1), 512,
    ),
    "sposgait-large-oumvlp": (
        (1, 1, *[6] * 8), (64, 64, 128, 128, 256, 256, 512, 512, 512, 512), (16,), 256,
    ),
    "sposgait-large-gait3d": (
        (1, 1, *[6] * 8), (128, 128, 256, 256, 256, 256, 512, 512, 512, 512), (16,), 256,
    ),
}  # fmt: skip
BLOCKS = ("3x3x3", "3x1x3", "3x3x1", "3x3x1+3x1x3", "3x1x3+3x3x1", "3x1x1+1x3x3")
NETWORKS = [*registry.names(), *SPACES]


@pytest.mark.parametrize(
    ("value", "published", "source"),
    [row[1:] for row in DEFAULTS],
    ids=[row[0] for row in DEFAULTS],
)
def test_a_default_is_the_published_one(value, published, source):
    assert value == published, source


@pytest.mark.parametrize(("name", "published", "source"), SEARCH)
def test_the_search_is_the_published_one(name, published, source):
    assert getattr(schema.SearchConfig(), name) == published, source


@pytest.mark.parametrize("name", list(SPACES))
def test_a_space_is_the_published_one(name):
    choices, channels, bins, embedding = SPACES[name]
    space = load_space(name)
    layers = [layer for stage in space.spec.stages for layer in stage.layers]
    assert space.choices == choices and space.spec.blocks == BLOCKS
    assert tuple(layer.channels for layer in layers) == channels
    assert (space.spec.head.bins, space.spec.head.channels) == (bins, embedding)
    assert space.size == (64, 44) and space.frames == 30


def network(name):
    """On no device: what it is made of, without weights."""
    with torch.device("meta"):
        return load_space(name).supernet(10) if name in SPACES else registry.build(name, 10)


@pytest.mark.parametrize("name", NETWORKS)
def test_norms_and_pooling_of_every_network_are_the_published_ones(name):
    """Torch's eps and momentum, which the published code leaves as they are; GeM as in GaitGL."""
    for path, module in network(name).named_modules():
        if isinstance(module, BatchNorm | nn.modules.batchnorm._BatchNorm):
            assert (module.eps, module.momentum) == (1e-5, 0.1), path
        if isinstance(module, GeMPyramid | GeMRegions):
            assert module.eps == 1e-6, path
        if isinstance(module, nn.Dropout) and not name.endswith("nano"):
            assert module.p == 0.9, "GLN's"


@pytest.mark.parametrize("pooling", [GeMPyramid([4, 1]), GeMRegions([3, 5])])
def test_the_exponent_starts_at_six_and_a_half(pooling):
    assert [p.item() for p in pooling.parameters()] == [6.5] * len(list(pooling.parameters()))


def test_erased_rectangles_keep_to_the_published_shape():
    """Height over width in 0.3 .. 1 / 0.3 (Zhong et al., AAAI 2020), area in the given shares."""
    size = (640, 640)
    config = schema.AugmentConfig(erase=1.0)
    rectangles = draw_changes(2000, size, config, np.random.default_rng(0)).erased
    heights, widths = (np.diff(rectangles[:, k : k + 2])[:, 0] for k in (0, 2))
    shares, aspects = heights * widths / (640 * 640), heights / widths
    assert shares.min() == pytest.approx(0.02, abs=1e-3)
    assert shares.max() == pytest.approx(0.2, abs=1e-3)
    assert aspects.min() == pytest.approx(0.3, abs=0.02)
    assert aspects.max() == pytest.approx(1 / 0.3, abs=0.05)
