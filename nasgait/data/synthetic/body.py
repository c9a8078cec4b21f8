"""Bodies: segment lengths and girths of a walker."""

from dataclasses import dataclass, fields

import numpy as np

_LENGTHS = ("thigh", "shank", "trunk", "upper_arm", "forearm")
_LENGTH_SPREAD = 0.075
_GIRTH_SPREAD = 0.11
_BUILD_SPREAD = 0.11


@dataclass(frozen=True)
class Body:
    """Measures of a walker: ``stature`` in metres, all others in shares of it.

    ``*_radius`` and ``*_depth`` are radii, ``*_half`` half widths.  The defaults are the means of
    adults: lengths follow Drillis and Contini (1966), radii are rounded from girths.
    """

    stature: float
    thigh: float = 0.245
    shank: float = 0.246
    foot: float = 0.152
    ankle_height: float = 0.039
    trunk: float = 0.300
    neck: float = 0.050
    head: float = 0.130
    upper_arm: float = 0.180
    forearm: float = 0.150
    hand: float = 0.075
    shoulder_half: float = 0.105
    hip_half: float = 0.052
    thigh_radius: float = 0.047
    knee_radius: float = 0.033
    calf_radius: float = 0.032
    ankle_radius: float = 0.021
    upper_arm_radius: float = 0.027
    wrist_radius: float = 0.017
    chest_depth: float = 0.066
    chest_half: float = 0.088
    waist_depth: float = 0.058
    waist_half: float = 0.076
    pelvis_depth: float = 0.064
    pelvis_half: float = 0.090
    neck_radius: float = 0.030
    head_radius: float = 0.046
    hair: float = 0.006


def draw_body(rng: np.random.Generator) -> Body:
    """Draw a walker's body: log-normal measures that share a leg, a trunk and a build factor."""
    legs, trunk, build = rng.normal(0, [0.03, 0.03, _BUILD_SPREAD])
    measures: dict[str, float] = {"stature": float(np.clip(rng.normal(1.70, 0.09), 1.45, 2.0))}
    for name in (field.name for field in fields(Body)[1:]):
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
        measures[name] = getattr(Body, name) * float(np.exp(log))
    return Body(**measures)
