"""The embedded dataset: reproducible frames, normalised, in a store that resumes."""

from collections import Counter

import numpy as np
import pytest
from synthetic_walks import plan

from nasgait.core.errors import ConfigError, DataError
from nasgait.data.store import GaitStore, check_store
from nasgait.data.synthetic import dataset
from nasgait.data.synthetic.dataset import generate, silhouettes, write_dataset
from nasgait.data.synthetic.motion import draw_dynamics
from nasgait.data.synthetic.population import (
    LAB_VIEWS,
)
from nasgait.data.synthetic.walk import LONGEST, SHORTEST, draw_walk


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
    assert check_store(one.path) == []


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
