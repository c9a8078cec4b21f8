"""How far walkers differ: spreads that were tuned on the gates and then frozen.

Changing a number here changes the frames: raise ``dataset.VERSION`` with it.
"""

from dataclasses import dataclass
from typing import NamedTuple


class Trait(NamedTuple):
    """Spreads between walkers in one channel of motion."""

    amplitude: float
    """Log amplitude of the mean walk's harmonics."""
    phase: float
    """Radians of phase of the mean walk's harmonics."""
    free: float
    """Degrees of harmonics of the walker's own (``sway``, ``shrug``: share of the stature)."""
    rhythm: float
    """Degrees of the walker's rhythm, at any of its frequencies."""


TRAITS = {
    "hip": Trait(0.08, 0.08, 1.5, 0),
    "knee": Trait(0.08, 0.12, 2.5, 0),
    "ankle": Trait(0.18, 0.20, 2.5, 0),
    "shoulder": Trait(0.15, 0.30, 1.0, 18),
    "elbow": Trait(0.20, 0.30, 2.0, 14),
    "abduction": Trait(0.20, 0.30, 0.5, 8),
    "trunk_pitch": Trait(0.20, 0.30, 0.3, 7),
    "trunk_roll": Trait(0.20, 0.30, 0.3, 7),
    "trunk_yaw": Trait(0.25, 0.30, 1.0, 8),
    "pelvis_yaw": Trait(0.40, 0.40, 1.5, 0),
    "pelvis_roll": Trait(0.30, 0.40, 1.0, 0),
    "sway": Trait(0.30, 0.30, 0.003, 0),
    "nod": Trait(0.20, 0.30, 0.5, 9),
    "shrug": Trait(0.20, 0.30, 0.001, 0.024),
}
RHYTHMS = {
    "arms": ("shoulder", "elbow", "abduction"),
    "trunk": ("trunk_pitch", "trunk_roll", "trunk_yaw", "nod", "shrug"),
}
"""Channels that move to one rhythm."""
RHYTHM_HARMONICS = 4
"""Highest harmonic of a rhythm."""
RHYTHM_EVENNESS = 0.3
"""Of the Dirichlet draw that spreads a rhythm over its harmonics; if low, one dominates."""


@dataclass(frozen=True)
class WalkerSpread:
    """Other spreads between walkers."""

    asymmetry: float = 0.25
    """Difference of left and right as a share of the spread between walkers."""
    posture: float = 1.5
    """Degrees of the mean angles."""
    warp: float = 0.22
    """Radians of the pace within the cycle."""
    cadence: float = 0.03
    """Log of the strides per second."""


@dataclass(frozen=True)
class SessionSpread:
    """Spreads between the walks of one walker."""

    posture: float = 3.0
    """Degrees of the mean angles (a third of it in the legs)."""
    amplitude: float = 0.04
    """Log amplitude of a channel."""
    cadence: float = 0.08
    """Log of the strides per second."""


WALKERS = WalkerSpread()
SESSIONS = SessionSpread()
