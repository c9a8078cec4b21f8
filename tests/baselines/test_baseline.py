"""OpenGait's plain Baseline against a restatement strip by strip, and what its config may say."""

import copy

import pytest
import torch
import torch.nn.functional as F

from nasgait.compat import opengait
from nasgait.core.errors import CheckpointError, ConfigError
from nasgait.nn.plain_backbone import FocalConv2d, parse_layers

LAYERS = ["FC-6-1", "BC-8", "M", "FC-10-2", "BC-12"]
BINS, EMBEDDING, CLASSES = [11, 1], 7, 5
PARTS = sum(BINS)


def config(**changes):
    """Another network than the recorded ones; ``changes`` replace keys of ``model_cfg``."""
    model = {
        "model": "Baseline",
        "backbone_cfg": {"type": "Plain", "in_channels": 1, "layers_cfg": LAYERS},
        "SeparateFCs": {
            "in_channels": 12,
            "out_channels": EMBEDDING,
            "parts_num": PARTS,
            "norm": True,
        },
        "SeparateBNNecks": {
            "in_channels": EMBEDDING,
            "parts_num": PARTS,
            "class_num": CLASSES,
            "norm": False,
            "parallel_BN1d": False,
        },
        "bin_num": BINS,
    }
    return {"data_cfg": {"dataset_name": "elsewhere"}, "model_cfg": model | changes}


def weights():
    """Under the published names."""
    torch.manual_seed(0)
    shapes = {
        "Backbone.forward_block.feature.0.conv.weight": (6, 1, 5, 5),
        "Backbone.forward_block.feature.2.conv.weight": (8, 6, 3, 3),
        "Backbone.forward_block.feature.5.conv.weight": (10, 8, 3, 3),
        "Backbone.forward_block.feature.7.conv.weight": (12, 10, 3, 3),
        "FCs.fc_bin": (PARTS, 12, EMBEDDING),
        "BNNecks.fc_bin": (PARTS, EMBEDDING, CLASSES),
    }
    state = {name: torch.randn(shape) / 4 for name, shape in shapes.items()}
    for part in range(PARTS):
        norm = f"BNNecks.bn1d.{part}."
        state |= {norm + key: 1 + torch.rand(EMBEDDING) for key in ("weight", "running_var")}
        state |= {norm + key: torch.randn(EMBEDDING) for key in ("bias", "running_mean")}
        state[norm + "num_batches_tracked"] = torch.tensor(0)
    return state


