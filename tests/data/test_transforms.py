"""Cutting, reducing, scaling and random changes, against the published code and OpenCV."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nasgait.config.schema import AugmentConfig
from nasgait.core.errors import ConfigError
from nasgait.core.rng import generator
from nasgait.data.transforms import (
    Changes,
    apply_changes,
    check_augment,
    cut_columns,
    draw_changes,
    fit,
    reduction,
)

ALL = AugmentConfig(
    flip=0.5, rotate=0.5, perspective=0.5, perspective_shift=0.15, erase=0.5, degrees=10
)


def picture(height, width, frames=3):
    """Smooth, asymmetric frames, on which interpolation errors stay small."""
    y, x = np.mgrid[:height, :width] / height
    frame = [
        np.exp(-(((x - 0.3) / 0.2) ** 2) - ((y - 0.4 - 0.05 * f) / 0.3) ** 2) for f in range(9)
    ]
    return torch.tensor(np.array(frame[:frames]), dtype=torch.float32)


def augment(silhouettes, config, rng):
    """Silhouettes [n, s, h, w], each sequence changed by its own draw."""
    changes = draw_changes(len(silhouettes), tuple(silhouettes.shape[-2:]), config, rng)
    return silhouettes if changes is None else apply_changes(silhouettes, changes)


def drawn(**probabilities):
    """Many drawn changes of 64 x 44 frames, one kind switched on for all of them."""
    changes = draw_changes(500, (64, 44), AugmentConfig(**probabilities), generator(0, "t"))
    assert changes is not None
    return changes


# Fitting ------------------------------------------------------------------------------------


def test_all_bytes_are_divided_not_multiplied():
    ours = fit(np.arange(256, dtype=np.uint8).reshape(1, 16, 16), (16, 16)).numpy().ravel()
    assert np.array_equal(ours, (np.arange(256) / 255.0).astype(np.float32))


@pytest.mark.parametrize(
    "stored, size, factor", [(64, (32, 22), 2), (128, (64, 44), 2), (128, (32, 22), 4)]
)
def test_reduction_is_the_exact_mean(stored, size, factor):
    frames = np.random.default_rng(0).integers(0, 256, (2, 5, stored, stored), dtype=np.uint8)
    cut = stored // 64 * 10
    blocks = frames[..., cut:-cut].astype(np.float64)
    blocks = blocks.reshape(2, 5, size[0], factor, size[1], factor).mean((3, 5)) / 255
    ours = fit(frames, size).numpy()
    assert np.abs(ours - blocks).max() <= np.spacing(np.float32(1)) / 2


def test_fit_takes_tensors_and_any_leading_dimensions():
    frames = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)
    assert torch.equal(fit(frames, (32, 22)), fit(frames[None].numpy(), (32, 22))[0])


def test_fit_leaves_its_input_alone():
    frames = torch.randint(0, 256, (3, 64, 44), dtype=torch.uint8)
    before = frames.clone()
    fit(frames, (32, 22))
    assert torch.equal(frames, before)


@pytest.mark.parametrize(
    "frame, size",
    [
        ((64, 64), (48, 33)),
        ((64, 44), (128, 88)),
        ((64, 64), (32, 44)),
        ((64, 44), (32, 44)),
        ((64, 64), (64, 45)),
        ((64, 64), (64, 0)),
    ],
)
def test_frames_that_do_not_reduce(frame, size):
    with pytest.raises(
        ConfigError, match=rf"frames of {frame[0]} x {frame[1]}.*{size[0]} x {size[1]}"
    ):
        reduction(frame, size)


def test_columns_are_cut_to_the_proportions_of_the_network():
    assert cut_columns((64, 64), (64, 64)) == 0
    assert cut_columns((128, 128), (128, 88)) == 20
    assert cut_columns((128, 128), (64, 44)) == 20
    assert cut_columns((64, 64), (64, 54)) == 5
    assert cut_columns((64, 64), (32, 22)) == 10
    assert cut_columns((64, 44), (32, 22)) == 0


# Changes, one by one --------------------------------------------------------------------------


def test_nothing_switched_on_costs_nothing():
    x = torch.rand(2, 3, 64, 44)
    assert augment(x, AugmentConfig(), generator(0, "t")) is x


def test_flip_is_exact():
    x = torch.rand(4, 3, 64, 44)
    flipped = augment(x, AugmentConfig(flip=1), generator(0, "t"))
    assert torch.equal(flipped, torch.from_numpy(x.numpy()[..., ::-1].copy()))


def test_flip_probability():
    assert 0.23 < drawn(flip=0.3).flip.mean() < 0.37
    assert drawn(flip=1.0).flip.all()


def test_rotation_is_that_of_opencv():
    x = picture(64, 44)
    changes = drawn(rotate=1.0, degrees=10)
    assert changes.warped.all()
    for row in range(5):
        cos_sin = changes.source[row, 0, 0], changes.source[row, 1, 0]
        angle = np.degrees(np.arctan2(cos_sin[1], cos_sin[0]))
        matrix = cv2.getRotationMatrix2D(((44 - 1) / 2, (64 - 1) / 2), angle, 1)
        theirs = np.stack([cv2.warpAffine(frame, matrix, (44, 64)) for frame in x.numpy()])
        ours = apply_changes(x[None], changes[row : row + 1])[0].numpy()
        # OpenCV rounds coordinates to 1/32 pixel; a wrong direction is off by 0.1 and more.
        assert np.abs(ours - theirs).max() < 6e-3
        flags = cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR
        backwards = [cv2.warpAffine(f, matrix, (44, 64), flags=flags) for f in x.numpy()]
        if abs(angle) > 3:
            assert np.abs(ours - np.stack(backwards)).max() > 0.05


def test_angles_are_uniform():
    source = drawn(rotate=1.0, degrees=10).source
    angles = np.degrees(np.arctan2(source[:, 1, 0], source[:, 0, 0]))
    assert -10 < angles.min() < -9.5 and 9.5 < angles.max() < 10
    assert abs(np.histogram(angles, 4)[0] / 500 - 0.25).max() < 0.07


def corners(source, size):
    """Where the frame's corners (top left, top right, bottom right, bottom left) come from."""
    bottom, right = size[0] - 0.5, size[1] - 0.5
    points = np.array([[-0.5, -0.5, 1], [right, -0.5, 1], [right, bottom, 1], [-0.5, bottom, 1]])
    there = np.einsum("nij,kj->nki", source, points)
    return there[..., :2] / there[..., 2:]


