"""GaitGL where the recorded cases do not look: brute force, unequal lengths, wrong configs."""

import pytest
import torch
import torch.nn.functional as F

from nasgait.baselines.gaitgl import GaitGL, GLConv
from nasgait.baselines.registry import build
from nasgait.compat import opengait
from nasgait.core.errors import CheckpointError, ConfigError

SMALL = {"channels": (2, 3, 4, 5), "size": (16, 6), "strips": 2, "parts": 8}


def restated(model: GaitGL, x: torch.Tensor) -> torch.Tensor:
    """The part features before any BatchNorm, strip by strip, from x [n, s, h, w]."""

    def conv(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return F.conv3d(x, weight, padding=1)

    def both(x: torch.Tensor, block: GLConv) -> list[torch.Tensor]:
        strips = [conv(strip, block.local.weight) for strip in x.chunk(block.strips, 3)]
        maps = [conv(x, block.whole.weight), torch.cat(strips, 3)]
        return [F.leaky_relu(found) for found in maps]

    x = x[:, None]
    for stem in model.stem:
        x = F.leaky_relu(conv(x, stem.weight))
    x = F.leaky_relu(F.conv3d(x, model.aggregation.conv.weight, stride=(3, 1, 1)))
    for number, block in enumerate(model.blocks, start=1):
        x = sum(both(x, block))
        if number == model.layers:
            x = F.max_pool3d(x, (1, 2, 2))
    x = torch.cat(both(x, model.last), 3).amax(2)
    p = model.pooling.p
    strips = x.reshape(*x.shape[:2], model.fcs.fc_bin.shape[0], -1).clamp(min=1e-6)
    return torch.einsum("ncp,pcd->ndp", strips.pow(p).mean(-1).pow(1 / p), model.fcs.fc_bin)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_equals_a_plain_restatement(layers):
    torch.manual_seed(layers)
    model = GaitGL(**SMALL, layers=layers, bnneck=True).double()
    x = torch.rand(2, 7, 16, 6, dtype=torch.float64)
    wanted = restated(model, x)
    found = model(x).embeddings
    torch.testing.assert_close(found, wanted)
    weights = list(model.parameters())
    ours = torch.autograd.grad(found.square().sum(), weights)
    theirs = torch.autograd.grad(wanted.square().sum(), weights)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("bnneck", [False, True])
def test_unequal_lengths_train_like_each_sequence_alone(bnneck):
    torch.manual_seed(0)
    model = GaitGL(**SMALL, layers=2, bnneck=bnneck).double()
    if model.norm is not None:
        model.norm.eval()  # batch statistics would tie the sequences to each other
    lengths = torch.tensor([1, 2, 3, 5, 8])
    x = torch.rand(5, 8, 16, 6, dtype=torch.float64)
    weights = list(model.parameters())
    together = model(x, lengths).embeddings
    alone = torch.cat([model(x[i : i + 1, :s]).embeddings for i, s in enumerate(lengths)])
    torch.testing.assert_close(together, alone)
    torch.testing.assert_close(
        torch.autograd.grad(together.square().sum(), weights),
        torch.autograd.grad(alone.square().sum(), weights),
    )


@pytest.mark.parametrize("bnneck", [False, True])
def test_half_precision_trains_on_padded_batches(bnneck):
    torch.manual_seed(0)
    model = GaitGL(**SMALL, layers=2, bnneck=bnneck, num_classes=3)
    with torch.autocast("cpu", torch.bfloat16):
        output = model(torch.rand(4, 7, 16, 6), torch.tensor([7, 2, 4, 1]))
    (output.embeddings.square().mean() + output.logits.square().mean()).backward()
    assert output.logits.shape == (4, 3, 8)
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("settings", [{"strips": 3}, {"parts": 5}])
def test_a_height_that_does_not_divide_is_refused(settings):
    with pytest.raises(ConfigError, match="height of 64"):
        build("gaitgl", **settings)


def config(dataset: str = "CASIA-B", **model) -> dict:
    model = {"model": "GaitGL", "channels": [2, 3, 4], "class_num": 5, **model}
    return {"data_cfg": {"dataset_name": dataset}, "model_cfg": model}


@pytest.mark.parametrize("dataset", ["CASIA-B", "CASIA-B*", "Gait3D", "oumvlp"])
def test_all_other_data_sets_have_the_layout_of_casia_b(dataset):
    published = opengait.read(config(dataset), {})
    assert published.model == "gaitgl"
    assert published.settings["channels"] == (2, 3, 4, 4)
    assert not published.settings["bnneck"]


@pytest.mark.parametrize("dataset", ["OUMVLP", "GREW"])
def test_two_data_sets_have_the_deep_layout(dataset):
    neck = {"class_num": 5, "in_channels": 6, "parts_num": 64}
    published = opengait.read(config(dataset, channels=[2, 3, 4, 6], SeparateBNNecks=neck), {})
    assert published.model == "gaitgl-grew"
    assert published.settings["channels"] == (2, 3, 4, 6)
    assert published.settings["bnneck"]


def test_the_neck_may_have_one_norm_for_each_part_and_no_cosine():
    neck = {"class_num": 5, "in_channels": 4, "parts_num": 64, "norm": False}
    found = config(SeparateBNNecks={**neck, "parallel_BN1d": False})
    model = opengait.read(found, {"BNNecks.fc_bin": torch.zeros(64, 4, 5)}).build()
    assert not model.neck.cosine
    assert "neck.norm.63.weight" in model.state_dict()


def without(found: dict, section: str, key: str) -> dict:
    return {**found, section: {k: v for k, v in found[section].items() if k != key}}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (without(config(), "data_cfg", "dataset_name"), "data_cfg.dataset_name: missing"),
        (without(config(), "model_cfg", "channels"), "model_cfg.channels: missing"),
        (without(config(), "model_cfg", "class_num"), "model_cfg.class_num: missing"),
        (config("GREW"), "give 4 positive integers"),
        (config(channels=[2, 3, 4, 5]), "give 3 positive integers"),
        (config(channels=[2, 3, 0]), "give 3 positive integers"),
        (config(channels="234"), "give 3 positive integers"),
        (config(SeparateBNNecks={}), "model_cfg.SeparateBNNecks.class_num: missing"),
        (
            config(SeparateBNNecks={"class_num": 5, "in_channels": 4, "parts_num": 32}),
            "parts_num: must be 64",
        ),
    ],
)
def test_wrong_configs_are_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        opengait.read(wrong, {})


def test_a_classifier_of_another_size_is_refused():
    with pytest.raises(CheckpointError, match=r"model_cfg.class_num: 5, but .* 7 classes"):
        opengait.read(config(), {"Head1.fc_bin": torch.zeros(64, 4, 7)})