def restated(x, state):
    """Embedding and logits of one sequence [s, h, w]: every strip and part by itself."""
    convs = [value for name, value in state.items() if name.startswith("Backbone")]
    x = x[:, None]
    for weight, strips in zip(convs, (2, 1, 4, 1), strict=True):
        pieces = x.split(x.shape[2] // strips, dim=2)
        x = torch.cat([F.conv2d(p, weight, padding=weight.shape[2] // 2) for p in pieces], dim=2)
        x = F.leaky_relu(x)
        if len(weight) == 8:
            x = F.max_pool2d(x, 2)
    x = x.max(0).values
    rows = [x.reshape(12, count, -1)[:, i] for count in BINS for i in range(count)]
    embeddings, logits = [], []
    for part, row in enumerate(rows):
        linear = F.normalize(state["FCs.fc_bin"][part], dim=0)
        embeddings.append((row.mean(1) + row.amax(1)) @ linear)
        norm = {key: state[f"BNNecks.bn1d.{part}.{key}"] for key in ("running_mean", "running_var")}
        scale = state[f"BNNecks.bn1d.{part}.weight"] / (norm["running_var"] + 1e-5).sqrt()
        feature = (embeddings[-1] - norm["running_mean"]) * scale
        feature = feature + state[f"BNNecks.bn1d.{part}.bias"]
        logits.append(feature @ state["BNNecks.fc_bin"][part])
    return torch.stack(embeddings, dim=1), torch.stack(logits, dim=1)


@torch.no_grad()
def test_focal_strips_and_every_switch_of_the_heads():
    state = weights()
    model = opengait.load(config(), state)
    x, lengths = torch.rand(3, 5, 22, 12), torch.tensor([5, 1, 3])
    output = model(x, lengths)
    for row, length in enumerate(lengths):
        embedding, logits = restated(x[row, :length], state)
        torch.testing.assert_close(output.embeddings[row], embedding, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(output.logits[row], logits, rtol=1e-5, atol=1e-5)


def test_norms_of_single_parts_train_like_the_joint_one():
    state = weights()
    parted = opengait.load(config(), state).train()
    for key in ("weight", "bias", "running_mean", "running_var"):
        # Channel-major, as the joint norm flattens.
        columns = [state.pop(f"BNNecks.bn1d.{part}.{key}") for part in range(PARTS)]
        state[f"BNNecks.bn1d.{key}"] = torch.stack(columns, dim=1).flatten()
    state = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    state["BNNecks.bn1d.num_batches_tracked"] = torch.tensor(0)
    neck = config()["model_cfg"]["SeparateBNNecks"] | {"parallel_BN1d": True}
    joint = opengait.load(config(SeparateBNNecks=neck), state).train()
    x = torch.rand(4, 3, 22, 12)
    torch.testing.assert_close(parted(x).logits, joint(x).logits, rtol=1e-4, atol=1e-4)


def without(path):
    """The config less one key of ``model_cfg``, named by its path."""
    changed = copy.deepcopy(config())
    *holders, key = path.split(".")
    holder = changed["model_cfg"]
    for name in holders:
        holder = holder[name]
    del holder[key]
    return changed


@pytest.mark.parametrize(
    "path",
    [
        *("backbone_cfg", "backbone_cfg.type", "backbone_cfg.layers_cfg", "bin_num"),
        *(f"SeparateFCs.{key}" for key in ("in_channels", "out_channels", "parts_num")),
        *(f"SeparateBNNecks.{key}" for key in ("in_channels", "parts_num", "class_num")),
    ],
)
def test_a_missing_key_is_named(path):
    with pytest.raises(ConfigError, match=rf"model_cfg\.{path}: missing"):
        opengait.load(without(path), weights())


def test_optional_keys_have_the_published_defaults():
    whole = without("backbone_cfg.in_channels")
    assert opengait.read(whole, weights()).settings["normalise_fcs"] is True
    assert opengait.read(without("SeparateFCs.norm"), {}).settings["normalise_fcs"] is False
    assert opengait.read(without("SeparateBNNecks.norm"), {}).settings["cosine"] is True
    assert opengait.read(without("SeparateBNNecks.parallel_BN1d"), {}).settings["joint_norm"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone_cfg": {"type": "VGG"}}, "backbone_cfg.type: 'VGG'; known are Plain, ResNet9"),
        ({"backbone_cfg": {"type": "Plain", "layers_cfg": ["M"]}}, "first must be a convolution"),
        ({"backbone_cfg": {"type": "Plain", "layers_cfg": ["BC-x"]}}, "'BC-x' is no layer"),
        ({"backbone_cfg": {"type": "Plain", "layers_cfg": "BC-8"}}, "give a list of layers"),
        (
            {"backbone_cfg": {"type": "Plain", "layers_cfg": LAYERS, "in_channels": 3}},
            "one channel",
        ),
        ({"bin_num": [16, 0]}, r"bin_num: \[16, 0\]; give a list of positive integers"),
        ({"bin_num": [4]}, "parts_num: 12, but the layers before it give 4"),
    ],
)
def test_a_wrong_key_is_named(changes, message):
    with pytest.raises(ConfigError, match=message):
        opengait.load(config(**changes), weights())


def test_another_number_of_classes_is_refused():
    neck = config()["model_cfg"]["SeparateBNNecks"] | {"class_num": 9}
    with pytest.raises(CheckpointError, match="class_num: 9, but the weights have 5 classes"):
        opengait.load(config(SeparateBNNecks=neck), weights())


@pytest.mark.parametrize(("img_w", "size"), [(None, (64, 44)), (64, (64, 44)), (128, (128, 88))])
def test_the_size_is_that_of_the_published_transform(img_w, size):
    step = {"type": "BaseSilCuttingTransform"} | ({} if img_w is None else {"img_w": img_w})
    whole = config() | {"evaluator_cfg": {"transform": [step]}}
    assert opengait.load(whole, weights()).size == size


def test_too_few_rows_for_the_strips():
    with pytest.raises(ConfigError, match="cuts 8 strips, its input has 4 rows"):
        FocalConv2d(1, 2, 3, halving=3)(torch.zeros(1, 1, 4, 4))


def test_layers_are_read():
    assert [spec and (spec.channels, spec.halving) for spec in parse_layers(("BC-4", "M"))] == [
        (4, 0),
        None,
    ]
