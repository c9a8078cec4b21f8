"""Blocks, pooling, heads and time against plain torch and brute force."""

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from nasgait.core.errors import ConfigError
from nasgait.nn.blocks import SPOSGAIT_BLOCKS, ChoiceBlock, Conv2d, Conv3d, parse_block
from nasgait.nn.heads import BNNecks, SeparateFCs
from nasgait.nn.pooling import (
    GeMPyramid,
    HorizontalPyramid,
    packed_max,
    spatial_max,
    temporal_max,
)
from nasgait.nn.temporal import (
    check_lengths,
    hide,
    hide_,
    pack,
    repeat_short,
    valid_after_lta,
    valid_mask,
)


@pytest.mark.parametrize("text", ["3x3", "", "3x3x3+", "2x3x3", "axbxc", "3x3x3 + 3x1x1"])
def test_malformed_blocks_are_refused(text):
    with pytest.raises(ValueError, match=r"no block|odd"):
        parse_block(text)


def test_blocks_are_written_time_height_width():
    assert parse_block("3x1x1+1x3x5") == ((3, 1, 1), (1, 3, 5))


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("frames", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("kernel", [(3, 3, 3), (3, 1, 3), (3, 1, 1), (5, 1, 1)])
def test_bfloat16_gradients_of_few_frames(kernel, frames, channels_last):
    """A kernel longer than the clip must not bring in what the memory held before."""
    torch.manual_seed(0)
    conv = Conv3d(16, 32, kernel)
    x, slope = torch.randn(2, 16, frames, 8, 6), torch.randn(2, 32, frames, 8, 6)
    exact = Conv3d(16, 32, kernel).double()
    exact.load_state_dict(conv.state_dict())
    (exact(x.double()) * slope).sum().backward()
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last_3d)
    # Freed memory of nonsense, for whoever reads before writing.
    nonsense = [torch.full((size,), torch.nan) for size in range(500, 20_000, 500)]
    del nonsense
    with torch.autocast("cpu", torch.bfloat16):
        y = conv(x)
    (y.float() * slope).sum().backward()
    gap = (conv.weight.grad - exact.weight.grad).abs().max()
    assert gap <= 0.03 * exact.weight.grad.abs().max()


STRIDED = """
import torch
from nasgait.nn.blocks import Conv2d
torch.set_num_threads(2)
conv = Conv2d(8, 16, 1, stride=2)
for _ in range(200):
    x = torch.randn(19, 8, 32, 22).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        conv(x).sum().backward()
    list(map(torch.rand, (10, 100, 1000, 10000)))
"""


