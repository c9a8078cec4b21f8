"""How the embedded dataset's people walk, dress and are drawn."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic_walks import body_and_walk, plan

from nasgait.data.synthetic.body import Body
from nasgait.data.synthetic.camera import Camera, project
from nasgait.data.synthetic.dataset import silhouettes
from nasgait.data.synthetic.motion import CHANNELS, angles, draw_dynamics, phases
from nasgait.data.synthetic.render import masks, size_normalised
from nasgait.data.synthetic.skeleton import skeleton
from nasgait.data.synthetic.solids import Outfit, solids
from nasgait.data.synthetic.walk import draw_walk, lab_camera


def test_stance_foot_stays_on_the_ground_and_the_body_rises_and_sinks():
    body, walk = body_and_walk()
    at, _ = skeleton(body, angles(walk.dynamics.curves, walk.phase), 0.03, 0.1)
    lowest = np.min([at[f"{p}_{s}"][:, 2] for p in ("heel", "ball", "toe") for s in "lr"], 0)
    np.testing.assert_allclose(lowest, 0, atol=1e-12)
    bob = np.ptp(at["pelvis"][:, 2]) * 1.7
    assert 0.015 < bob < 0.15


def test_segments_keep_their_lengths():
    body, walk = body_and_walk()
    at, frame = skeleton(body, angles(walk.dynamics.curves, walk.phase), 0.03, 0.1)
    for a, b, length in (
        ("hip", "knee", body.thigh),
        ("knee", "ankle", body.shank),
        ("shoulder", "elbow", body.upper_arm),
        ("elbow", "wrist", body.forearm),
    ):
        for side in "lr":
            distance = np.linalg.norm(at[f"{a}_{side}"] - at[f"{b}_{side}"], axis=1)
            np.testing.assert_allclose(distance, length, rtol=1e-9)
    for matrix in frame.values():
        assert np.abs(matrix @ matrix.transpose(0, 2, 1) - np.eye(3)).max() < 1e-12


def test_mean_walk_follows_the_normative_curves():
    curves = np.mean([draw_dynamics(np.random.default_rng(k)).curves for k in range(200)], 0)
    phase = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    angle = {name: np.degrees(a) for name, a in angles(curves, phase).items()}
    assert 25 < angle["hip_l"].max() < 40
    assert -18 < angle["hip_l"].min() < -4
    assert 50 < angle["knee_l"].max() < 72
    assert 66 < 50 * phase[angle["knee_l"].argmax()] / np.pi < 78  # percent of the cycle
    # Legs move half a cycle apart; an arm swings against the leg of its side.
    np.testing.assert_allclose(angle["hip_r"], np.roll(angle["hip_l"], 100), atol=4)
    assert np.corrcoef(angle["shoulder_l"], angle["hip_l"])[0, 1] < -0.8


def test_phase_advances_at_the_cadence():
    dynamics = replace(draw_dynamics(np.random.default_rng(0)), cadence=1.0)
    phase = phases(500, dynamics, 1.25, np.random.default_rng(1))
    assert np.ptp(phase) / (2 * np.pi) == pytest.approx(500 / 25 * 1.25, rel=0.05)
    assert (np.diff(phase) > 0).all()


def test_every_channel_has_a_curve():
    assert draw_dynamics(np.random.default_rng(0)).curves.shape[0] == len(CHANNELS)


def test_perspective_shrinks_what_is_far():
    camera = Camera(yaw=0.0, distance=10.0, height=0.85, roll=0.0, pixels=100.0)
    balls = np.array([[[0.0, 0.0, 0.0, 0.1], [0.0, 0.0, 1.0, 0.1]]]).repeat(3, 0)
    centres, radii = project(balls, np.array([-5.0, 0.0, 5.0]), 1.7, camera)
    heights = centres[:, 0, 1] - centres[:, 1, 1]
    np.testing.assert_allclose(heights, [100 * 10 / 15, 100, 200], rtol=0.02)
    np.testing.assert_allclose(radii[1], 10, rtol=0.02)


def test_yaw_sides():
    """Seen from the left (90 degrees), a walker heads to the left of the picture."""
    balls = np.array([[[0.0, 0.0, 0.5, 0.01], [0.2, 0.0, 0.5, 0.01]]])
    centres, _ = project(balls, np.zeros(1), 1.7, lab_camera(np.pi / 2))
    assert centres[0, 1, 0] < centres[0, 0, 0] - 10
    centres, _ = project(balls, np.zeros(1), 1.7, lab_camera(0.0))
    assert abs(centres[0, 1, 0] - centres[0, 0, 0]) < 1


def test_hulls_are_drawn_like_an_independent_rasteriser():
    """A tapered limb against the distance test of a hull of two discs, pixel by pixel."""
    centres, radii = np.array([[[0.0, 0.0], [30.0, 40.0]]]), np.array([[10.0, 4.0]])
    (mask,) = masks(centres, radii, [(0, 1)])
    y, x = np.mgrid[: mask.shape[0], : mask.shape[1]]
    points = np.stack([x, y], -1) - (24 + np.array([10, 10]))
    share = np.linspace(0, 1, 400)[:, None, None]
    gaps = np.hypot(points[..., 0] - 30 * share, points[..., 1] - 40 * share)
    truth = (gaps <= 10 - 6 * share).any(0)
    overlap = ((mask > 0) & truth).sum() / ((mask > 0) | truth).sum()
    assert overlap > 0.93


def test_size_normalisation_scales_and_centres_a_known_shape():
    mask = np.zeros((200, 300), np.uint8)
    mask[40:168, 200:232] = 255
    picture = size_normalised(mask)
    expected = np.zeros((64, 64), np.uint8)
    expected[:, 25:41] = 255
    assert abs(int((picture > 0).sum()) - 64 * 16) == 0
    assert (picture != expected).sum() <= 2 * 64
    assert size_normalised(np.zeros((50, 50), np.uint8)) is None


@pytest.mark.parametrize(
    "outfit",
    [Outfit(coat=0.018, hem=0.9), Outfit(hat=0.03), Outfit(trousers=1.4), Outfit(sleeves=1.3),
     *(Outfit(bag=bag, bag_size=0.09) for bag in ("backpack", "shoulder", "hand"))],
)  # fmt: skip
def test_clothes_and_bags_change_the_picture(outfit):
    body, walk = body_and_walk()
    plain, dressed = (solids_area(body, walk, o) for o in (Outfit(), outfit))
    assert dressed > plain * 1.01


def solids_area(body: Body, walk, outfit: Outfit) -> float:
    at, frame = skeleton(body, angles(walk.dynamics.curves, walk.phase), 0.03, 0.1)
    seen = solids(body, at, frame, outfit)
    pictures = masks(*project(seen.stacked(), np.zeros(len(walk.phase)), 1.7, lab_camera(1.2)),
                     seen.hulls)  # fmt: skip
    return float((pictures > 0).sum((1, 2)).mean())


def test_kinds_of_walks_are_what_they_say():
    dynamics = draw_dynamics(np.random.default_rng(0))
    outfits = {}
    for kind in ("nm", "bg", "cl", "sp", "oc"):
        outfits[kind] = [
            draw_walk(kind, dynamics, True, np.random.default_rng(k)) for k in range(20)
        ]
    assert all(w.outfit.bag != "none" for w in outfits["bg"])
    assert all(w.outfit.coat > 0 for w in outfits["cl"])
    for kind in ("nm", "sp", "oc"):
        assert all(w.outfit.bag == "none" and w.outfit.coat == 0 for w in outfits[kind])
    usual = np.array([w.pace for w in outfits["nm"]])
    changed = np.array([w.pace for w in outfits["sp"]]) / usual
    assert set(np.round(changed, 6)) == {round(0.8**0.6, 6), round(1.2**0.6, 6)}


def test_occlusion_hides_part_of_some_frames():
    plain = [r for r in plan("wild", ids=44) if r.type == "oc-01"][:6]
    for recording in plain:
        (hidden,) = silhouettes(recording, True, 0)
        (open_,) = silhouettes(replace(recording, type="nm-01"), True, 0)
        assert hidden.shape == open_.shape
        changed = (hidden != open_).mean((1, 2))
        assert changed.max() > 0.01
