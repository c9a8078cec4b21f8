"""Batches of a run: functions of the step, the same on any number of processes."""

import json
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from nasgait.config.schema import AugmentConfig, BatchConfig
from nasgait.core.errors import ConfigError, DataError
from nasgait.data.loader import TrainLoader, pad
from nasgait.data.store import GaitStore, StoreWriter
from nasgait.data.transforms import fit

BATCH = BatchConfig(ids=6, seqs=3, frames=7)
PLAIN = AugmentConfig()
ALL = AugmentConfig(flip=0.5, rotate=0.5, perspective=0.5, erase=0.5)
SIZE = (32, 22)


@pytest.fixture(scope="module", params=[8, 1])
def store(request, tmp_path_factory):
    """12 identities with 1 to 4 sequences of 3 to 20 frames; a frame tells where it is from."""
    path = tmp_path_factory.mktemp("loader") / "store"
    rng = np.random.default_rng(0)
    with StoreWriter(path, bits=request.param) as writer:
        for person in reversed(range(12)):
            for walk in range(1 + person % 4):
                frames = rng.integers(0, 256, (int(rng.integers(3, 21)), 64, 64), dtype=np.uint8)
                writer.add(f"{person:03d}", f"nm-{walk:02d}", "000", "train", frames)
    return GaitStore.open(path)


def loader(store, batch=BATCH, augment=PLAIN, size=SIZE, seed=0, rank=0, world=1, indices=None):
    chosen = range(len(store)) if indices is None else indices
    return TrainLoader(store, chosen, batch, augment, size, seed, rank, world)


def same(a, b):
    return torch.equal(a.silhouettes, b.silhouettes) and torch.equal(a.labels, b.labels)


def test_batch_holds_the_frames_of_its_labels(store):
    ours = loader(store)
    assert ours.classes == 12
    batch = ours.batch(3)
    assert batch.silhouettes.shape == (18, 7, 32, 22) and batch.silhouettes.dtype == torch.float32
    assert batch.labels.dtype == torch.int64 and len(set(batch.labels.tolist())) == 6
    names = sorted({sequence.label for sequence in store.sequences})
    whole = [(s.label, fit(store[i], SIZE)) for i, s in enumerate(store.sequences)]
    for clip, label in zip(batch.silhouettes, batch.labels.tolist(), strict=True):
        assert any(
            name == names[label] and all((frames == frame).all((1, 2)).any() for frame in clip)
            for name, frames in whole
        )


UNEQUAL = {
    "unfixed": replace(BATCH, frames=3, frames_max=9),
    "unfixed-unordered": replace(BATCH, frames=3, frames_max=9, order="unordered"),
    "all": replace(BATCH, order="all"),
    "limited": replace(BATCH, order="all", frames_max=8),
}


@pytest.mark.parametrize("batch", UNEQUAL.values(), ids=UNEQUAL)
@pytest.mark.parametrize("augment", [PLAIN, ALL])
def test_sequences_of_unequal_length_are_padded_with_black_frames(store, batch, augment):
    got = loader(store, batch, augment).batch(3)
    assert got.lengths is not None and got.lengths.dtype == torch.int64
    assert got.silhouettes.shape == (18, int(got.lengths.max()), *SIZE)
    for clip, length in zip(got.silhouettes, got.lengths.tolist(), strict=True):
        assert not clip[length:].any() and clip[:length].flatten(1).any(1).all()
    if batch.frames_max:
        assert got.lengths.max() <= batch.frames_max


def test_whole_sequences_are_whole(store):
    got = loader(store, replace(BATCH, order="all")).batch(0)
    names = sorted({sequence.label for sequence in store.sequences})
    whole = [(s.label, fit(store[i], SIZE)) for i, s in enumerate(store.sequences)]
    for clip, label, length in zip(got.silhouettes, got.labels, got.lengths, strict=True):
        seen = [frames for name, frames in whole if name == names[label]]
        assert any(torch.equal(clip[:length], frames) for frames in seen)


def test_equal_lengths_need_no_padding(store):
    assert loader(store).batch(0).lengths is None
    assert loader(store, replace(BATCH, order="all", frames_max=3)).batch(0).lengths is None


