"""A perspective camera that stands still and turns to follow the walker."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Camera:
    """Where the walk is seen from.

    ``yaw`` in radians: 0 sees the walker come, pi/2 from the left side, pi from behind;
    ``distance`` to the middle of the path and ``height`` in metres; ``roll`` in radians;
    ``pixels``: height of an upright walker in the picture at that distance.
    """

    yaw: float
    distance: float
    height: float
    roll: float
    pixels: float


def project(
    balls: np.ndarray, forward: np.ndarray, stature: float, camera: Camera
) -> tuple[np.ndarray, np.ndarray]:
    """Discs of balls in the picture.

    ``balls`` [s, b, 4] (x, y, z, radius in shares of the ``stature``), the walker being
    ``forward`` [s] metres along the path.  Returns centres [s, b, 2] (right, down, in
    pixels from where the camera aims, the walker's middle) and radii [s, b].
    """
    frames = len(balls)
    aim = np.zeros((frames, 3))
    aim[:, 0] = forward
    aim[:, 2] = 0.5 * stature
    turn = np.array([np.cos(camera.yaw), np.sin(camera.yaw)])
    eye = np.array([*(camera.distance * turn), camera.height])

    ahead = aim - eye
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    right = np.cross(ahead, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    down = np.cross(ahead, right)
    cos, sin = np.cos(camera.roll), np.sin(camera.roll)
    axes = np.stack([cos * right + sin * down, cos * down - sin * right, ahead], 1)

    world = balls[:, :, :3] * stature
    world[:, :, 0] += forward[:, None]
    seen = np.einsum("sij,sbj->sbi", axes, world - eye)
    scale = camera.pixels / stature * camera.distance / np.maximum(seen[:, :, 2], 0.5)
    return seen[:, :, :2] * scale[:, :, None], balls[:, :, 3] * stature * scale
