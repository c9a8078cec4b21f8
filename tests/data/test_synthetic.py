"""The embedded dataset: reproducible, normalised, balanced, with real twins."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasgait.data.store import GaitStore
from nasgait.data.synthetic import dataset, population
from nasgait.data.synthetic.body import Body, draw_body
from nasgait.data.synthetic.camera import Camera, project
from nasgait.data.synthetic.dataset import generate, silhouettes, write_dataset
from nasgait.data.synthetic.motion import CHANNELS, angles, draw_dynamics, phases
from nasgait.data.synthetic.population import (
    LAB_VIEWS,
    PRESETS,
    SUBSETS,
    Identity,
    identities,
    identity_of,
    recordings,
    yaw_bin,
)
from nasgait.data.synthetic.render import masks, size_normalised
from nasgait.data.synthetic.skeleton import skeleton
from nasgait.data.synthetic.solids import Outfit, solids
from nasgait.data.synthetic.walk import LONGEST, SHORTEST, draw_walk, lab_camera
from nasgait.engine.rng import generator
from nasgait.errors import ConfigError, DataError


def plan(preset: str, **kwargs):
    settings = {"ids": None, "seqs": None, "seed": 0} | kwargs
    return list(recordings(PRESETS[preset], **settings))


def body_and_walk(kind: str = "nm", seed: int = 3):
    rng = generator(seed, "test")
    body, dynamics = draw_body(rng), draw_dynamics(rng)
    return body, draw_walk(kind, dynamics, False, rng)


# Frames


def test_frames_are_binary_64_square_and_20_to_120_long():
    for recording in plan("wild", ids=11)[:12]:
        (frames,) = silhouettes(recording, True, 0)
        assert frames.dtype == np.uint8
        assert frames.shape[1:] == (64, 64)
        assert SHORTEST <= len(frames) <= LONGEST
        assert set(np.unique(frames)) == {0, 255}


def test_frames_fill_the_height_and_are_centred():
    for recording in plan("wild", ids=11)[:12]:
        (frames,) = silhouettes(recording, True, 0)
        tall = np.array([np.ptp(np.flatnonzero(frame.any(1))) + 1 for frame in frames])
        assert (tall == 64).mean() > 0.8
        assert (tall >= 56).all()  # a toe or a hair may be too thin to survive
        mass = np.cumsum(frames.sum(1, dtype=np.int64), 1)
        median = (mass < mass[:, -1:] / 2).sum(1)
        assert np.abs(median - 32).max() <= 3
        assert np.median(np.abs(median - 32)) <= 1


def test_lengths_vary_over_the_whole_range():
    rng = np.random.default_rng(0)
    dynamics = draw_dynamics(rng)
    lengths = [len(draw_walk("nm", dynamics, True, rng).times) for _ in range(300)]
    assert min(lengths) < 24
    assert max(lengths) > 110


def test_same_seed_same_frames_other_seed_other_frames():
    recording = plan("wild-mini", ids=4)[2]
    (first,), (again,) = silhouettes(recording, True, 0), silhouettes(recording, True, 0)
    (other,) = silhouettes(recording, True, 1)
    np.testing.assert_array_equal(first, again)
    assert first.shape != other.shape or (first != other).any()


def test_frames_do_not_depend_on_how_many_identities_or_walks_are_asked_for():
    few, many = plan("wild", ids=11, seqs=2), plan("wild", ids=44)
    one = next(r for r in few if r.identity.label == "te0003" and r.walk == 1)
    two = next(r for r in many if r.identity.label == "te0003" and r.walk == 1)
    np.testing.assert_array_equal(silhouettes(one, True, 0)[0], silhouettes(two, True, 0)[0])


@pytest.mark.parametrize(
    ("label", "kind", "view", "length", "share"),
    [
        ("te0000", "nm-01", "300", 61, 0.1936),
        ("va0003", "cl-01", "240", 63, 0.1782),
        ("tr0010", "oc-01", "120", 24, 0.1799),
        ("te0399", "bg-01", "120", 27, 0.1652),
    ],
)
def test_generator_1_still_draws_what_it_drew(label, kind, view, length, share):
    """Networks are compared on these frames: other ones need another ``dataset.VERSION``."""
    assert dataset.VERSION == 1
    recording = next(r for r in plan("wild") if (r.identity.label, r.type) == (label, kind))
    (frames,) = silhouettes(recording, True, 0)
    assert recording.views[0][0] == view
    assert len(frames) == length
    assert (frames > 0).mean() == pytest.approx(share, rel=2e-3)


# Stores


def test_store_is_the_same_for_any_number_of_workers(tmp_path):
    for workers in (1, 2):
        write_dataset(tmp_path / str(workers), ids=4, seqs=6, workers=workers, progress=False)
    one, two = (GaitStore.open(tmp_path / n) for n in "12")
    assert one.sequences == two.sequences
    assert one.meta["synthetic"] == {
        "generator": dataset.VERSION, "preset": "wild-mini", "ids": 4, "seqs": 6, "seed": 0,
    }  # fmt: skip
    assert len(one) == 24
    for i in range(len(one)):
        np.testing.assert_array_equal(one[i], two[i])
    assert one.verify() == []


def test_half_written_store_is_continued(tmp_path, monkeypatch):
    class Stopped(Exception):
        pass

    whole = list(generate(ids=2, seqs=3))

    def broken(*args, **kwargs):
        yield from whole[:3]
        raise Stopped

    monkeypatch.setattr(dataset, "generate", broken)
    with pytest.raises(Stopped):
        write_dataset(tmp_path / "s", ids=2, seqs=3, workers=1, progress=False)
    monkeypatch.undo()
    write_dataset(tmp_path / "s", ids=2, seqs=3, workers=1, progress=False)
    store = GaitStore.open(tmp_path / "s")
    assert len(store) == 6
    for i, (recording, (frames,)) in enumerate(whole):
        assert store.sequences[i].label == recording.identity.label
        np.testing.assert_array_equal(store[i], frames)


def test_another_seed_does_not_continue_a_store(tmp_path):
    write_dataset(tmp_path / "s", ids=1, seqs=1, workers=1, progress=False)
    with pytest.raises(DataError):
        write_dataset(tmp_path / "s", ids=1, seqs=1, seed=1, workers=1, progress=False)


@pytest.mark.parametrize("wrong", [{"preset": "wid"}, {"ids": 0}, {"seqs": 0}, {"workers": 0}])
def test_wrong_wishes_are_refused_and_nothing_is_written(tmp_path, wrong):
    with pytest.raises(ConfigError, match=str(next(iter(wrong)))):
        write_dataset(tmp_path / "s", progress=False, **wrong)
    assert not (tmp_path / "s").exists()


def test_lab_sees_every_walk_from_11_sides(tmp_path):
    write_dataset(tmp_path / "s", preset="lab", ids=2, seqs=1, workers=1, progress=False)
    store = GaitStore.open(tmp_path / "s")
    assert len(store) == 22
    assert {s.view for s in store.sequences} == {f"{v:03d}" for v in LAB_VIEWS}
    assert {s.type for s in store.sequences} == {"nm-01"}
    walks = Counter((s.label, s.length) for s in store.sequences)
    assert set(walks.values()) == {11}


# Plans


@pytest.mark.parametrize(
    ("preset", "ids", "sequences"),
    [("wild", (240, 240, 400), 5280), ("wild-mini", (60, 60, 100), 1320),
     ("lab", (50, 24, 50), 13640)],
)  # fmt: skip
def test_presets_have_their_sizes(preset, ids, sequences):
    recorded = plan(preset)
    counts = Counter(i.subset for i in identities(PRESETS[preset], None))
    assert tuple(counts[s] for s in SUBSETS) == ids
    assert sum(len(r.views) for r in recorded) == sequences
    keys = {(r.identity.label, r.type, v) for r in recorded for v, _ in r.views}
    assert len(keys) == sequences


def test_lab_has_the_walks_of_casia_b():
    types = {r.type for r in plan("lab", ids=1)}
    assert types == {*(f"nm-0{k}" for k in range(1, 7)), "bg-01", "bg-02", "cl-01", "cl-02"}


@given(ids=st.integers(1, 900), name=st.sampled_from(sorted(PRESETS)))
@settings(max_examples=40, deadline=None)
def test_another_number_of_identities_is_shared_out(ids, name):
    people = identities(PRESETS[name], ids)
    assert len(people) == len({p.label for p in people}) == ids
    share = np.array(PRESETS[name].ids) / sum(PRESETS[name].ids)
    counts = Counter(p.subset for p in people)
    assert all(abs(counts[s] - ids * q) <= 1 for s, q in zip(SUBSETS, share, strict=True))


def test_more_walks_than_the_preset_has_go_on_with_its_kinds():
    types = [r.type for r in plan("wild", ids=1, seqs=9)]
    assert types == [
        "nm-01",
        "nm-02",
        "bg-01",
        "cl-01",
        "sp-01",
        "oc-01",
        "nm-03",
        "nm-04",
        "bg-02",
    ]


def test_every_kind_of_walk_meets_every_yaw_bin_equally_often():
    table = Counter(
        (r.type, r.views[0][0]) for r in plan("wild-mini") if r.identity.subset == "test"
    )
    # 100 identities are sixteen whole blocks of six and a rest of four.
    assert set(table.values()) <= {16, 17}
    assert len(table) == 36
    for number in range(12):
        person = Identity("test", number)
        assert {yaw_bin(person, walk, 0) for walk in range(6)} == set(range(6))


# Who is who


def people(preset: str = "wild") -> list[Identity]:
    return identities(PRESETS[preset], None)


def same(a, b) -> bool:
    return all(
        np.array_equal(x, y) for x, y in zip(vars(a).values(), vars(b).values(), strict=True)
    )


@pytest.mark.parametrize("preset", ["wild", "wild-mini"])
def test_a_quarter_are_twins_in_body_and_a_quarter_in_dynamics(preset):
    for subset, size in zip(SUBSETS, PRESETS[preset].ids, strict=True):
        kin = Counter(p.kin for p in people(preset) if p.subset == subset)
        for twins in (kin["body-twin"], kin["dynamics-twin"]):
            assert twins % 2 == 0
            assert abs(twins - size / 4) <= 2


def test_twins_share_exactly_what_they_should():
    elder, younger = Identity("test", 8), Identity("test", 9)
    assert elder.body(0) == younger.body(0)
    assert not same(elder.dynamics(0), younger.dynamics(0))
    elder, younger = Identity("test", 10), Identity("test", 11)
    assert same(elder.dynamics(0), younger.dynamics(0))
    assert elder.body(0) != younger.body(0)


def test_only_twins_share_anything_and_only_within_a_subset():
    everyone = people("wild-mini")
    bodies = Counter(p.body(0) for p in everyone)
    walks = Counter(p.dynamics(0).curves.tobytes() for p in everyone)
    assert max(bodies.values()) == max(walks.values()) == 2
    for person in everyone:
        assert (bodies[person.body(0)] == 2) == (person.kin == "body-twin")
        assert (walks[person.dynamics(0).curves.tobytes()] == 2) == (person.kin == "dynamics-twin")


def test_subsets_are_disjoint_and_labels_say_who_it_is():
    everyone = people()
    assert len({p.label for p in everyone}) == len(everyone)
    assert all(identity_of(p.label) == p for p in everyone)
    assert {p.label[:2] for p in everyone if p.subset == "search-val"} == {"va"}
    same_number = [Identity(subset, 5) for subset in SUBSETS]
    assert len({p.body(0) for p in same_number}) == 3


# Bodies, motion, cameras


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


# Covariates


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


def test_population_is_spread_as_documented():
    """Lengths of body segments vary by several percent, girths by more, as among people."""
    drawn = [draw_body(generator(0, "spread", k)) for k in range(400)]
    ratio = np.array([b.thigh / b.trunk for b in drawn])
    assert 0.05 < ratio.std() / ratio.mean() < 0.15
    waist = np.array([b.waist_half for b in drawn])
    assert 0.08 < waist.std() / waist.mean() < 0.20
    assert population.PRESETS["wild"].ids == (240, 240, 400)
