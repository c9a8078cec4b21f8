"""Bodies: segment lengths and girths of a walker."""

from dataclasses import dataclass, fields

import numpy as np

# Mean of each measure as a share of the stature.  Lengths follow Drillis and Contini
# (1966); radii are rounded from girths of adults.
_MEANS = {
    "thigh": 0.245,
    "shank": 0.246,
    "foot": 0.152,
    "ankle_height": 0.039,
    "trunk": 0.300,
    "neck": 0.050,
    "head": 0.130,
    "upper_arm": 0.180,
    "forearm": 0.150,
    "hand": 0.075,
    "shoulder_half": 0.105,
    "hip_half": 0.052,
    "thigh_radius": 0.047,
    "knee_radius": 0.033,
    "calf_radius": 0.032,
    "ankle_radius": 0.021,
    "upper_arm_radius": 0.027,
    "wrist_radius": 0.017,
    "chest_depth": 0.066,
    "chest_half": 0.088,
    "waist_depth": 0.058,
    "waist_half": 0.076,
    "pelvis_depth": 0.064,
    "pelvis_half": 0.090,
    "neck_radius": 0.030,
    "head_radius": 0.046,
    "hair": 0.006,
}
_LENGTHS = ("thigh", "shank", "trunk", "upper_arm", "forearm")
_LENGTH_SPREAD = 0.075
_GIRTH_SPREAD = 0.11
_BUILD_SPREAD = 0.11


@dataclass(frozen=True)
class Body:
    """Measures of a walker: ``stature`` in metres, all others in shares of it.

    ``*_radius`` and ``*_depth`` are radii, ``*_half`` half widths.
    """

    stature: float
    thigh: float
    shank: float
    foot: float
    ankle_height: float
    trunk: float
    neck: float
    head: float
    upper_arm: float
    forearm: float
    hand: float
    shoulder_half: float
    hip_half: float
    thigh_radius: float
    knee_radius: float
    calf_radius: float
    ankle_radius: float
    upper_arm_radius: float
    wrist_radius: float
    chest_depth: float
    chest_half: float
    waist_depth: float
    waist_half: float
    pelvis_depth: float
    pelvis_half: float
    neck_radius: float
    head_radius: float
    hair: float


def draw_body(rng: np.random.Generator) -> Body:
    """Draw a walker's body: log-normal measures that share a leg, a trunk and a build factor."""
    legs, trunk, build = rng.normal(0, [0.03, 0.03, _BUILD_SPREAD])
    measures: dict[str, float] = {"stature": float(np.clip(rng.normal(1.70, 0.09), 1.45, 2.0))}
    for name in (field.name for field in fields(Body) if field.name != "stature"):
        spread = _LENGTH_SPREAD if name in _LENGTHS else _GIRTH_SPREAD
        log = float(np.clip(rng.normal(0, spread), -2.5 * spread, 2.5 * spread))
        if name in ("thigh", "shank"):
            log += legs
        elif name in ("trunk", "neck"):
            log += trunk
        elif name.endswith(("_radius", "_depth", "_half")) and not name.startswith("head"):
            log += build if name.startswith(("waist", "thigh", "chest", "pelvis")) else build / 2
        elif name == "hair":
            log = rng.normal(0, 0.8)
        elif name == "head":
            log /= 2
        measures[name] = _MEANS[name] * float(np.exp(log))
    return Body(**measures)
