"""HSTL where the recorded cases do not look: brute force, unequal lengths, wrong configs."""

import pytest
import torch
import torch.nn.functional as F

from nasgait.baselines.hstl import HSTL, FrameAggregation, RegionConv
from nasgait.baselines.registry import build
from nasgait.compat import opengait
from nasgait.core.errors import CheckpointError, ConfigError
from nasgait.nn.pooling import GeMRegions
from nasgait.nn.temporal import valid_mask

SMALL = {
    "stem": (2, 3),
    "stages": ((3, 4), (5,), (4, 6)),
    "regions": ((5, 3), (1, 4, 3), (8,)),
    "pool": True,
    "size": (16, 6),
}


def aggregated(model: FrameAggregation, x: torch.Tensor) -> torch.Tensor:
    """Step by step, region by region, x [c, s, h, w] of one sequence."""
    steps, top = [], 0
    for gate, height in zip(model.gates, model.heights, strict=True):
        region, top, found = x[:, :, top : top + height], top + height, []
        for i in range(x.shape[1] // 3):
            maps = [
                region[:, 3 * i : 3 * i + 3].amax(1),
                region[:, max(0, 3 * i - 1) : 3 * i + 4].amax(1),
            ]
            mean = sum(maps).mean((1, 2))
            convs = (gate.short, gate.long)
            scores = torch.stack([c.weight[:, :, 0] @ mean + c.bias for c in convs])
            shares = scores.softmax(0)[..., None, None]
            found.append(shares[0] * maps[0] + shares[1] * maps[1])
        steps.append(torch.stack(found, 1))
    return torch.cat(steps, 2)


@pytest.mark.parametrize("frames", [3, 4, 5, 6, 10])
def test_frame_aggregation_step_by_step(frames):
    torch.manual_seed(frames)
    model = FrameAggregation(4, (3, 1, 2)).double()
    x = torch.randn(2, 4, frames, 6, 5, dtype=torch.float64)
    found, valid = model(x)
    assert valid is None
    for row in range(2):
        torch.testing.assert_close(found[row], aggregated(model, x[row]))


def test_frame_aggregation_does_not_look_at_padding():
    torch.manual_seed(0)
    model = FrameAggregation(3, (2, 2)).double()
    # Negative throughout: zeros would win against them.
    x = -1 - torch.rand(3, 3, 11, 4, 5, dtype=torch.float64)
    lengths = [11, 3, 7]
    found, valid = model(x, valid_mask(torch.tensor(lengths), 11))
    assert valid.sum((1, 2, 3, 4)).tolist() == [3, 1, 2]
    for row, frames in enumerate(lengths):
        wanted = aggregated(model, x[row, :, :frames])
        torch.testing.assert_close(found[row, :, : frames // 3], wanted)
    found.square().sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_regions_have_convolutions_and_zeros_of_their_own():
    torch.manual_seed(0)
    model = RegionConv(2, 3, (4, 1, 2)).double()
    x = torch.randn(2, 2, 4, 7, 5, dtype=torch.float64)
    found, top = model(x), 0
    for conv, height in zip(model.regions, model.heights, strict=True):
        region = slice(top, top := top + height)
        wanted = F.leaky_relu(F.conv3d(x[:, :, :, region], conv.weight, padding=1))
        torch.testing.assert_close(found[:, :, :, region], wanted)


def test_regions_have_exponents_of_their_own():
    torch.manual_seed(0)
    model = GeMRegions((1, 4, 2)).double()
    for number, p in enumerate(model.p):
        p.data += number
    x = torch.randn(2, 3, 7, 5, dtype=torch.float64)
    found, top = model(x), 0
    for number, height in enumerate(model.heights):
        values, p = x[:, :, top : top + height].clamp(min=1e-6).flatten(2), 6.5 + number
        torch.testing.assert_close(found[..., number], values.pow(p).mean(-1).pow(1 / p))
        top += height


def test_every_level_gives_its_parts():
    torch.manual_seed(0)
    model = HSTL(**SMALL, num_classes=7)
    output = model(torch.rand(3, 6, 16, 6))
    parts = 1 + 2 + 2 + 3 + 1 + 8
    assert output.embeddings.shape == (3, 6, parts)
    assert output.logits.shape == (3, 7, parts)


def test_unequal_lengths_train_like_each_sequence_alone():
    torch.manual_seed(0)
    model = HSTL(**SMALL).double()
    model.norm.eval()  # batch statistics would tie the sequences to each other
    lengths = torch.tensor([1, 2, 3, 7, 9])
    x = torch.rand(5, 9, 16, 6, dtype=torch.float64)
    weights = list(model.parameters())
    together = model(x, lengths).embeddings
    alone = torch.cat([model(x[i : i + 1, :s]).embeddings for i, s in enumerate(lengths)])
    torch.testing.assert_close(together, alone)
    torch.testing.assert_close(
        torch.autograd.grad(together.square().sum(), weights),
        torch.autograd.grad(alone.square().sum(), weights),
    )


def test_half_precision_trains_on_padded_batches():
    torch.manual_seed(0)
    model = HSTL(**SMALL, num_classes=3)
    with torch.autocast("cpu", torch.bfloat16):
        output = model(torch.rand(4, 7, 16, 6), torch.tensor([7, 2, 4, 1]))
    (output.embeddings.square().mean() + output.logits.square().mean()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name


def test_regions_that_do_not_add_up_are_refused():
    with pytest.raises(ConfigError, match=r"\(40, 20\) do not add up to 64"):
        build("hstl", regions=((40, 20), (64,)))


def config(cls: str, channels: list[int], **model) -> dict:
    model = {"model": cls, "channels": channels, "class_num": 5, **model}
    return {"data_cfg": {"dataset_name": "Gai3D"}, "model_cfg": model}


CLASSES = [
    ("HSTL", "casia-b", "hstl", [2, 3, 4]),
    ("HSTL_OU", "oumvlp", "hstl-oumvlp", [2, 3, 4, 5]),
    ("HSTL_Gait3D", "gait3d", "hstl-gait3d", [2, 3, 4, 5]),
]


@pytest.mark.parametrize(("cls", "variant", "model", "channels"), CLASSES)
def test_the_variant_decides_and_without_one_the_class(cls, variant, model, channels):
    assert opengait.read(config(cls, channels), {}).model == model
    for other, *_ in CLASSES:
        assert opengait.read(config(other, channels), {}, variant).model == model


@pytest.mark.parametrize(
    ("wrong", "variant", "message"),
    [
        (config("HSTL", [2, 3, 4]), "CASIA-B", "casia-b, oumvlp, gait3d"),
        (config("HSTL", [2, 3, 4]), "gait3d", "give 4 positive integers"),
        (config("HSTL_OU", [2, 3, 4]), None, "give 4 positive integers"),
        ({"model_cfg": {"model": "HSTL", "class_num": 5}}, None, "model_cfg.channels: missing"),
        ({"model_cfg": {"model": "HSTL", "channels": [2, 3, 4]}}, None, "class_num: missing"),
    ],
)
def test_wrong_configs_are_refused(wrong, variant, message):
    with pytest.raises(ConfigError, match=message):
        opengait.read(wrong, {}, variant)


def test_a_classifier_of_another_size_is_refused():
    with pytest.raises(CheckpointError, match=r"model_cfg.class_num: 5, but .* 7 classes"):
        opengait.read(config("HSTL", [2, 3, 4]), {"Head1.fc_bin": torch.zeros(73, 4, 7)})