@pytest.mark.parametrize("world", [2, 3])
def test_processes_pad_to_their_own_longest_sequence(store, world):
    batch = replace(BATCH, order="all")
    parts = [loader(store, batch, ALL, rank=r, world=world).batch(5) for r in range(world)]
    whole = loader(store, batch, ALL).batch(5)
    assert torch.equal(torch.cat([part.lengths for part in parts]), whole.lengths)
    rows = iter(whole.silhouettes)
    for part in parts:
        for clip in part.silhouettes:
            assert torch.equal(clip, next(rows)[: len(clip)])


@pytest.mark.parametrize("frames", ["frames=3", "order=all"])
def test_training_takes_sequences_of_unequal_length(nasgait, tiny_config, tmp_path, frames):
    """The trainer hands the lengths over: what stands in the padding has no say."""
    options = [f"supernet.batch.{frames}", "supernet.batch.frames_max=9", "supernet.steps=2"]
    losses = []
    for padding in (0.0, 1.0):
        out = tmp_path / f"out-{padding}"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(TrainLoader, "batch", padded_with(padding))
            code, _, err = nasgait("supernet", "--config", tiny_config, "--out", out, *options)
        assert code == 0, err
        lines = (out / "metrics.jsonl").read_text().splitlines()
        losses.append([json.loads(line)["loss"] for line in lines])
    assert len(losses[0]) == 2 and losses[0] == pytest.approx(losses[1], rel=1e-4)


def padded_with(value, real=TrainLoader.batch):
    def batch(self, step):
        made = real(self, step)
        padding = torch.arange(made.silhouettes.shape[1]) >= made.lengths[:, None]
        made.silhouettes[padding] = value
        return made

    return batch


def test_only_the_given_sequences_are_seen(store):
    some = [i for i, s in enumerate(store.sequences) if int(s.label) < 7]
    ours = loader(store, indices=some)
    assert ours.classes == 7
    assert {int(x) for members in ours.identities.members for x in members} == set(some)


def test_is_a_function_of_seed_and_step(store):
    first, again = loader(store, augment=ALL), loader(store, augment=ALL)
    later = [first.batch(step) for step in range(4)]
    assert same(again.batch(2), later[2])
    assert not same(later[1], later[2])
    assert not same(loader(store, augment=ALL, seed=1).batch(2), later[2])


@pytest.mark.parametrize("augment", [PLAIN, ALL])
@pytest.mark.parametrize("world", [2, 3, 6])
@pytest.mark.parametrize("order", ["ordered", "unordered"])
def test_processes_together_see_what_one_sees(store, augment, world, order):
    batch = replace(BATCH, order=order)
    parts = [loader(store, batch, augment, rank=r, world=world).batch(5) for r in range(world)]
    whole = loader(store, batch, augment).batch(5)
    assert torch.equal(torch.cat([p.silhouettes for p in parts]), whole.silhouettes)
    assert torch.equal(torch.cat([p.labels for p in parts]), whole.labels)


def test_augmentation_changes_nothing_else(store):
    plain, changed = loader(store).batch(1), loader(store, augment=ALL).batch(1)
    assert torch.equal(plain.labels, changed.labels)
    untouched = (plain.silhouettes == changed.silhouettes).flatten(1).all(1)
    assert not untouched.all()


def test_stream_is_the_batches_in_order(store):
    ours = loader(store, augment=ALL)
    streamed = list(ours.stream(3, 9))
    assert len(streamed) == 6
    assert all(same(batch, ours.batch(3 + k)) for k, batch in enumerate(streamed))
    assert list(ours.stream(9, 9)) == [] == list(ours.stream(9, 3))


def test_stream_stays_a_little_ahead(store, monkeypatch):
    ours, made = loader(store), []
    real = ours.batch
    monkeypatch.setattr(ours, "batch", lambda step: (made.append(step), real(step))[1])
    stream = ours.stream(0, 50)
    next(stream)
    deadline = time.monotonic() + 5
    while len(made) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert made == [0, 1, 2]
    stream.close()


