"""Kinematics: from joint angles to joint positions, for all frames at once.

Axes of a walker: x forward, y to the left, z up; lengths in shares of the stature.
"""

import numpy as np

from nasgait.data.synthetic.body import Body

Points = dict[str, np.ndarray]


def rotation(axis: str, angle: np.ndarray) -> np.ndarray:
    """Right-handed rotations [s, 3, 3] by ``angle`` [s] (radians) about ``x``, ``y`` or ``z``."""
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.broadcast_to(np.eye(3), (len(angle), 3, 3)).copy()
    matrix[:, first, first] = matrix[:, second, second] = np.cos(angle)
    matrix[:, first, second] = -np.sin(angle)
    matrix[:, second, first] = np.sin(angle)
    return matrix


def _turn(matrix: np.ndarray, vector: tuple[float, float, float] | np.ndarray) -> np.ndarray:
    """Rotate one vector [3] or one for each frame [s, 3]: [s, 3]."""
    return np.einsum("sij,j->si" if np.ndim(vector) == 1 else "sij,sj->si", matrix, vector)


def _swing(forward: np.ndarray, sideways: np.ndarray) -> np.ndarray:
    """Unit vectors [s, 3] that hang down, swung ``forward`` and to the left, in radians."""
    down = np.cos(sideways)
    return np.stack([np.sin(forward) * down, np.sin(sideways), -np.cos(forward) * down], 1)


def _leg(
    body: Body, angle: Points, side: str, hip: np.ndarray, step: float, toe_out: float
) -> Points:
    """Joints of a leg from the hip down; the foot is aimed at its track, ``step`` to the side."""
    sign = 1.0 if side == "l" else -1.0
    sideways = (sign * step - hip[:, 1]) / (body.thigh + body.shank)
    thigh = angle[f"hip_{side}"]
    shank = thigh - angle[f"knee_{side}"]
    foot = shank + angle[f"ankle_{side}"]
    knee = hip + body.thigh * _swing(thigh, sideways)
    ankle = knee + body.shank * _swing(shank, sideways)
    heading = np.full(len(hip), sign * toe_out)
    frame = rotation("z", heading) @ rotation("y", -foot)
    sole = -body.ankle_height

    def at(forward: float, height: float) -> np.ndarray:
        return ankle + _turn(frame, (forward * body.foot, 0.0, height))

    return {
        f"hip_{side}": hip,
        f"knee_{side}": knee,
        f"ankle_{side}": ankle,
        f"heel_{side}": at(-0.25, sole),
        f"ball_{side}": at(0.45, sole),
        f"toe_{side}": at(0.72, sole + 0.12 * body.ankle_height),
        f"instep_{side}": at(0.18, 0.15 * sole),
    }


def _arm(body: Body, angle: Points, side: str, shoulder: np.ndarray, trunk: np.ndarray) -> Points:
    """Joints of an arm from the shoulder down, moving with the trunk."""
    sign = 1.0 if side == "l" else -1.0
    lift = angle[f"shoulder_{side}"]
    aside = sign * angle[f"abduction_{side}"]
    bend = lift + angle[f"elbow_{side}"]
    elbow = shoulder + body.upper_arm * _turn(trunk, _swing(lift, aside))
    lower = _turn(trunk, _swing(bend, aside * 0.3))
    wrist = elbow + body.forearm * lower
    return {
        f"shoulder_{side}": shoulder,
        f"elbow_{side}": elbow,
        f"wrist_{side}": wrist,
        f"hand_{side}": wrist + body.hand * lower,
    }


def skeleton(
    body: Body, angle: Points, step_half: float, toe_out: float
) -> tuple[Points, dict[str, np.ndarray]]:
    """Joint positions ``name -> [s, 3]`` and frames ``pelvis``, ``trunk``, ``head`` [s, 3, 3].

    The body stands on the lowest point of its feet, which is what makes it rise
    and sink with every step.
    """
    zeros = np.zeros_like(angle["sway"])
    pelvis = rotation("z", angle["pelvis_yaw"]) @ rotation("x", angle["pelvis_roll"])
    trunk = (
        rotation("z", angle["trunk_yaw"])
        @ rotation("y", angle["trunk_pitch"])
        @ rotation("x", angle["trunk_roll"])
    )
    head = trunk @ rotation("y", angle["nod"] - 0.6 * angle["trunk_pitch"])
    root = np.stack([zeros, angle["sway"], zeros], 1)
    points: Points = {"pelvis": root}
    for side, sign in (("l", 1.0), ("r", -1.0)):
        hip = root + _turn(pelvis, (0.0, sign * body.hip_half, 0.0))
        points |= _leg(body, angle, side, hip, step_half, toe_out)
        shoulder = root + _turn(trunk, (0.0, sign * body.shoulder_half, 0.90 * body.trunk))
        shoulder[:, 2] += angle["shrug"]
        points |= _arm(body, angle, side, shoulder, trunk)
    points["neck"] = root + _turn(trunk, (0.0, 0.0, body.trunk))
    points["neck"][:, 2] += 0.5 * angle["shrug"]
    points["chin"] = points["neck"] + _turn(trunk, (0.1 * body.neck, 0.0, body.neck))

    floor = [points[f"{part}_{side}"][:, 2] for part in ("heel", "ball", "toe") for side in "lr"]
    rise = np.stack([zeros, zeros, -np.min(floor, axis=0)], 1)
    return {name: at + rise for name, at in points.items()}, {
        "pelvis": pelvis,
        "trunk": trunk,
        "head": head,
    }