@pytest.mark.parametrize("size", [(64, 64), (64, 44)])
def test_perspective_is_that_of_opencv_on_the_square_frame(size):
    # Published: the 64 x 64 frame is warped by up to 10 of its columns, and cut then.
    whole = picture(64, 64)
    config = AugmentConfig(perspective=1.0, perspective_shift=10 / 64)
    changes = draw_changes(500, size, config, generator(1, "t"))
    assert changes is not None
    square = draw_changes(500, (64, 64), config, generator(1, "t"))
    assert square is not None
    cut = slice(10, 54) if size == (64, 44) else slice(0, 64)
    frame = np.array([[-0.5, -0.5], [63.5, -0.5], [63.5, 63.5], [-0.5, 63.5]], np.float32)
    for row, inside in enumerate(corners(square.source, (64, 64))[:8]):
        matrix = cv2.getPerspectiveTransform(inside.astype(np.float32), frame)
        theirs = [cv2.warpPerspective(f, matrix, (64, 64))[:, cut] for f in whole.numpy()]
        ours = apply_changes(whole[None, ..., cut], changes[row : row + 1])[0].numpy()
        inner = slice(10, -10) if size == (64, 44) else slice(None)
        assert np.abs(ours - np.stack(theirs))[..., inner].max() < 6e-3


def test_perspective_moves_each_corner_inwards_along_its_edge():
    config = AugmentConfig(perspective=1.0, perspective_shift=0.15)
    changes = draw_changes(500, (64, 64), config, generator(0, "t"))
    assert changes is not None
    there = corners(changes.source, (64, 64))
    assert np.allclose(there[:, :2, 1], -0.5) and np.allclose(there[:, 2:, 1], 63.5)
    moved = np.stack(
        [there[:, 0, 0] + 0.5, 63.5 - there[:, 1, 0], 63.5 - there[:, 2, 0], there[:, 3, 0] + 0.5]
    )
    assert (moved > -1e-9).all() and (moved <= 0.15 * 64 + 1e-9).all()
    assert np.allclose(moved.mean(axis=1), 0.15 * 64 / 2, atol=0.4)
    assert np.abs(np.corrcoef(moved) - np.eye(4)).max() < 0.15


