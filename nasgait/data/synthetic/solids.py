"""The visible walker: body, clothes and bags as convex hulls of balls.

A solid is a set of balls, moving over time; its picture is the convex hull of
their discs.  Two balls make a tapered limb, four a slice of the trunk, eight
tiny ones a box.
"""

from dataclasses import dataclass

import numpy as np

from nasgait.data.synthetic.body import Body
from nasgait.data.synthetic.skeleton import Points

Frames = dict[str, np.ndarray]


BAGS = ("none", "backpack", "shoulder", "hand")


@dataclass(frozen=True)
class Outfit:
    """Clothes and load of one walk; lengths in shares of the stature.

    ``sleeves``, ``trousers``, ``top``: factors on the girths; ``coat``: 0 or the extra
    radius of a coat; ``hem``: how far it hangs, 0 at the hips, 1 at the knees, 2 at the ankles;
    ``hat``: 0 or its height; ``bag``: one of ``BAGS``; ``bag_size``: half its
    width; ``bag_side``: +1 left, -1 right.
    """

    sleeves: float = 1.0
    trousers: float = 1.0
    top: float = 1.0
    coat: float = 0.0
    hem: float = 0.0
    hat: float = 0.0
    bag: str = BAGS[0]
    bag_size: float = 0.0
    bag_side: float = 1.0


class Solids:
    """Collects balls and the hulls over them."""

    def __init__(self, frames: int) -> None:
        self.frames = frames
        self.balls: list[np.ndarray] = []
        self.hulls: list[tuple[int, ...]] = []

    def add(self, *balls: tuple[np.ndarray, float | np.ndarray]) -> None:
        """Add a solid: the hull of balls (centre [s, 3], radius)."""
        first = len(self.balls)
        for centre, radius in balls:
            ball = np.empty((self.frames, 4))
            ball[:, :3] = centre
            ball[:, 3] = radius
            self.balls.append(ball)
        self.hulls.append(tuple(range(first, len(self.balls))))

    def stacked(self) -> np.ndarray:
        """All balls [s, balls, 4]."""
        return np.stack(self.balls, 1)


def _slice(
    centre: np.ndarray, frame: np.ndarray, half: float, depth: float
) -> list[tuple[np.ndarray, float]]:
    """Two balls that span a flat cross-section ``2 * half`` wide and ``2 * depth`` deep."""
    side = frame[:, :, 1] * max(half - depth, 0.0)
    return [(centre + side, depth), (centre - side, depth)]


def _trunk(solids: Solids, body: Body, at: Points, frame: Frames, outfit: Outfit) -> None:
    up, trunk = frame["trunk"][:, :, 2], frame["trunk"]
    top = outfit.top
    thick = outfit.coat
    hips = _slice(
        at["pelvis"] - 0.015 * up, frame["pelvis"], body.pelvis_half * top, body.pelvis_depth * top
    )
    waist = _slice(
        at["pelvis"] + 0.40 * body.trunk * up,
        trunk,
        body.waist_half * top + thick,
        body.waist_depth * top + thick,
    )
    chest = _slice(
        at["pelvis"] + 0.72 * body.trunk * up + 0.006 * trunk[:, :, 0],
        trunk,
        body.chest_half * top + thick,
        body.chest_depth * top + thick,
    )
    shoulders = _slice(
        (at["shoulder_l"] + at["shoulder_r"]) / 2,
        trunk,
        body.shoulder_half + 0.018 + thick,
        0.034 + thick,
    )
    solids.add(*hips, *waist)
    solids.add(*waist, *chest)
    solids.add(*chest, *shoulders)
    nape = at["neck"] + 0.3 * body.neck * up
    solids.add(*shoulders, (nape, body.neck_radius * 1.15 + 0.5 * thick))
    solids.add((nape, body.neck_radius), (at["chin"], body.neck_radius))


def _head(solids: Solids, body: Body, at: Points, frame: Frames, outfit: Outfit) -> None:
    forward, up = frame["head"][:, :, 0], frame["head"][:, :, 2]
    radius = body.head_radius
    crown = at["chin"] + (body.head - radius) * up
    solids.add(
        (crown + 0.008 * forward, radius),
        (crown - 0.014 * forward, radius + body.hair),
        (at["chin"] + 0.022 * up + 0.020 * forward, 0.62 * radius),
    )
    if outfit.hat:
        solids.add(
            (crown + 0.4 * radius * up, radius * 1.12),
            (crown + (0.3 * radius + outfit.hat) * up, radius * 0.9),
            (crown + 0.5 * radius * up + 1.5 * radius * forward, 0.008),
        )


