"""GaitPart's micro-motion capture against convolutions part by part, and its config."""

import pytest
import torch
import torch.nn.functional as F

from nasgait.compat import opengait
from nasgait.core.errors import ConfigError
from nasgait.nn.micro_motion import MicroMotionCapture

PARTS, CHANNELS = 3, 8
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def restated(capture, x):
    """One sequence x [s, c, p] to [c, p]: 1-D convolutions and poolings, part by part."""
    embedded = []
    for part in range(PARTS):
        row = x[None, :, :, part].transpose(1, 2)
        moves = 0
        for motion, window in ((capture.short, 3), (capture.long, 5)):
            first, second = motion.squeeze.weights[part], motion.expand.weights[part]
            hidden = F.leaky_relu(F.conv1d(row, first, padding=1))
            scores = F.conv1d(hidden, second, padding=second.shape[2] // 2).sigmoid()
            pools = (
                F.avg_pool1d(row, window, 1, window // 2),
                F.max_pool1d(row, window, 1, window // 2),
            )
            moves = moves + scores * sum(pools)
        embedded.append(moves[0].max(1).values)
    return torch.stack(embedded, dim=1)


def test_micro_motion_equals_single_parts_and_sequences():
    torch.manual_seed(0)
    capture = MicroMotionCapture(PARTS, CHANNELS).double()
    lengths = torch.tensor([9, 1, 2, 5])
    valid = torch.arange(9) < lengths[:, None]
    # Features below 0, so that zeros in the padding would win a maximum.
    x = (torch.rand(4, 9, CHANNELS, PARTS, dtype=torch.float64) - 2) * valid[:, :, None, None]
    found = capture(x, valid)
    for row, length in enumerate(lengths):
        torch.testing.assert_close(found[row], restated(capture, x[row, :length]))
    whole = capture(x[:1], None)
    torch.testing.assert_close(whole[0], restated(capture, x[0]))


@pytest.mark.parametrize("device", DEVICES)
def test_gradients_equal_those_of_single_parts(device):
    """A GPU's own gradient of a padded average is wrong where channels lie innermost."""
    torch.manual_seed(0)
    capture = MicroMotionCapture(PARTS, CHANNELS).double()
    x = torch.rand(1, 9, CHANNELS, PARTS, dtype=torch.float64, requires_grad=True)
    weight = torch.rand(CHANNELS, PARTS, dtype=torch.float64)
    (wanted,) = torch.autograd.grad((restated(capture, x[0]) * weight).sum(), x)
    found = capture.to(device)(x.to(device), None)[0].cpu()
    (found,) = torch.autograd.grad((found * weight).sum(), x)
    torch.testing.assert_close(found, wanted)


def test_gradients_are_finite_beside_long_padding():
    """Windows that lie in the padding altogether have no maximum."""
    torch.manual_seed(0)
    capture = MicroMotionCapture(PARTS, CHANNELS)
    x = torch.rand(2, 20, CHANNELS, PARTS)
    x[1, 2:] = 0
    x.requires_grad_()
    valid = torch.arange(20) < torch.tensor([20, 2])[:, None]
    capture(x, valid).sum().backward()
    assert x.grad.isfinite().all()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in capture.parameters())


def config(**changes):
    model = {
        "model": "GaitPart",
        "backbone_cfg": {"type": "Plain", "layers_cfg": ["BC-8", "M", "FC-16-1"]},
        "SeparateFCs": {"in_channels": 16, "out_channels": 6, "parts_num": 4},
        "bin_num": [4],
    }
    return {"data_cfg": {"dataset_name": "GREW"}, "model_cfg": model | changes}


def test_settings_follow_the_config():
    settings = opengait.read(config(), {}).settings
    assert settings == {
        "layers": ("BC-8", "M", "FC-16-1"),
        "size": (64, 44),
        "bins": (4,),
        "embedding": 6,
        "normalise_fcs": False,
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone_cfg": {"type": "ResNet9"}}, r"backbone_cfg\.layers_cfg: missing"),
        (
            {"backbone_cfg": {"type": "ResNet9", "layers_cfg": ["BC-8"]}},
            "'ResNet9'; GaitPart takes Plain",
        ),
        ({"bin_num": None}, r"bin_num: None; give a list of positive integers"),
        ({"bin_num": [4, 2]}, "parts_num: 4, but the layers before it give 6"),
        (
            {"SeparateFCs": {"in_channels": 8, "out_channels": 6, "parts_num": 4}},
            "in_channels: 8, but the layers before it give 16",
        ),
    ],
)
def test_a_wrong_key_is_named(changes, message):
    with pytest.raises(ConfigError, match=message):
        opengait.read(config(**changes), {})
