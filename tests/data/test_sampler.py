"""P x K batches and frame draws."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from nasgait.config.schema import BatchConfig
from nasgait.core.errors import ConfigError, DataError
from nasgait.core.rng import generator
from nasgait.data.sampler import (
    Identities,
    check_batch,
    frame_indices,
    frames_in_words,
    sample_batch,
)


def people(*counts):
    """Identities ``id-0``, ``id-1``, ... with so many sequences, mixed up in the store."""
    names = [f"id-{number}" for number, count in enumerate(counts) for _ in range(count)]
    order = generator(9, "mix").permutation(len(names))
    return Identities.of((int(index), names[place]) for index, place in enumerate(order)), {
        int(index): names[place] for index, place in enumerate(order)
    }


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 7), min_size=1, max_size=9), st.data())
def test_batch_holds_p_identities_times_k_of_their_own_sequences(counts, data):
    identities, owner = people(*counts)
    ids = data.draw(st.integers(1, len(counts)))
    seqs = data.draw(st.integers(1, 5))
    indices, labels = sample_batch(identities, BatchConfig(ids=ids, seqs=seqs), 1, 2)
    assert indices.shape == labels.shape == (ids * seqs,)
    assert [identities.names[label] for label in labels] == [owner[index] for index in indices]
    for row in labels.reshape(ids, seqs):
        assert len(set(row.tolist())) == 1
    assert len(set(labels.tolist())) == ids
    for label, row in zip(labels[::seqs], indices.reshape(ids, seqs), strict=True):
        taken = Counter(row.tolist())
        assert len(taken) == min(seqs, len(identities.members[label]))
        assert max(taken.values()) - min(taken.values()) <= 1


def test_is_a_function_of_seed_and_step():
    identities, _ = people(*[4] * 20)
    config = BatchConfig(ids=4, seqs=2)
    draws = {
        (seed, step): tuple(sample_batch(identities, config, seed, step)[0].tolist())
        for seed in range(3)
        for step in range(20)
    }
    assert len(set(draws.values())) == 60
    assert draws[1, 5] == tuple(sample_batch(identities, config, 1, 5)[0].tolist())


def test_labels_number_the_sorted_identities():
    identities = Identities.of([(7, "b"), (3, "a"), (5, "b"), (1, "c")])
    assert identities.names == ("a", "b", "c")
    assert [members.tolist() for members in identities.members] == [[3], [5, 7], [1]]


def test_identities_and_sequences_are_drawn_evenly():
    identities, owner = people(2, 3, 4, 6, 2, 3, 4, 6)
    indices = np.concatenate(
        [sample_batch(identities, BatchConfig(ids=4, seqs=2), 0, step)[0] for step in range(3000)]
    )
    by_name = Counter(owner[index] for index in indices.tolist())
    # P identities of a batch exclude each other, so the counts vary less than chi-square says.
    assert chisquare(list(by_name.values())).pvalue > 0.01
    last = identities.members[identities.names.index("id-7")]
    assert chisquare([np.count_nonzero(indices == index) for index in last]).pvalue > 0.001


def test_fewer_identities_than_p():
    identities, _ = people(2, 2, 2)
    with pytest.raises(ConfigError, match=r"batch.ids is 8, but there are only 3 training"):
        sample_batch(identities, BatchConfig(ids=8), 0, 0)


def test_processes_that_cannot_share_evenly():
    with pytest.raises(ConfigError, match=r"batch.ids is 9, which 2 processes cannot share"):
        check_batch(BatchConfig(ids=9), 20, world=2)


def test_identity_without_a_sequence():
    with pytest.raises(DataError, match="identity b has no sequence"):
        Identities(("a", "b"), (np.array([0]), np.array([], np.int64)))


def draw(length, frames, order="ordered", skip=0, seed=0):
    config = BatchConfig(frames=frames, order=order, skip=skip)
    return frame_indices(length, config, generator(seed, "test"))


@given(st.integers(1, 60), st.integers(1, 40), st.integers(0, 99))
def test_ordered_frames_are_successive_and_wrap_around(length, frames, seed):
    chosen = draw(length, frames, seed=seed)
    assert chosen.shape == (frames,) and chosen.dtype == np.int64
    assert ((chosen >= 0) & (chosen < length)).all()
    assert (np.diff(chosen) % length == 1 % length).all()
    if length >= frames:
        assert (np.diff(chosen) == 1).all()


@given(st.integers(1, 60), st.integers(1, 40), st.integers(1, 10), st.integers(0, 99))
def test_skipping_drops_frames_of_a_longer_run(length, frames, skip, seed):
    chosen = draw(length, frames, skip=skip, seed=seed)
    assert ((chosen >= 0) & (chosen < length)).all()
    if length >= frames + skip:
        assert (np.diff(chosen) >= 1).all()
        assert chosen[-1] - chosen[0] < frames + skip


@given(st.integers(1, 60), st.integers(1, 40), st.integers(0, 99))
def test_unordered_frames_repeat_only_where_there_are_too_few(length, frames, seed):
    chosen = draw(length, frames, order="unordered", seed=seed)
    assert chosen.shape == (frames,) and ((chosen >= 0) & (chosen < length)).all()
    if length >= frames:
        assert len(set(chosen.tolist())) == frames


def test_every_run_is_equally_likely():
    rng = generator(0, "runs")
    config = BatchConfig(frames=6)
    starts = Counter(int(frame_indices(15, config, rng)[0]) for _ in range(5000))
    assert sorted(starts) == list(range(10))
    assert chisquare(list(starts.values())).pvalue > 0.001


def test_a_short_sequence_repeats_whole_and_starts_anywhere_that_fits():
    # 4 frames, run of 6: repeated to 8, so a run starts at 0, 1 or 2 (as published).
    rng = generator(0, "short")
    config = BatchConfig(frames=6)
    runs = {tuple(frame_indices(4, config, rng).tolist()) for _ in range(200)}
    assert runs == {(0, 1, 2, 3, 0, 1), (1, 2, 3, 0, 1, 2), (2, 3, 0, 1, 2, 3)}


def test_every_choice_of_dropped_frames_is_equally_likely():
    rng = generator(0, "drops")
    config = BatchConfig(frames=3, skip=2)
    seen = Counter(tuple(frame_indices(5, config, rng).tolist()) for _ in range(5000))
    assert set(seen) == set(combinations(range(5), 3))
    assert chisquare(list(seen.values())).pvalue > 0.001


@pytest.mark.parametrize("order", ["ordered", "unordered"])
def test_unfixed_takes_every_number_of_frames_equally_often(order):
    rng = generator(0, "unfixed")
    config = BatchConfig(frames=5, frames_max=9, order=order)
    runs = [frame_indices(7, config, rng) for _ in range(4000)]
    counts = Counter(map(len, runs))
    assert sorted(counts) == [5, 6, 7, 8, 9]
    assert chisquare(list(counts.values())).pvalue > 0.001
    for run in runs:
        assert ((run >= 0) & (run < 7)).all()
        if order == "ordered":
            assert (np.diff(run) % 7 == 1).all()
        elif len(run) <= 7:
            assert len(set(run.tolist())) == len(run)


def test_unfixed_runs_may_skip():
    rng = generator(0, "unfixed")
    config = BatchConfig(frames=3, frames_max=5, skip=2)
    for _ in range(500):
        run = frame_indices(30, config, rng)
        assert len(run) in (3, 4, 5) and (np.diff(run) >= 1).all()
        assert run[-1] - run[0] < len(run) + 2


@given(st.integers(1, 60), st.one_of(st.none(), st.integers(1, 70)))
def test_all_is_the_sequence_from_its_start(length, limit):
    config = BatchConfig(order="all", frames_max=limit)
    chosen = frame_indices(length, config, generator(0, "all"))
    assert chosen.tolist() == list(range(min(length, limit or length)))


def test_a_fixed_number_of_frames_draws_as_before():
    """The frames of a published run stay those of its seed."""
    one, other = generator(0, "x"), generator(0, "x")
    chosen = frame_indices(20, BatchConfig(frames=6), one)
    start = int(other.integers(20 - 6 + 1))
    assert chosen.tolist() == list(range(start, start + 6))


@pytest.mark.parametrize(
    "config, words",
    [
        (BatchConfig(), "30 frames"),
        (BatchConfig(frames=10, frames_max=40), "10 to 40 frames"),
        (BatchConfig(order="all"), "all frames"),
        (BatchConfig(order="all", frames_max=720), "up to 720 frames"),
    ],
)
def test_plans_say_how_many_frames(config, words):
    assert frames_in_words(config) == words


def test_bounds_that_are_swapped():
    with pytest.raises(ConfigError, match=r"batch.frames_max is 5, below batch.frames, 6"):
        check_batch(BatchConfig(ids=2, frames=6, frames_max=5), 20)
    check_batch(BatchConfig(ids=2, frames=6, frames_max=5, order="all"), 20)


def test_a_sequence_without_frames():
    with pytest.raises(DataError, match="without frames"):
        draw(0, 3)


@pytest.mark.parametrize("order", ["unordered", "all"])
def test_only_ordered_runs_skip(order):
    with pytest.raises(ConfigError, match=rf"skip is 2 with the order {order}: only ordered"):
        check_batch(BatchConfig(ids=2, order=order, skip=2), identities=4)