def test_stream_ends_with_its_consumer(store):
    for batch in loader(store).stream(0, 10**9):
        assert len(batch.labels)
        break
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("loader")]


def test_what_goes_wrong_behind_is_raised_in_front(store, monkeypatch):
    ours = loader(store)
    real = ours.batch

    def broken(step):
        if step == 2:
            raise OSError("disk on fire")
        return real(step)

    monkeypatch.setattr(ours, "batch", broken)
    seen = []
    with pytest.raises(OSError, match="disk on fire"):
        for batch in ours.stream(0, 10):
            seen.append(batch)
    assert len(seen) == 2
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("loader")]


def test_stream_uses_one_core_and_leaves_the_others_alone(store, monkeypatch):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        ours, inside = loader(store, augment=ALL), []
        real = ours.batch
        monkeypatch.setattr(
            ours, "batch", lambda step: (inside.append(torch.get_num_threads()), real(step))[1]
        )
        streamed = list(ours.stream(0, 2))
        assert all(same(batch, real(step)) for step, batch in enumerate(streamed))
        later = []
        thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert inside == [1, 1] and later == [2] and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("ending", ["pass", "raise SystemExit(3)", "raise ValueError"])
def test_python_ends_with_a_stream_left_open(store, ending):
    code = f"""
    from nasgait.config.schema import AugmentConfig, BatchConfig
    from nasgait.data.loader import TrainLoader
    from nasgait.data.store import GaitStore
    store = GaitStore.open({str(store.path)!r})
    batch = BatchConfig(ids=6, seqs=3, frames=7)
    loader = TrainLoader(store, range(len(store)), batch, AugmentConfig(), (32, 22), 0)
    stream = loader.stream(0, 10**9)
    next(stream)
    {ending}
    """
    code = textwrap.dedent(code)
    done = subprocess.run([sys.executable, "-c", code], timeout=60, capture_output=True, text=True)
    assert done.returncode == {"pass": 0, "raise SystemExit(3)": 3, "raise ValueError": 1}[ending]
    assert done.stderr == "" or ending == "raise ValueError"


# Wrong input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"batch": BatchConfig(ids=13)}, r"batch.ids is 13, but there are only 12 training"),
        ({"world": 4}, r"batch.ids is 6, which 4 processes cannot share evenly"),
        ({"size": (48, 33)}, r"frames of 64 x 64 do not reduce to the network's 48 x 33"),
        ({"batch": replace(BATCH, frames_max=6)}, r"batch.frames_max is 6, below batch.frames, 7"),
        ({"augment": AugmentConfig(perspective_shift=0.7)}, r"perspective_shift is 0.7"),
        ({"indices": []}, r"there are only 0 training identities"),
    ],
)
def test_wrong_input_is_refused_at_once(store, arguments, message):
    with pytest.raises(ConfigError, match=message) as caught:
        loader(store, **arguments)
    assert "\n" not in str(caught.value)


def test_a_sequence_without_frames(store):
    class Emptied:
        size = store.size
        sequences = (*store.sequences, replace(store.sequences[0], length=0, view="090"))

    with pytest.raises(DataError, match=r"sequence 011-nm-00-090 has no frames"):
        loader(Emptied(), indices=range(len(store) + 1))


# Padding --------------------------------------------------------------------------------------


def test_pad_puts_valid_frames_first():
    sequences = [np.full((n, 4, 3), n, np.uint8) for n in (2, 5, 1)]
    padded, lengths = pad(sequences)
    assert padded.shape == (3, 5, 4, 3) and padded.dtype == torch.uint8
    assert lengths.tolist() == [2, 5, 1] and lengths.dtype == torch.int64
    for row, sequence in zip(padded.numpy(), sequences, strict=True):
        assert (row[: len(sequence)] == sequence).all() and not row[len(sequence) :].any()


@pytest.mark.parametrize(
    "shapes", [[], [(0, 4, 3)], [(2, 4, 3), (2, 4, 4)]], ids=["none", "empty", "sizes"]
)
def test_what_cannot_be_padded(shapes):
    with pytest.raises(DataError):
        pad([np.zeros(shape, np.uint8) for shape in shapes])
