"""The published size normalisation, against its steps written out one by one."""

import cv2
import numpy as np
import pytest

from nasgait.data.normalise import fit_frames, normalise


def published(image: np.ndarray, height: int) -> np.ndarray | None:
    """The rule as GaitSet and OpenGait publish it: pixel sums, rows, resize, centre, pad, cut."""
    if int(image.astype(np.int64).sum()) <= 10000:
        return None
    top, bottom = 0, image.shape[0] - 1
    while image[top].max() == 0:
        top += 1
    while image[bottom].max() == 0:
        bottom -= 1
    image = image[top : bottom + 1]
    ratio = image.shape[1] / image.shape[0]
    width = int(height * ratio)
    if width == 0:
        return None  # the published code stops with an error of OpenCV
    image = cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
    total, passed, centre = int(image.astype(np.int64).sum()), 0, None
    for column in range(width):
        passed += int(image[:, column].astype(np.int64).sum())
        if passed > total / 2:
            centre = column
            break
    if not centre:
        return None
    left, right = centre - height // 2, centre + height // 2
    if left <= 0 or right >= width:
        side = np.zeros((height, height // 2), np.uint8)
        image = np.concatenate([side, image, side], axis=1)
        left, right = left + height // 2, right + height // 2
    return image[:, left:right]


def blob(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """One or more ellipses, partly outside; grey ones too, and single pixels."""
    image = np.zeros((height, width), np.uint8)
    for _ in range(int(rng.integers(1, 4))):
        centre = (int(rng.integers(-5, width + 5)), int(rng.integers(-5, height + 5)))
        axes = (int(rng.integers(1, max(2, width // 2))), int(rng.integers(1, max(2, height // 2))))
        value = 255 if rng.random() < 0.8 else int(rng.integers(1, 255))
        cv2.ellipse(image, centre, axes, float(rng.integers(180)), 0, 360, value, -1)
    image[rng.random(image.shape) < 0.001] = 255
    return image


def at_the_border(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A person whose middle lies within a few columns of one side."""
    image = np.zeros((height, width), np.uint8)
    near = int(rng.integers(0, min(6, width)))
    columns = slice(0, near + 1) if rng.random() < 0.5 else slice(width - 1 - near, None)
    image[rng.integers(0, height // 2) : rng.integers(height // 2 + 1, height + 1), columns] = 255
    return image


SHAPES = {
    "tall": ((60, 400), (20, 90)),
    "wide": ((20, 80), (100, 500)),
    "camera": ((240, 241), (320, 321)),
    "as the store": ((64, 65), (64, 65)),
    "narrow": ((60, 300), (1, 12)),
    "flat": ((1, 8), (60, 300)),
}
THIN = ("narrow", "flat")
"""Pictures that may hold too little of a person, all of them."""


@pytest.mark.parametrize("picture", [blob, at_the_border])
@pytest.mark.parametrize("height", [64, 128, 32])
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_the_published_steps_pixel_for_pixel(picture, height, shape):
    rng = np.random.default_rng([height, list(SHAPES).index(shape), picture is blob])
    found = []
    for _ in range(40):
        rows, columns = (int(rng.integers(*bounds)) for bounds in SHAPES[shape])
        if picture is at_the_border and rows < 4:
            rows = 4
        image = picture(rng, rows, columns)
        wanted, ours = published(image, height), normalise(image, (height, height))
        found.append(wanted is not None)
        if wanted is None:
            assert ours is None
        else:
            assert ours is not None and np.array_equal(ours, wanted), (image.shape, height)
            assert ours.dtype == np.uint8 and ours.shape == (height, height)
    assert any(found) or shape in THIN


@pytest.mark.parametrize("total, shown", [(10_000, False), (10_001, True)])
def test_the_threshold_is_above_ten_thousand(total, shown):
    image = np.zeros((40, 60), np.uint8)
    image[10:20, 30:34] = 250
    image[10, 40] = total - int(image.sum())
    assert (normalise(image, (64, 64)) is not None) == shown


def test_the_sum_of_a_large_picture_does_not_overflow():
    image = np.full((4200, 4200), 255, np.uint8)
    assert normalise(image, (64, 64)) is not None


def test_frames_of_the_size_are_kept_or_normalised():
    image = np.zeros((64, 64), np.uint8)
    image[20:50, 5:20] = 255
    kept, dropped = fit_frames([image, image * 0], (64, 64))
    assert dropped == 1 and np.array_equal(kept, image[None])
    changed, dropped = fit_frames([image, image * 0], (64, 64), keep=False)
    assert dropped == 1 and np.array_equal(changed[0], published(image, 64))


def test_a_line_is_not_scaled_to_gigabytes():
    assert normalise(np.full((1, 2**22), 255, np.uint8), (64, 64)) is None