def test_rotation_and_perspective_together_are_one_after_the_other():
    x = picture(64, 44)
    both = draw_changes(6, (64, 44), AugmentConfig(rotate=1, perspective=1), generator(2, "t"))
    turn = draw_changes(6, (64, 44), AugmentConfig(rotate=1), generator(2, "t"))
    stretch = draw_changes(6, (64, 44), AugmentConfig(perspective=1), generator(2, "t"))
    assert both is not None and turn is not None and stretch is not None
    frames = x.expand(6, -1, -1, -1)
    steps = apply_changes(apply_changes(frames, stretch), turn)
    # The middle only: between two resamplings, what leaves the frame is lost.
    inner = (..., slice(12, 52), slice(10, 34))
    assert torch.allclose(apply_changes(frames, both)[inner], steps[inner], atol=0.02)


@pytest.mark.parametrize("size", [(64, 44), (32, 22), (64, 64), (44, 64), (8, 60)])
@pytest.mark.parametrize("area", [(0.02, 0.2), (0.05, 0.05), (0.0, 1.0), (0.6, 0.9)])
def test_erased_rectangles_keep_to_area_aspect_and_frame(size, area):
    config = AugmentConfig(erase=1, erase_area=area)
    changes = draw_changes(800, size, config, generator(0, "t"))
    assert changes is not None
    top, bottom, left, right = changes.erased.T
    assert (top >= 0).all() and (bottom <= size[0]).all()
    assert (left >= 0).all() and (right <= size[1]).all()
    rows, columns = bottom - top, right - left
    pixels = size[0] * size[1]
    rounding = (rows + columns) / 2 + 0.25  # each side is rounded by half a pixel at most
    assert (rows * columns >= area[0] * pixels - rounding).all()
    assert (rows * columns <= area[1] * pixels + rounding).all()
    if size == (64, 44) and area == (0.02, 0.2):
        aspect = rows / columns
        assert aspect.min() < 0.45 and aspect.max() > 2.8
        assert (aspect > 0.2).all() and (aspect < 4.6).all()
        assert top.min() == 0 and bottom.max() == 64 and left.min() == 0 and right.max() == 44


def test_erasing_blanks_the_rectangle_in_all_frames_and_nothing_else():
    x = torch.rand(20, 3, 64, 44) + 0.1
    changes = draw_changes(20, (64, 44), AugmentConfig(erase=0.5), generator(0, "t"))
    assert changes is not None
    out = apply_changes(x, changes)
    for row, (top, bottom, left, right) in enumerate(changes.erased.tolist()):
        expected = x[row].clone()
        expected[:, top:bottom, left:right] = 0
        assert torch.equal(out[row], expected)
    assert 4 <= (changes.erased.any(axis=1)).sum() <= 16


# All together -----------------------------------------------------------------------------------


def test_the_input_is_left_alone():
    x = torch.rand(8, 3, 32, 22)
    before = x.clone()
    augment(x, ALL, generator(0, "t"))
    assert torch.equal(x, before)


def test_all_frames_of_a_sequence_change_alike():
    x = torch.rand(16, 1, 32, 22).expand(16, 5, 32, 22)
    out = augment(x, ALL, generator(0, "t"))
    assert torch.equal(out, out[:, :1].expand_as(out))


def test_values_stay_in_range():
    out = augment(torch.rand(32, 4, 64, 44), ALL, generator(0, "t"))
    assert out.shape == (32, 4, 64, 44) and out.dtype == torch.float32
    assert out.min() >= 0 and out.max() <= 1


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 99), st.integers(0, 12))
def test_a_part_of_the_batch_is_changed_as_in_the_whole(seed, split):
    x = torch.rand(12, 3, 32, 22, generator=torch.Generator().manual_seed(seed))
    changes = draw_changes(12, (32, 22), ALL, generator(seed, "t"))
    assert changes is not None
    parts = [slice(0, split), slice(split, 12)]
    joined = torch.cat([apply_changes(x[part], changes[part]) for part in parts])
    assert torch.equal(joined, apply_changes(x, changes))


def test_switching_a_change_off_leaves_the_others_as_they_were():
    everything = draw_changes(50, (64, 44), ALL, generator(0, "t"))
    erase_only = draw_changes(50, (64, 44), AugmentConfig(erase=0.5), generator(0, "t"))
    assert isinstance(everything, Changes) and erase_only is not None
    assert np.array_equal(everything.erased, erase_only.erased)


def test_corners_that_meet():
    with pytest.raises(ConfigError, match=r"augment.perspective_shift is 0.5.*below 0.5"):
        check_augment(AugmentConfig(perspective_shift=0.5))


def test_swapped_area():
    with pytest.raises(ConfigError, match=r"augment.erase_area is \[0.3, 0.1\]"):
        check_augment(AugmentConfig(erase_area=(0.3, 0.1)))
