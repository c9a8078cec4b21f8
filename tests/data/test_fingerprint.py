"""A fingerprint tells data apart that are not the same, and only those."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from crowds import crowd, keys

from nasgait.data.split import fingerprint, labelled, split
from nasgait.data.store import GaitStore, StoreWriter


def parts_of(path: Path):
    store = GaitStore.open(path)
    return store, split(store, 0.2, 0)


def prints(path: Path) -> tuple[str, str]:
    """Of the training sequences, and of the search-val ones."""
    store, parts = parts_of(path)
    return fingerprint(store, parts.train), fingerprint(store, parts.search_val)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return crowd(tmp_path_factory.mktemp("crowd") / "store")


def test_the_same_data_made_again_or_put_elsewhere(path, tmp_path):
    assert prints(crowd(tmp_path / "again")) == prints(path)
    shutil.copytree(path, tmp_path / "copy")
    assert prints(tmp_path / "copy") == prints(path)


@pytest.mark.parametrize("subset", ["train", "search-val", "test", "distractor"])
def test_other_pixels_under_the_same_keys(path, tmp_path, subset):
    """It speaks of all frames of the store, those of other subsets too."""
    other = crowd(tmp_path / "other", tainted=(subset,))
    assert keys(other, subset) == keys(path, subset)
    assert all(a != b for a, b in zip(prints(other), prints(path), strict=True))


def made(path: Path, rows, bits=8):
    """A store of (label, type, frames)."""
    with StoreWriter(path, size=(4, 4), bits=bits) as writer:
        for label, kind, frames in rows:
            writer.add(label, kind, "0", "train", frames)
    store = GaitStore.open(path)
    return fingerprint(store, range(len(store)))


FRAMES = np.random.default_rng(0).integers(0, 2, (8, 4, 4), dtype=np.uint8) * np.uint8(255)


def test_one_pixel(tmp_path):
    rows = [("a", "1", FRAMES[:4]), ("b", "1", FRAMES[4:])]
    first = made(tmp_path / "first", rows)
    for frame, row, column in ((0, 0, 0), (3, 3, 3), (7, 1, 2)):
        changed = FRAMES.copy()
        changed[frame, row, column] ^= 255
        rows = [("a", "1", changed[:4]), ("b", "1", changed[4:])]
        assert made(tmp_path / f"{frame}", rows) != first


def test_frames_that_changed_owners(tmp_path):
    first = made(tmp_path / "first", [("a", "1", FRAMES[:4]), ("b", "1", FRAMES[4:])])
    swapped = made(tmp_path / "swapped", [("a", "1", FRAMES[4:]), ("b", "1", FRAMES[:4])])
    assert first != swapped


def test_other_names(tmp_path):
    first = made(tmp_path / "first", [("a", "1", FRAMES[:4]), ("b", "1", FRAMES[4:])])
    found = {
        made(tmp_path / f"{number}", [(label, kind, FRAMES[:4]), ("b", "1", FRAMES[4:])])
        for number, (label, kind) in enumerate([("c", "1"), ("a", "2")])
    }
    assert len(found | {first}) == 3


def test_other_depth_of_the_same_pixels(tmp_path):
    rows = [("a", "1", FRAMES[:4]), ("b", "1", FRAMES[4:])]
    assert made(tmp_path / "bytes", rows) != made(tmp_path / "bits", rows, bits=1)


def test_which_sequences_and_in_what_order(path):
    store, parts = parts_of(path)
    train = parts.train
    chosen = (train, train[::-1], train[1:], train[:-1], [*train, train[0]], parts.search_val)
    chosen = (*chosen, [*train, *parts.search_val], [])
    assert len({fingerprint(store, indices) for indices in chosen}) == len(chosen)
    assert fingerprint(store, tuple(train)) == fingerprint(store, train)


def test_one_sequence_more_or_less(path, tmp_path):
    first = prints(path)
    more = prints(crowd(tmp_path / "more", more=[("t00", "train")]))
    less = prints(crowd(tmp_path / "less", without=["s00-01-000"]))
    for other in (more, less):
        assert all(a != b for a, b in zip(first, other, strict=True))


def test_another_split_and_other_labels(path, tmp_path):
    unmarked = GaitStore.open(crowd(tmp_path / "u", subset_of={"search-val": "train"}))
    everyone = split(unmarked, 0.2, 0)
    everyone = sorted(everyone.train + everyone.search_val)
    found = set()
    for share, seed in ((0.3, 0), (0.3, 1), (0.5, 0)):
        parts = split(unmarked, share, seed)
        assert sorted(parts.train + parts.search_val) == everyone
        found |= {fingerprint(unmarked, parts.train), fingerprint(unmarked, parts.search_val)}
    assert len(found) == 6
    of_rates = {fingerprint(unmarked, labelled(unmarked, everyone, r, 0)) for r in (0.4, 0.5, 1)}
    assert len(of_rates) == 3
    drawn = {tuple(labelled(unmarked, everyone, 0.4, seed)) for seed in range(4)}
    assert len(drawn) == 4, "who keeps a label is drawn by the seed"


def test_marks_of_others_do_not_count(path, tmp_path):
    """Test and distractor change places: the same frames train and score."""
    marks = {"test": "distractor", "distractor": "test"}
    assert prints(crowd(tmp_path / "marked", subset_of=marks)) == prints(path)


def test_a_subset_says_nothing_beside_the_sequences(path, tmp_path):
    """Whether the store marks search-val identities or the split draws them."""
    unmarked = GaitStore.open(crowd(tmp_path / "u", subset_of={"search-val": "train"}))
    store, parts = parts_of(path)
    assert fingerprint(unmarked, parts.search_val) == fingerprint(store, parts.search_val)