def _limbs(solids: Solids, body: Body, at: Points, outfit: Outfit) -> None:
    loose, sleeve = outfit.trousers, outfit.sleeves
    for side in "lr":

        def joint(name: str, side: str = side) -> np.ndarray:
            return at[f"{name}_{side}"]

        knee, ankle = joint("knee"), joint("ankle")
        hem = body.ankle_radius * (1 + 1.8 * (loose - 1))
        calf = knee + 0.3 * (ankle - knee)
        solids.add((joint("hip"), body.thigh_radius * 1.12), (knee, body.knee_radius * loose))
        solids.add((knee, body.knee_radius * loose), (calf, body.calf_radius * loose), (ankle, hem))
        solids.add(
            (joint("heel"), 0.010), (ankle, body.ankle_radius), (joint("instep"), 0.016),
            (joint("ball"), 0.012), (joint("toe"), 0.008),
        )  # fmt: skip
        upper = body.upper_arm_radius * sleeve + 0.6 * outfit.coat
        lower = body.wrist_radius * sleeve + 0.6 * outfit.coat
        elbow, wrist = joint("elbow"), joint("wrist")
        solids.add((joint("shoulder"), upper * 1.15), (elbow, 0.85 * upper))
        solids.add((elbow, 0.85 * upper), (wrist, lower))
        solids.add((wrist, body.wrist_radius), (joint("hand"), 0.75 * body.wrist_radius))


def _coat(solids: Solids, body: Body, at: Points, frame: Frames, outfit: Outfit) -> None:
    """A coat's skirt: from the waist over both thighs down to the hem."""
    up = frame["trunk"][:, :, 2]
    waist = _slice(
        at["pelvis"] + 0.40 * body.trunk * up,
        frame["trunk"],
        body.waist_half + outfit.coat,
        body.waist_depth + outfit.coat,
    )
    hips = _slice(
        at["pelvis"],
        frame["pelvis"],
        body.pelvis_half + 1.2 * outfit.coat,
        body.pelvis_depth + 1.2 * outfit.coat,
    )
    balls = []
    for side in "lr":
        hip, knee, ankle = (at[f"{joint}_{side}"] for joint in ("hip", "knee", "ankle"))
        # Below the knee the cloth hangs between the shank and the plumb line.
        below = knee + max(outfit.hem - 1, 0.0) * (0.5 * (ankle - knee) + [0, 0, -body.shank / 2])
        end = hip + min(outfit.hem, 1.0) * (knee - hip) if outfit.hem <= 1 else below
        balls.append((end, body.thigh_radius + 1.3 * outfit.coat))
    solids.add(*waist, *hips)
    solids.add(*hips, *balls)


def _bag(solids: Solids, body: Body, at: Points, frame: Frames, outfit: Outfit) -> None:
    forward, left, up = (frame["trunk"][:, :, axis] for axis in range(3))
    size, side = outfit.bag_size, outfit.bag_side
    if outfit.bag == "backpack":
        back = at["pelvis"] + 0.62 * body.trunk * up - (body.chest_depth + 0.5 * size) * forward
        half = (0.55 * size, 0.8 * size, 1.15 * size)
        _box(solids, back, frame["trunk"], half)
    elif outfit.bag == "shoulder":
        hang = at["pelvis"] + side * (body.pelvis_half + 0.25 * size) * left
        _box(solids, hang - 0.01 * up, frame["pelvis"], (size, 0.35 * size, 0.75 * size))
        strap = at["neck"] + 0.7 * side * body.shoulder_half * left
        solids.add((strap, 0.012), (hang, 0.012))
    elif outfit.bag == "hand":
        hand = at["hand_l" if side > 0 else "hand_r"]
        below = hand - np.array([0.0, 0.0, 0.9 * size])
        level = np.broadcast_to(np.eye(3), (len(hand), 3, 3))
        _box(solids, below, level, (size, 0.35 * size, 0.8 * size))


def _box(
    solids: Solids, centre: np.ndarray, frame: np.ndarray, half: tuple[float, float, float]
) -> None:
    corners = [
        centre + sum(sign * h * frame[:, :, axis] for axis, (sign, h) in enumerate(corner))
        for corner in (
            [(i, half[0]), (j, half[1]), (k, half[2])]
            for i in (-1, 1)
            for j in (-1, 1)
            for k in (-1, 1)
        )
    ]
    solids.add(*((corner, 0.012) for corner in corners))


def solids(body: Body, at: Points, frame: Frames, outfit: Outfit) -> Solids:
    """All solids of a clothed walker; see :func:`skeleton.skeleton` for ``at`` and ``frame``."""
    result = Solids(len(at["pelvis"]))
    _trunk(result, body, at, frame, outfit)
    _head(result, body, at, frame, outfit)
    _limbs(result, body, at, outfit)
    if outfit.coat:
        _coat(result, body, at, frame, outfit)
    _bag(result, body, at, frame, outfit)
    return result