def test_strided_1x1_convolutions_leave_other_memory_alone():
    """In a process of its own, which a write beyond the end would bring down."""
    done = subprocess.run([sys.executable, "-c", STRIDED], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "kernel", [(3, 3, 3), (3, 1, 3), (3, 3, 1), (3, 1, 1), (1, 1, 1), (1, 3, 3)]
)
def test_conv3d_equals_torch_and_counts_the_same(channels, kernel):
    torch.manual_seed(0)
    conv = Conv3d(channels, 4, kernel).double()
    x = torch.randn(2, channels, 5, 6, 7, dtype=torch.float64)
    with FlopCounterMode(display=False) as ours:
        y = conv(x)
    with FlopCounterMode(display=False) as theirs:
        wanted = F.conv3d(x, conv.weight, padding=conv.padding)
    torch.testing.assert_close(y, wanted)
    assert ours.get_total_flops() == theirs.get_total_flops()


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(4, 5, 7), (5, 6, 7), (5, 7, 6), (5, 5, 7)])
@pytest.mark.parametrize(
    "kernel", [(3, 3, 3), (3, 1, 3), (3, 3, 1), (3, 1, 1), (1, 1, 1), (1, 3, 3)]
)
def test_conv3d_of_a_single_sequence(kernel, size, stride):
    """In float32, where one sequence goes another way than a batch, cut where it is even."""
    torch.manual_seed(0)
    conv, x = Conv3d(3, 4, kernel, stride), torch.randn(1, 3, *size, requires_grad=True)
    y = conv(x)
    exact, z = Conv3d(3, 4, kernel, stride).double(), x.detach().double().requires_grad_()
    exact.load_state_dict(conv.state_dict())
    wanted = F.conv3d(z, exact.weight, None, exact.stride, exact.padding)
    weights = torch.randn_like(wanted)
    (y * weights.float()).sum().backward()
    (wanted * weights).sum().backward()
    torch.testing.assert_close(y, wanted.float())
    torch.testing.assert_close(x.grad, z.grad.float())
    torch.testing.assert_close(conv.weight.grad, exact.weight.grad.float(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("channels", "kernel", "stride"), [(1, 5, 1), (1, 3, 2), (3, 3, 1), (1, 1, 1)]
)
def test_conv2d_equals_torch_and_counts_the_same(channels, kernel, stride):
    torch.manual_seed(0)
    conv = Conv2d(channels, 4, kernel, stride).double()
    x = torch.randn(3, channels, 6, 7, dtype=torch.float64)
    with FlopCounterMode(display=False) as ours:
        y = conv(x)
    with FlopCounterMode(display=False) as theirs:
        wanted = F.conv2d(x, conv.weight, padding=kernel // 2, stride=stride)
    torch.testing.assert_close(y, wanted)
    assert ours.get_total_flops() == theirs.get_total_flops()


@pytest.mark.parametrize("text", SPOSGAIT_BLOCKS)
def test_padded_block_gives_what_each_sequence_gives_alone(text):
    torch.manual_seed(0)
    block = ChoiceBlock(2, 4, parse_block(text), relu=True).double().eval()
    x = torch.randn(2, 2, 7, 6, 5, dtype=torch.float64)
    y = block(x, valid_mask(torch.tensor([7, 3]), 7))
    torch.testing.assert_close(y[1, :, :3], block(x[1:, :, :3])[0])


def test_spatial_max_equals_max_pool3d_and_keeps_half_precision():
    x = torch.randn(2, 3, 4, 7, 5)
    for with_gradient in (False, True):
        x.requires_grad_(with_gradient)
        assert torch.equal(spatial_max(x), F.max_pool3d(x, (1, 2, 2)))
    x.requires_grad_(False)
    with torch.autocast("cpu", torch.bfloat16):
        assert spatial_max(x.bfloat16()).dtype == torch.bfloat16


def test_temporal_max_ignores_padding():
    x = torch.arange(24.0).view(2, 1, 4, 3, 1)
    y = temporal_max(x, valid_mask(torch.tensor([4, 2]), 4))
    assert torch.equal(y[1], x[1, :, 1])
    assert torch.equal(temporal_max(x), x.amax(2))


@pytest.mark.parametrize("channels_last", [False, True])
def test_temporal_max_is_the_same_with_a_gradient(channels_last):
    """Without one it compares rows; with one the earliest of equal frames takes it."""
    x = torch.randint(3, (2, 4, 5, 3, 2)).float()
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last_3d)
    wanted, earliest = x.max(2)
    learnt = x.clone().requires_grad_()
    y = temporal_max(learnt)
    assert torch.equal(temporal_max(x), wanted) and torch.equal(y, wanted)
    y.sum().backward()
    assert torch.equal(learnt.grad.argmax(2), earliest)


def test_pyramids_by_hand():
    x = torch.rand(2, 3, 8, 5, dtype=torch.float64)
    mean_max, gem = HorizontalPyramid((4, 1)), GeMPyramid((4, 1), p=3.0).double()
    strips = [x[:, :, 2 * i : 2 * i + 2].flatten(2) for i in range(4)] + [x.flatten(2)]
    for i, strip in enumerate(strips):
        torch.testing.assert_close(mean_max(x)[..., i], strip.mean(-1) + strip.amax(-1))
        torch.testing.assert_close(gem(x)[..., i], strip.pow(3).mean(-1).pow(1 / 3))


def test_strips_of_a_height_that_is_no_multiple():
    """As published: equal runs of pixels, which end within rows."""
    x = torch.rand(2, 3, 6, 4, dtype=torch.float64)
    runs = x.reshape(2, 3, 24).split(3, dim=2)
    mean_max, gem = HorizontalPyramid((8, 3)), GeMPyramid((8, 3), p=3.0).double()
    for i, run in enumerate((*runs, *x.split(2, dim=2))):
        run = run.flatten(2)
        torch.testing.assert_close(mean_max(x)[..., i], run.mean(-1) + run.amax(-1))
        torch.testing.assert_close(gem(x)[..., i], run.pow(3).mean(-1).pow(1 / 3))
    for pooling in (HorizontalPyramid((5,)), GeMPyramid((5,))):
        with pytest.raises(ConfigError, match="into 5 equal strips"):
            pooling(x)


def test_gem_clamps_and_widens():
    gem = GeMPyramid((1,))
    x = torch.full((1, 1, 2, 2), -1.0, dtype=torch.bfloat16)
    y = gem(x)
    assert y.dtype == torch.float32
    assert 0 <= y.item() <= 2e-6


def test_heads_by_hand_and_in_full_precision_under_autocast():
    torch.manual_seed(0)
    fcs, neck = SeparateFCs(3, 5, 4), BNNecks(3, 4, 7)
    x = torch.randn(6, 5, 3)
    with torch.autocast("cpu", torch.bfloat16):
        y = fcs(x)
        logits = neck(y)
    assert y.dtype == logits.dtype == torch.float32
    torch.testing.assert_close(y, torch.einsum("nip,pio->nop", x, fcs.fc_bin))
    assert logits.shape == (6, 7, 3)
    flat = y.reshape(6, 12)
    normal = ((flat - flat.mean(0)) / (flat.var(0, unbiased=False) + 1e-5).sqrt()).view(6, 4, 3)
    wanted = torch.einsum(
        "ncp,pck->nkp", F.normalize(normal, dim=1), F.normalize(neck.fc_bin, dim=1)
    )
    torch.testing.assert_close(logits, wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("lengths", [[0, 2], [3, 5], [2]])
def test_impossible_lengths_are_refused(lengths):
    with pytest.raises(ValueError, match="lengths"):
        check_lengths(torch.zeros(2, 4, 3, 3), torch.tensor(lengths))


@given(st.lists(st.integers(1, 7), min_size=1, max_size=5), st.integers(1, 9))
def test_short_sequences_are_repeated_whole(lengths, minimum):
    frames = max(lengths)
    x = torch.arange(len(lengths) * frames).view(len(lengths), frames, 1, 1)
    y, longer = repeat_short(x, torch.tensor(lengths), minimum)
    for row, length in enumerate(lengths):
        alone, _ = repeat_short(x[row : row + 1, :length], None, minimum)
        assert alone.shape[1] >= min(minimum, alone.shape[1])
        assert longer[row] == alone.shape[1] >= length
        assert longer[row] >= minimum
        assert torch.equal(y[row, : longer[row]], alone[0])


@given(st.lists(st.integers(3, 20), min_size=1, max_size=4))
def test_mask_after_lta_counts_whole_triples(lengths):
    frames = max(lengths)
    mask = valid_after_lta(valid_mask(torch.tensor(lengths), frames))
    assert mask.shape[2] == frames // 3
    assert mask.sum((1, 2, 3, 4)).tolist() == [length // 3 for length in lengths]


def test_packing_and_its_maximum():
    x = torch.randn(3, 4, 2, 2)
    lengths = torch.tensor([4, 1, 3])
    frames, valid = pack(x, lengths)
    assert frames.shape == (8, 1, 2, 2)
    y = packed_max(frames, 3, valid)
    for row, length in enumerate(lengths):
        assert torch.equal(y[row, 0], x[row, :length].amax(0))
    frames, valid = pack(x, None)
    assert torch.equal(packed_max(frames, 3, valid)[:, 0], x.amax(1))


@pytest.mark.parametrize("lengths", [[5, 3, 1], [5, 5, 5], [2, 5, 4]])
def test_padding_is_hidden_in_place_as_in_a_copy(lengths):
    x = torch.rand(3, 2, 5, 4, 3).to(memory_format=torch.channels_last_3d)
    valid = valid_mask(torch.tensor(lengths), 5)
    expected = hide(x, valid)
    assert all(not expected[i, :, n:].any() for i, n in enumerate(lengths))
    assert torch.equal(hide_(x, valid), expected) and torch.equal(x, expected)
    assert hide_(x, None) is x
