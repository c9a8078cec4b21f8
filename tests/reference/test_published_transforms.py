"""Cutting, division and changes of frames against the recorded outputs of the published ones.

Cutting and division are equal to the last bit.  The changes are drawn there from Python's own
generator: the tests draw the same numbers, hand them over as parameters and compare.
"""

import math
import random
import re

import cv2
import numpy as np
import pytest
import torch
from reference import load_json, load_npz, needs_reference

from nasgait.data.transforms import Changes, apply_changes, fit

pytestmark = needs_reference

RECORDS = ("transforms", "transforms_sposgait")
NOT_OURS = {
    ("transforms", "sil_div128"): "silhouettes are in 0..1 here, so the divisor is always 255",
    ("transforms", "parsing_cut_64_labels"): "a map of body parts, not silhouettes",
    ("transforms_sposgait", "cut_64_c0"): "SPOSGait's cutting=0 gives an empty array, a defect",
}
INTERPOLATION = 1 / 32
"""OpenCV rounds the place it reads to 1/32 pixel: half of that in each of two directions, times
the largest difference of neighbours, 1."""


def recorded(prefix: str) -> list:
    """(file, case) of every recorded output whose name starts so."""
    return [
        pytest.param(name, case, id=f"{name}-{case}")
        for name in RECORDS
        for case in load_json(name).get("facts", {})
        if case.startswith(prefix) and not case.endswith("_note")
    ]


def test_every_record_is_compared_or_said_not_to_be():
    compared = [
        tuple(case.values) for p in ("sil", "cut", "parsing", "aug") for case in recorded(p)
    ]
    for name in RECORDS:
        outputs = [case for case in load_json(name)["outputs"] if not case.startswith("x")]
        assert {(name, case) for case in outputs} <= set(compared)


@pytest.mark.parametrize("name, case", [*recorded("sil"), *recorded("cut"), *recorded("parsing")])
def test_cutting_and_division_are_exact(name, case):
    if (name, case) in NOT_OURS:
        pytest.skip(NOT_OURS[name, case])
    record = load_npz(name)
    source = record["x" + re.search(r"\d+", case)[0]]
    wanted = record[case].astype(np.float32)
    if case.endswith("_shape"):  # frames laid out otherwise before they are divided
        source = source.reshape(wanted.shape)
    assert np.array_equal(fit(source, wanted.shape[1:]).numpy(), wanted)


class Draws:
    """The numbers that a published change draws after seeding, for frames of h x w."""

    def __init__(self, seed: int, height: int, width: int) -> None:
        self.rng = random.Random(1000 + seed)
        self.height, self.width = height, width
        self.chance = self.rng.uniform(0, 1)

    def flip(self) -> bool:
        return self.chance < 0.5

    def erase(self) -> list[int]:
        """Top, bottom, left, right."""
        while True:
            area = self.rng.uniform(0.05, 0.2) * self.height * self.width
            aspect = self.rng.uniform(0.3, 1 / 0.3)
            rows, columns = (round(math.sqrt(side)) for side in (area * aspect, area / aspect))
            if rows < self.height and columns < self.width:
                top = self.rng.randint(0, self.height - rows)
                left = self.rng.randint(0, self.width - columns)
                return [top, top + rows, left, left + columns]

    def rotate(self) -> np.ndarray:
        """To the output, about the point with its coordinates swapped."""
        degrees = self.rng.uniform(-10, 10)
        centre = (self.height // 2, self.width // 2)
        return square(cv2.getRotationMatrix2D(centre, degrees, 1))

    def perspective(self) -> np.ndarray:
        """To the output, from a trapezoid of full height."""
        cutting = self.width // 44 * 10
        left, right = range(cutting), range(self.width - cutting, self.width)
        x = [self.rng.choice(side) for side in (left, right, left, right)]
        x = [x[0], x[1], x[3], x[2]]  # drawn top left, top right, bottom left, bottom right
        y = [0, 0, self.height, self.height]
        frame = [(0, 0), (self.width, 0), (self.width, self.height), (0, self.height)]
        points = np.float32(list(zip(x, y, strict=True)))
        return cv2.getPerspectiveTransform(points, np.float32(frame))

    def affine(self) -> np.ndarray:
        """To the output, between two triangles of drawn corners."""
        shifts = range(self.height // 64 * 10)
        triangles = []
        for _ in range(2):
            a, b, c, d, e, f = (self.rng.choice(shifts) for _ in range(6))
            triangles.append(np.float32([(a, b), (self.height - c, d), (e, self.width - f)]))
        return square(cv2.getAffineTransform(*triangles))


def square(matrix: np.ndarray) -> np.ndarray:
    return np.vstack([matrix, [0, 0, 1]])


def change(frames: np.ndarray, flip=False, to_output=None, box=(0, 0, 0, 0)) -> np.ndarray:
    """Our change with these parameters of frames [s, h, w]."""
    source = np.eye(3) if to_output is None else np.linalg.inv(to_output)
    changes = Changes(
        flip=np.array([flip]),
        warped=np.array([to_output is not None]),
        source=source[None],
        erased=np.array([box]),
    )
    silhouettes = torch.from_numpy(frames.astype(np.float32))[None]
    return apply_changes(silhouettes, changes)[0].numpy()


def opencv(frames: np.ndarray, kind: str, to_output: np.ndarray) -> np.ndarray:
    size = frames.shape[2], frames.shape[1]
    if kind == "perspective":
        return np.stack([cv2.warpPerspective(frame, to_output, size) for frame in frames])
    return np.stack([cv2.warpAffine(frame, to_output[:2], size) for frame in frames])


@pytest.mark.parametrize("name, case", recorded("aug"))
def test_changes_with_the_drawn_parameters(name, case):
    record = load_npz(name)
    _, kind, seed = case.split("_")
    frames, wanted = record["cut_64"], record[case].astype(np.float32)
    draws = Draws(int(seed[1:]), *frames.shape[1:])
    if kind == "flip":
        assert np.array_equal(change(frames, flip=draws.flip()), wanted)
    elif kind == "erase":
        assert np.array_equal(change(frames, box=draws.erase()), wanted)
    else:
        to_output = getattr(draws, kind)()
        ours = change(frames, to_output=to_output)
        assert np.abs(ours - wanted).max() <= INTERPOLATION
        # The parameters are those of the record: OpenCV gives the record itself.
        assert np.array_equal(opencv(frames, kind, to_output).astype(np.float32), wanted)
