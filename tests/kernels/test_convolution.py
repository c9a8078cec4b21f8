"""Convolutions of clips that are shorter than the kernel."""

import pytest
import torch

from nasgait.kernels.convolution import Conv3d

CHANNELS, OUT, KERNEL = 12, 24, (3, 3, 3)


def stale_memory() -> None:
    """Leave blocks of NaN for whoever asks for memory next."""
    for size in range(500, 200_000, 5_000):
        torch.full((size,), torch.nan)


@pytest.mark.parametrize("frames", [1, 2, 3])
@pytest.mark.parametrize(
    ("way", "gradients"),
    [(way, on) for way in ("autocast", "bfloat16") for on in (False, True)] + [("prepared", False)],
)
def test_a_short_clip_in_bfloat16_is_that_in_float64(frames, way, gradients):
    torch.manual_seed(0)
    conv = Conv3d(CHANNELS, OUT, KERNEL)
    x = torch.randn(2, CHANNELS, frames, 8, 11).contiguous(memory_format=torch.channels_last_3d)
    with torch.no_grad():
        wanted = torch.nn.functional.conv3d(x.double(), conv.weight.double(), padding=1)
    for _ in range(3):
        stale_memory()
        with torch.set_grad_enabled(gradients):
            if way == "autocast":
                with torch.autocast("cpu", torch.bfloat16):
                    y = conv(x)
            elif way == "prepared":
                y = conv.prepared(conv.weight.detach(), None, torch.bfloat16)(x)
            else:
                y = conv(x.bfloat16(), conv.weight.bfloat16())
        error = (y.detach().double() - wanted).norm() / wanted.norm()
        assert error < 0.02 and y.shape == wanted.shape
