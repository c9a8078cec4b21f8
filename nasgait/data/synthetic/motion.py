"""Walking: joint angles over the gait cycle as harmonics, drawn for each walker.

The mean sagittal curves are rounded from the normative data of natural cadence
(Winter, The Biomechanics and Motor Control of Human Gait, 1991).  A walker has
its own mean, amplitude and phase for each harmonic of each channel, slightly
different left and right, and its own pace within the cycle (a phase warp), which
keeps the poses and changes only their times.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from nasgait.data.synthetic.spreads import (
    RHYTHM_EVENNESS,
    RHYTHM_HARMONICS,
    RHYTHMS,
    TRAITS,
    WALKERS,
)

HARMONICS = 5
FRAMES_PER_SECOND = 25.0

# Degrees at 0, 5, ..., 95 % of the cycle of one leg, which starts at heel strike.
_HIP = (30, 29, 26, 22, 17, 12, 7, 2, -3, -7, -10, -10, -5, 4, 14, 23, 29, 32, 33, 31)
_KNEE = (4, 10, 16, 18, 17, 13, 9, 6, 4, 5, 9, 18, 35, 52, 62, 60, 49, 32, 14, 4)
_ANKLE = (0, -4, -4, 0, 3, 5, 7, 8, 10, 11, 9, 2, -11, -19, -14, -7, -2, 1, 2, 1)

LIMBS = ("hip", "knee", "ankle", "shoulder", "elbow", "abduction")
MIDLINE = (
    "trunk_pitch",
    "trunk_roll",
    "trunk_yaw",
    "pelvis_yaw",
    "pelvis_roll",
    "sway",
    "nod",
    "shrug",
)
CHANNELS = tuple(f"{limb}_{side}" for limb in LIMBS for side in "lr") + MIDLINE
_KINDS = tuple(limb for limb in LIMBS for _ in "lr") + MIDLINE
ANGULAR = np.array([kind not in ("sway", "shrug") for kind in _KINDS])
"""Channels that are angles; the others are lengths in shares of the stature."""
_UNITS = np.where(ANGULAR, np.pi / 180, 1.0)


@dataclass(frozen=True)
class Dynamics:
    """How a walker moves.

    ``curves`` complex [channels, harmonics + 1]: angle = Re sum c_k exp(i k phase) in
    radians (lengths: shares of the stature); ``warp`` complex [2]: the first two
    harmonics of the pace within the cycle; ``cadence`` in strides per second;
    ``toe_out`` in radians; ``step_half``: half the step width in shares of the stature.
    """

    curves: np.ndarray
    warp: np.ndarray
    cadence: float
    toe_out: float
    step_half: float


@cache
def _mean_curves() -> np.ndarray:
    """Complex [channels, harmonics + 1], radians: the walk that all walkers vary."""

    def measured(degrees: tuple[int, ...]) -> np.ndarray:
        spectrum = np.fft.rfft(np.radians(degrees))[: HARMONICS + 1] / len(degrees)
        return spectrum * np.r_[1, np.full(HARMONICS, 2)]

    def shaped(mean: float, *harmonics: tuple[float, float]) -> np.ndarray:
        """Degrees and degrees of phase of each harmonic."""
        curve = np.zeros(HARMONICS + 1, complex)
        curve[0] = np.radians(mean)
        for k, (size, lag) in enumerate(harmonics, 1):
            curve[k] = np.radians(size) * np.exp(1j * np.radians(lag))
        return curve

    limbs = {
        "hip": measured(_HIP),
        "knee": measured(_KNEE),
        "ankle": measured(_ANKLE),
        # An arm swings against the leg of its side and bends as it comes forward.
        "shoulder": shaped(-4, (15, 172), (2, 60)),
        "elbow": shaped(28, (10, 150), (3, 20)),
        "abduction": shaped(9, (1.5, 0), (1.5, 0)),
    }
    half_cycle = np.exp(1j * np.pi * np.arange(HARMONICS + 1))
    sides = [curve * turn for curve in limbs.values() for turn in (1, half_cycle)]
    sway, shrug = np.zeros((2, HARMONICS + 1), complex)
    sway[1] = 0.012 * np.exp(-1j * np.pi / 2)
    shrug[2] = 0.002
    midline = {
        "trunk_pitch": shaped(4, (0.5, 0), (1.5, 0)),
        "trunk_roll": shaped(0, (2.0, -90), (0.5, 0)),
        "trunk_yaw": shaped(0, (6, 0)),
        "pelvis_yaw": shaped(0, (5, 180)),
        "pelvis_roll": shaped(0, (3.5, -60), (1, 0)),
        "sway": sway,
        "nod": shaped(2, (0.5, 0), (1.5, 0)),
        "shrug": shrug,
    }
    return np.stack([*sides, *(midline[name] for name in MIDLINE)])


def _both_sides(draw: np.ndarray, difference: np.ndarray) -> np.ndarray:
    """Give right limbs the left ones' draw, then add differences: [channels, ...] each."""
    limbs = 2 * len(LIMBS)
    draw[1:limbs:2] = draw[0:limbs:2]
    draw[:limbs] += difference[:limbs]
    return draw


