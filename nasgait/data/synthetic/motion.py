"""Walking: joint angles over the gait cycle as harmonics, drawn for each walker.

The mean sagittal curves are rounded from the normative data of natural cadence
(Winter, The Biomechanics and Motor Control of Human Gait, 1991).  A walker has
an own mean, amplitude and phase for each harmonic of each channel, slightly
different left and right, and an own pace within the cycle (a phase warp), which
leaves the poses as they are and changes only when they come.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from nasgait.data.synthetic.tuning import DYNAMICS

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
)
CHANNELS = tuple(f"{limb}_{side}" for limb in LIMBS for side in "lr") + MIDLINE


@dataclass(frozen=True)
class Dynamics:
    """How a walker moves.

    ``curves`` complex [channels, harmonics + 1]: angle = Re sum c_k exp(i k phase) in
    radians (``sway``: shares of the stature); ``warp`` complex [2]: the first two
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
        "shoulder": shaped(-4, (22, 180), (2, 60)),
        "elbow": shaped(26, (14, 165), (3, 20)),
        "abduction": shaped(9, (1.5, 0), (5, 0)),
    }
    half_cycle = np.exp(1j * np.pi * np.arange(HARMONICS + 1))
    sides = [curve * turn for curve in limbs.values() for turn in (1, half_cycle)]
    sway = np.zeros(HARMONICS + 1, complex)
    sway[1] = 0.012 * np.exp(-1j * np.pi / 2)
    midline = (
        shaped(4, (0.6, 0), (3.6, 0)),
        shaped(0, (3.6, -90), (1.0, 0)),
        shaped(0, (7, 0)),
        shaped(0, (5, 180)),
        shaped(0, (3.5, -60), (1, 0)),
        sway,
        shaped(2, (0.5, 0), (4.0, 0)),
    )
    return np.stack([*sides, *midline])


def _channel_spreads() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Spread of the log amplitude, of the phase, and of free harmonics, for each channel."""
    tables = DYNAMICS.amplitude, DYNAMICS.phase, DYNAMICS.free
    names = [name.rsplit("_", 1)[0] if name[-2:] in ("_l", "_r") else name for name in CHANNELS]
    amplitude, phase, free = (np.array([table[n] for n in names])[:, None] for table in tables)
    return amplitude, phase, np.where(np.array(names)[:, None] == "sway", free, np.radians(free))


def _paired(draw: np.ndarray, asymmetry: np.ndarray) -> np.ndarray:
    """Give left and right limbs nearly the same draw: [channels, k] each."""
    for left in range(0, 2 * len(LIMBS), 2):
        draw[left + 1] = draw[left]
    draw[: 2 * len(LIMBS)] += asymmetry[: 2 * len(LIMBS)]
    return draw


def _lags(rng: np.random.Generator) -> np.ndarray:
    """How far the arms and the trunk run ahead of the legs [channels], radians of the cycle.

    A lead and a lag of the same size pass through nearly the same poses in another order:
    the part of a walker's identity that a set of frames does not show.
    """
    arms = rng.uniform(-DYNAMICS.arm_lag, DYNAMICS.arm_lag)
    trunk = rng.uniform(-DYNAMICS.trunk_lag, DYNAMICS.trunk_lag)
    lag = {"shoulder": arms, "elbow": arms, "abduction": arms, "trunk": trunk, "nod": trunk}
    return np.array([lag.get(name.split("_")[0], 0.0) for name in CHANNELS])


def draw_dynamics(rng: np.random.Generator) -> Dynamics:
    """Draw how a walker moves."""
    base = _mean_curves()
    shape = (len(CHANNELS), HARMONICS)
    amplitude, phase, free = _channel_spreads()

    def person(spread: np.ndarray) -> np.ndarray:
        both = rng.normal(size=shape).clip(-2.2, 2.2), rng.normal(size=shape)
        return _paired(both[0] * spread, both[1] * spread * DYNAMICS.asymmetry)

    # The first harmonic carries the walk: its phase is the limb's timing, which the
    # higher ones follow so that the curve keeps its form.
    timing = person(np.broadcast_to(phase, shape))
    order = np.arange(1, HARMONICS + 1)
    lags = _lags(rng)[:, None] + timing[:, :1]
    phases = lags * order + timing * np.r_[0, np.full(HARMONICS - 1, 0.7)]
    sizes = person(np.broadcast_to(amplitude, shape))
    sizes = sizes[:, :1] + 0.7 * sizes * np.r_[0, np.ones(HARMONICS - 1)]
    extra = person(free / order**0.5) + 1j * person(free / order**0.5)
    # The free harmonics of the right limbs lie half a cycle later, as the walk does.
    extra[1 : 2 * len(LIMBS) : 2] *= np.exp(1j * np.pi * order)

    curves = base.copy()
    curves[:, 1:] = base[:, 1:] * np.exp(sizes + 1j * phases) + extra
    means = _paired(rng.normal(size=(len(CHANNELS), 1)), 0.3 * rng.normal(size=(len(CHANNELS), 1)))
    posture = np.radians(DYNAMICS.posture) * means[:, 0]
    posture[CHANNELS.index("sway")] = 0.0
    for name in ("knee_l", "knee_r"):
        posture[CHANNELS.index(name)] = abs(posture[CHANNELS.index(name)]) / 2
    curves[:, 0] += posture
    return Dynamics(
        curves=curves,
        warp=rng.normal(0, DYNAMICS.warp, 2) + 1j * rng.normal(0, DYNAMICS.warp, 2),
        cadence=float(0.92 * np.exp(rng.normal(0, DYNAMICS.cadence))),
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
