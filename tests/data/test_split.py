"""The split: identities never meet, the draw is a function of the seed, wrong stores refused."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw_trees import frames

from nasgait.config.schema import DataConfig
from nasgait.core.errors import DataError
from nasgait.data.sheet import choose_rows, contact_sheet, sheet_image
from nasgait.data.split import split, split_as
from nasgait.data.store import GaitStore, Sequence, StoreWriter


def labels_of(store, indices):
    """The identity of each of these sequences."""
    return [store.sequences[i].label for i in indices]


def store_of(*rows):
    """A store of (label, subset) or (label, subset, length), one sequence each, no frames."""
    sequences = []
    for number, (label, subset, *length) in enumerate(rows):
        sequences.append(Sequence(label, f"{number}", "000", subset, *(length or [5]), 0, 0))
    return SimpleNamespace(sequences=tuple(sequences))


def identities(train, test, seqs=3):
    rows = [(f"a{i}", "train") for i in range(train)] + [(f"b{i}", "test") for i in range(test)]
    return store_of(*(row for row in rows for _ in range(seqs)))


@given(st.integers(2, 40), st.integers(0, 10), st.floats(0.01, 0.95), st.integers(0, 10))
def test_search_val_never_meets_the_test_set(train, test, share, seed):
    store = identities(train, test)
    if max(1, round(share * train)) >= train:
        with pytest.raises(DataError, match="search_val"):
            split(store, share, seed)
        return
    found = split(store, share, seed)
    labels = [set(labels_of(store, part)) for part in (found.train, found.search_val)]
    assert labels[0].isdisjoint(labels[1]) and len(labels[1]) == max(1, round(share * train))
    assert labels[0] | labels[1] == {f"a{i}" for i in range(train)}
    assert set(labels_of(store, found.test)) == {f"b{i}" for i in range(test)}
    # Whole identities, each sequence once.
    assert sorted(found.train + found.search_val + found.test) == list(range(3 * (train + test)))


def test_the_seed_decides_and_the_order_in_the_store_does_not():
    store = identities(30, 2)
    first = split(store, 0.3, 1)
    assert split(store, 0.3, 1) == first != split(store, 0.3, 2)
    backwards = SimpleNamespace(sequences=store.sequences[::-1])
    again = split(backwards, 0.3, 1)
    assert set(labels_of(store, first.search_val)) == set(labels_of(backwards, again.search_val))


def test_a_number_of_identities():
    store = identities(10, 2)
    assert len(set(labels_of(store, split(store, 9, 0).search_val))) == 9
    for wrong in (10, 11, 0, -1, 2.5, 0.99):
        with pytest.raises(DataError, match="a number from 1 to 9"):
            split(store, wrong, 0)


@given(st.integers(3, 30), st.integers(0, 9), st.data())
def test_only_the_first_training_identities_serve(train, seed, data):
    count = data.draw(st.integers(2, train))
    store = identities(train, 4)
    config = DataConfig("unused", search_val=0.3, split_seed=seed, train_ids=count)
    found = split_as(store, config)
    used = labels_of(store, found.train + found.search_val)
    assert set(used) == set(sorted(f"a{i}" for i in range(train))[:count])
    assert found.test == split(store, 0.3, seed).test and found.search_val
    assert split_as(store, replace(config, train_ids=None)) == split(store, 0.3, seed)


def test_more_training_identities_than_there_are():
    with pytest.raises(DataError, match=r"data.train_ids=11: the store has 10 training identities"):
        split(identities(10, 2), 0.2, 0, train_ids=11)


def test_first_identities_of_a_marked_store():
    store = store_of(("a", "train"), ("b", "search-val"), ("c", "train"), ("d", "test"))
    found = split(store, 0.2, 0, train_ids=2)
    assert (found.train, found.search_val, found.test) == ([0], [1], [3])


def test_subsets_marked_by_the_store_are_taken():
    store = store_of(("a", "train"), ("b", "search-val"), ("c", "test"), ("d", "distractor"))
    found = split(store, 0.9, 0)
    assert (found.train, found.search_val, found.test) == ([0], [1], [2])


def test_a_store_for_testing_only():
    found = split(store_of(("c", "test")), 0.2, 0)
    assert (found.train, found.search_val, found.test) == ([], [], [0])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("a", "train"), ("b", "train"), ("a", "test")], "identity a: in the subsets train and"),
        ([("a", "train"), ("b", "search-val"), ("b", "test")], "identity b: in the subsets search"),
        ([("a", "train"), ("a", "search-val")], "identity a: in the subsets train and search-val"),
        ([("a", "train"), ("b", "train"), ("c", "test", 0)], "identity c: zero sequences"),
    ],
)
def test_wrong_stores(rows, message):
    with pytest.raises(DataError, match=message):
        split(store_of(*rows), 0.5, 0)


def test_sequences_without_frames_are_left_out():
    found = split(store_of(("a", "train"), ("a", "train", 0), ("b", "train"), ("c", "test")), 1, 0)
    assert sorted(found.train + found.search_val) == [0, 2]


@pytest.fixture
def store(tmp_path):
    rng = np.random.default_rng(0)
    with StoreWriter(tmp_path / "store") as writer:
        for identity in range(6):
            for k in range(4):
                writer.add(f"{identity}", f"{k}", "0", "train", frames(rng, 3 + 5 * k))
        for k in range(3):
            writer.add("probe", "03", f"v{k}", "test", frames(rng, 8))
    return GaitStore.open(tmp_path / "store")


def test_sheet_shows_frames_over_time(store, tmp_path):
    image = sheet_image(store, rows=5, columns=4)
    assert image.shape == (2 + 5 * 80, 2 + 4 * 66)
    rows = choose_rows(store, 5)
    for row, i in enumerate(rows):
        top = 2 + row * 80 + 14
        shown = image[top : top + 64, 2:66]
        assert (shown == store[i][0]).all()
        last = min(4, store.sequences[i].length) - 1
        shown = image[top : top + 64, 2 + last * 66 : 66 + last * 66]
        assert (shown == store[i][-1]).all()
    path = contact_sheet(store, tmp_path / "new" / "sheet.png")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_sheet_rows_are_identities_spread_over_the_store(store):
    labels = [store.sequences[i].label for i in choose_rows(store, 9)]
    assert len(labels) == 9 and max(map(labels.count, set(labels))) <= 3
    assert len(set(labels)) >= 3 and len(choose_rows(store, 1000)) == 6 * 3 + 3
    assert choose_rows(store, 1) == [0]


def test_sheet_that_cannot_be_drawn(store, tmp_path):
    with pytest.raises(DataError, match="at least 1"):
        contact_sheet(store, tmp_path / "x.png", rows=0)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        contact_sheet(store, tmp_path / "file" / "x.png")
