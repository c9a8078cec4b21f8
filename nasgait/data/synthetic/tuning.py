"""How far walkers differ: the spreads that were tuned on the gates and then frozen.

Changing a number here changes the frames: raise ``dataset.VERSION`` with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class DynamicsSpread:
    """Spreads between walkers of the parameters of their walk."""

    amplitude: Mapping[str, float] = field(
        default_factory=lambda: {
            "hip": 0.12, "knee": 0.12, "ankle": 0.25, "shoulder": 0.25, "elbow": 0.35,
            "abduction": 0.35, "trunk_pitch": 0.35, "trunk_roll": 0.35, "trunk_yaw": 0.4,
            "pelvis_yaw": 0.5, "pelvis_roll": 0.4, "sway": 0.4, "nod": 0.35,
        }
    )  # fmt: skip
    """Log amplitude of the harmonics."""
    phase: Mapping[str, float] = field(
        default_factory=lambda: {
            "hip": 0.08, "knee": 0.12, "ankle": 0.20, "shoulder": 0.20, "elbow": 0.3,
            "abduction": 0.3, "trunk_pitch": 0.2, "trunk_roll": 0.2, "trunk_yaw": 0.3,
            "pelvis_yaw": 0.4, "pelvis_roll": 0.4, "sway": 0.3, "nod": 0.3,
        }
    )  # fmt: skip
    """Radians of phase of the harmonics."""
    free: Mapping[str, float] = field(
        default_factory=lambda: {
            "hip": 1.6, "knee": 2.5, "ankle": 2.5, "shoulder": 3.0, "elbow": 5.0,
            "abduction": 1.8, "trunk_pitch": 1.3, "trunk_roll": 1.4, "trunk_yaw": 2.0,
            "pelvis_yaw": 2.0, "pelvis_roll": 1.0, "sway": 0.003, "nod": 1.5,
        }
    )  # fmt: skip
    """Degrees of the harmonics that a walker adds of their own (``sway``: of the stature)."""
    arm_lag: float = 1.0
    """Largest lead or lag of the arms, radians of the cycle."""
    trunk_lag: float = np.pi / 2
    """Largest lead or lag of the trunk and the head, radians of the cycle."""
    asymmetry: float = 0.30
    """Difference of left and right as a share of the spread between walkers."""
    posture: float = 2.0
    """Degrees of the mean angles."""
    warp: float = 0.16
    """Radians of the pace within the cycle."""
    cadence: float = 0.05
    """Log of the strides per second."""


@dataclass(frozen=True)
class SessionSpread:
    """Spreads between the walks of one walker."""

    posture: float = 4.5
    """Degrees of the mean angles."""
    amplitude: float = 0.06
    """Log amplitude of a channel."""
    cadence: float = 0.06
    """Log of the strides per second."""


DYNAMICS = DynamicsSpread()
SESSION = SessionSpread()
