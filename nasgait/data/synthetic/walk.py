"""One recorded walk: from a walker on a day, in front of a camera, to silhouettes."""

from dataclasses import dataclass, replace

import numpy as np

from nasgait.data.synthetic.body import Body
from nasgait.data.synthetic.camera import Camera, project
from nasgait.data.synthetic.covariates import (
    Segmentation,
    draw_outfit,
    draw_segmentation,
    occlude,
    segment,
)
from nasgait.data.synthetic.motion import (
    ANGULAR,
    CHANNELS,
    FRAMES_PER_SECOND,
    Dynamics,
    angles,
    phases,
)
from nasgait.data.synthetic.render import SIZE, masks, size_normalised
from nasgait.data.synthetic.skeleton import skeleton
from nasgait.data.synthetic.solids import Outfit, solids
from nasgait.data.synthetic.spreads import SESSIONS

SHORTEST, LONGEST = 20, 120
"""Frames of a walk."""


@dataclass(frozen=True)
class Walk:
    """How a walker moves on one day: kind of the walk, clothes, times of the frames.

    ``times``: whole numbers of camera ticks [s], rising, with gaps where frames were lost;
    ``phase`` [s] of the cycle; ``pace``: factor on the cadence.
    """

    kind: str
    outfit: Outfit
    dynamics: Dynamics
    pace: float
    times: np.ndarray
    phase: np.ndarray


def draw_walk(kind: str, dynamics: Dynamics, lossy: bool, rng: np.random.Generator) -> Walk:
    """Draw a walk of a walker; ``lossy`` loses frames and varies the length."""
    outfit = draw_outfit(kind, rng)
    change = float(rng.choice([0.8, 1.2]))
    speed = change if kind == "sp" else 1.0
    pace = float(speed**0.6 * np.exp(rng.normal(0, SESSIONS.cadence)))
    frames = round(float(np.exp(rng.uniform(np.log(SHORTEST), np.log(LONGEST)))))
    gaps = 1 + (rng.random(LONGEST) < 0.04) * rng.geometric(0.5, LONGEST)
    if not lossy:
        frames, gaps = int(rng.integers(60, 91)), np.ones(LONGEST, int)
    times = np.cumsum(gaps)[:frames]
    today = _today(dynamics, outfit, speed, rng)
    phase = phases(int(times[-1]) + 1, today, pace, rng)[times]
    return Walk(kind, outfit, today, pace, times, phase)


def _today(dynamics: Dynamics, outfit: Outfit, speed: float, rng: np.random.Generator) -> Dynamics:
    """A walker's curves on one day, changed by mood, speed, clothes and load."""
    curves = dynamics.curves.copy()
    posture = np.radians(rng.normal(0, SESSIONS.posture, len(CHANNELS)))
    legs = [i for i, name in enumerate(CHANNELS) if name.startswith(("hip", "knee", "ankle"))]
    posture[legs] /= 3
    curves[:, 0] += posture * ANGULAR
    curves[:, 1:] *= np.exp(rng.normal(0, SESSIONS.amplitude, (len(CHANNELS), 1)))

    def scale(names: str, factor: float) -> None:
        chosen = [i for i, name in enumerate(CHANNELS) if name.startswith(names)]
        curves[chosen, 1:] *= factor

    for names in ("hip", "pelvis_yaw", "trunk"):
        scale(names, speed**0.5)
    for names in ("shoulder", "elbow"):
        scale(names, speed)
        scale(names, 0.85 if outfit.coat else 1.0)
    loaded = "l" if outfit.bag_side > 0 else "r"
    if outfit.bag == "hand":
        scale(f"shoulder_{loaded}", 0.5)
        scale(f"elbow_{loaded}", 0.2)
        curves[CHANNELS.index(f"elbow_{loaded}"), 0] = np.radians(8)
    elif outfit.bag == "backpack":
        curves[CHANNELS.index("trunk_pitch"), 0] += np.radians(4)
    return replace(dynamics, curves=curves)


def wild_camera(yaw: float, walk: Walk, rng: np.random.Generator) -> Camera:
    """A camera in the street, at any height and not too near to the path."""
    path = walk.times[-1] / FRAMES_PER_SECOND * 1.3 * walk.pace
    return Camera(
        yaw=yaw,
        distance=float(max(rng.uniform(5, 14), 1.4 * path)),
        height=float(rng.uniform(1.0, 3.0)),
        roll=float(np.radians(rng.normal(0, 2))),
        pixels=float(rng.uniform(90, 160)),
    )


def lab_camera(yaw: float) -> Camera:
    """One of the cameras around the laboratory."""
    return Camera(yaw=yaw, distance=8.0, height=1.4, roll=0.0, pixels=130.0)


def wild_silhouettes(
    body: Body, walk: Walk, camera: Camera, rng: np.random.Generator
) -> np.ndarray:
    """Silhouettes with the faults of the wild: uint8 [s, 64, 64], 0 or 255."""
    clean = draw(body, walk, camera)
    rough = segment(clean.copy(), draw_segmentation(rng), rng)
    if walk.kind == "oc":
        occlude(rough, rng)
    return normalised(rough, clean)


def lab_silhouettes(body: Body, walk: Walk, camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """Silhouettes from a quiet background: uint8 [s, 64, 64], 0 or 255."""
    clean = draw(body, walk, camera)
    return normalised(segment(clean.copy(), Segmentation(0.06, 0.0, 0.3), rng), clean)


def draw(body: Body, walk: Walk, camera: Camera) -> np.ndarray:
    """The walker's masks before any fault: uint8 [s, h, w], 0 or 255."""
    dynamics = walk.dynamics
    angle = angles(dynamics.curves, walk.phase)
    at, frame = skeleton(body, angle, dynamics.step_half, dynamics.toe_out)
    seen = solids(body, at, frame, walk.outfit)
    forward = (walk.times - walk.times.mean()) / FRAMES_PER_SECOND
    forward = forward * _stride(body, angle) * dynamics.cadence * walk.pace
    return masks(*project(seen.stacked(), forward, body.stature, camera), seen.hulls)


def _stride(body: Body, angle: dict[str, np.ndarray]) -> float:
    """Metres in a cycle: twice what the legs open, with the feet's roll."""
    opened = float(np.ptp(np.sin(angle["hip_l"]))) * (body.thigh + body.shank) + 0.3 * body.foot
    return 2 * opened * body.stature


def normalised(rough: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """Size-normalise masks [s, h, w]; a frame with hardly anything left is taken from ``clean``."""
    enough = 0.3 * (clean > 0).sum((1, 2))
    visible = (rough > 0).sum((1, 2)) >= enough
    frames = np.empty((len(rough), SIZE, SIZE), np.uint8)
    for out, faulty, whole, good in zip(frames, rough, clean, visible, strict=True):
        picture = size_normalised(faulty if good else whole)
        if picture is None:
            picture = size_normalised(whole)
        assert picture is not None, "a walker is never invisible"
        out[:] = picture
    return frames