def _rhythms(rng: np.random.Generator) -> np.ndarray:
    """The walker's own rhythm of arms and trunk: complex [channels, harmonics].

    How fast a part swings is drawn, how far it swings is the same for all: a set of frames
    shows the poses, only their order shows the rhythm.
    """
    rhythm = np.zeros((len(CHANNELS), HARMONICS), complex)
    for members in RHYTHMS.values():
        power = rng.dirichlet(np.full(RHYTHM_HARMONICS, RHYTHM_EVENNESS))
        for name in members:
            turn = np.exp(1j * rng.uniform(0, 2 * np.pi, RHYTHM_HARMONICS))
            rows = [i for i, channel in enumerate(_KINDS) if channel == name]
            rhythm[rows, :RHYTHM_HARMONICS] = TRAITS[name].rhythm * np.sqrt(power) * turn
    return rhythm


def draw_dynamics(rng: np.random.Generator) -> Dynamics:
    """Draw how a walker moves."""
    shape = (len(CHANNELS), HARMONICS)
    order = np.arange(1, HARMONICS + 1)
    higher = 0.7 * (order > 1)
    table = np.array([TRAITS[kind] for kind in _KINDS])
    amplitude, phase, free = (column[:, None] for column in table.T[:3])

    def person(spread: np.ndarray) -> np.ndarray:
        common, side = rng.normal(size=shape).clip(-2.2, 2.2), rng.normal(size=shape)
        return _both_sides(common * spread, side * spread * WALKERS.asymmetry)

    # The first harmonic sets size and timing of the whole curve.  The higher ones follow it,
    # so that the curve keeps its form, but for deviations of their own.
    sizes, timing = person(amplitude), person(phase)
    sizes = sizes[:, :1] + higher * sizes
    phases = order * timing[:, :1] + higher * timing
    own = person(free / order**0.5) + 1j * person(free / order**0.5) + _rhythms(rng)
    own[1 : 2 * len(LIMBS) : 2] *= np.exp(1j * np.pi * order)  # right limbs: half a cycle later

    curves = _mean_curves().copy()
    curves[:, 1:] = curves[:, 1:] * np.exp(sizes + 1j * phases) + own * _UNITS[:, None]
    draw = rng.normal(size=(2, len(CHANNELS)))
    posture = WALKERS.posture * _both_sides(draw[0], 0.3 * draw[1])
    knees = [i for i, kind in enumerate(_KINDS) if kind == "knee"]
    posture[knees] = np.abs(posture[knees]) / 2
    curves[:, 0] += np.radians(posture) * ANGULAR
    return Dynamics(
        curves=curves,
        warp=rng.normal(0, WALKERS.warp, 2) + 1j * rng.normal(0, WALKERS.warp, 2),
        cadence=float(0.92 * np.exp(rng.normal(0, WALKERS.cadence))),
        toe_out=float(np.radians(rng.normal(8, 5))),
        step_half=float(np.clip(rng.normal(0.036, 0.010), 0.010, 0.065)),
    )


def angles(curves: np.ndarray, phase: np.ndarray) -> dict[str, np.ndarray]:
    """Channel angles over time: ``curves`` [channels, harmonics + 1], ``phase`` [s] -> [s] each."""
    waves = np.exp(1j * phase[:, None] * np.arange(curves.shape[1]))
    values = np.real(waves @ curves.T)
    result = dict(zip(CHANNELS, values.T, strict=True))
    for side in "lr":  # joints that bend one way only
        result[f"knee_{side}"] = result[f"knee_{side}"].clip(0.0, 2.0)
        result[f"elbow_{side}"] = result[f"elbow_{side}"].clip(0.05, 2.2)
    return result


def phases(frames: int, dynamics: Dynamics, pace: float, rng: np.random.Generator) -> np.ndarray:
    """Phase of the cycle at each frame [frames], radians, from a random start.

    ``pace`` multiplies the cadence; strides differ a little from one another.
    """
    rate = 2 * np.pi * dynamics.cadence * pace / FRAMES_PER_SECOND
    drift = np.cumsum(rng.normal(0, 0.006, frames))
    even = rng.uniform(0, 2 * np.pi) + rate * np.arange(frames) * (1 + 0.02 * drift)
    waves = np.exp(1j * even[:, None] * np.arange(1, 3))
    return even + np.imag(waves @ dynamics.warp)
