"""What a training draws: each purpose from a stream of its own, each step by itself."""

import sys
from collections import defaultdict
from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
import pytest
import torch

from nasgait.config.schema import AugmentConfig, BatchConfig
from nasgait.core.rng import generator
from nasgait.data.loader import TrainLoader
from nasgait.data.split import labelled, split
from nasgait.data.store import GaitStore, StoreWriter
from nasgait.data.transforms import draw_changes
from search_spaces import load_space
from supernet.network import path_at
from supernet.scoring.scorer import calibration_sequences

SIZE = (16, 16)
BATCH = BatchConfig(ids=6, seqs=3, frames=7)
ORDERS = {
    "ordered": BATCH,
    "skipping": replace(BATCH, skip=3),
    "unordered": replace(BATCH, order="unordered"),
    "unfixed": replace(BATCH, frames=3, frames_max=9),
    "all": replace(BATCH, order="all", frames_max=12),
}
LENGTHS = [4, 7, 10, 11, 16, 20]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """12 identities x 4 sequences; left pixels tell the sequence, right ones the frame.

    The store's order is not that of the names, and an identity's sequences lie apart.
    """
    path = tmp_path_factory.mktemp("draws") / "store"
    with StoreWriter(path, size=SIZE) as writer:
        for number in range(48):
            person, walk = (7 * number) % 12, number // 12
            frames = np.full((LENGTHS[number % 6], *SIZE), 1 + number, np.uint8)
            frames[:, :, 8:] = 1 + np.arange(len(frames))[:, None, None]
            writer.add(f"{person:02d}", f"{walk}", "0", "train", frames)
    return GaitStore.open(path)


def loader(store, batch=BATCH, augment=None, seed=0, indices=None, **more):
    chosen = range(len(store)) if indices is None else indices
    return TrainLoader(store, chosen, batch, augment or AugmentConfig(), SIZE, seed, **more)


def drawn(batch) -> list[tuple[int, list[int]]]:
    """The sequence and the frames of each row, read from the pixels."""
    pixels = (255 * batch.silhouettes).round().to(torch.int64)
    lengths = [pixels.shape[1]] * len(pixels) if batch.lengths is None else batch.lengths.tolist()
    return [
        (int(clip[0, 0, 0]) - 1, (clip[:length, 0, -1] - 1).tolist())
        for clip, length in zip(pixels, lengths, strict=True)
    ]


@pytest.mark.parametrize("batch", ORDERS.values(), ids=ORDERS)
def test_frames_lie_in_the_window_and_in_order(store, batch):
    for step in range(6):
        for number, frames in drawn(loader(store, batch).batch(step)):
            length = LENGTHS[number % 6]
            least, most = batch.frames, batch.frames_max or batch.frames
            if batch.order == "all":
                assert frames == list(range(min(length, 12)))
                continue
            assert least <= len(frames) <= most and set(frames) <= set(range(length))
            if batch.order == "unordered":
                assert len(set(frames)) == len(frames) or length < len(frames)
            elif batch.skip:
                ahead = sum((b - a) % length for a, b in pairwise(frames))
                assert ahead <= len(frames) - 1 + batch.skip
                assert length < len(frames) + batch.skip or frames == sorted(set(frames))
            else:
                assert all((b - a) % length == 1 for a, b in pairwise(frames))
                assert length < len(frames) or frames == sorted(frames)


@pytest.mark.parametrize("batch", ORDERS.values(), ids=ORDERS)
def test_labels_stay_with_their_sequences(store, batch):
    for step in range(4):
        got = loader(store, batch).batch(step)
        rows = [number for number, _ in drawn(got)]
        assert [(7 * number) % 12 for number in rows] == got.labels.tolist()
        for first in range(0, 18, 3):
            assert len(set(got.labels[first : first + 3].tolist())) == 1
            assert len(set(rows[first : first + 3])) == 3
        assert len(set(got.labels.tolist())) == 6


def test_labels_of_ones_own_and_of_a_part_of_the_sequences(store):
    """Given labels count, in sorted order, not the store's; indices may come in any order."""
    indices = [40, 3, 17, 22, 9, 31, 0, 45]
    own = [f"{name:09d}" for name in indices]
    batch = replace(BATCH, ids=8, seqs=2)
    got = loader(store, batch, indices=indices, labels=own).batch(0)
    expected = [sorted(indices).index(number) for number, _ in drawn(got)]
    assert got.labels.tolist() == expected and sorted(set(expected)) == list(range(8))


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("batch", ORDERS.values(), ids=ORDERS)
def test_the_rows_of_all_ranks_are_those_of_one_process(store, batch, world):
    augment = AugmentConfig(flip=0.5, erase=0.5)
    whole = loader(store, batch, augment).batch(2)
    parts = [loader(store, batch, augment, rank=r, world=world).batch(2) for r in range(world)]
    assert torch.equal(torch.cat([part.labels for part in parts]), whole.labels)
    rows = [clip for part in parts for clip in part.silhouettes]
    for mine, expected in zip(rows, whole.silhouettes, strict=True):
        assert torch.equal(mine, expected[: len(mine)]) and not expected[len(mine) :].any()


def test_what_is_changed_leaves_what_is_drawn(store):
    """Erasing a little leaves most of the pixels that tell sequence and frame."""
    plain = [drawn(loader(store).batch(step)) for step in range(5)]
    for augment in (
        AugmentConfig(erase=1.0, erase_area=(0.01, 0.01)),
        AugmentConfig(flip=1.0),
    ):
        for step, expected in enumerate(plain):
            got = loader(store, augment=augment).batch(step)
            if augment.flip:
                got.silhouettes = got.silhouettes.flip(-1)
            told = [number for number, _ in expected]
            assert got.labels.tolist() == [(7 * number) % 12 for number in told]
            kept = zip(drawn(got), expected, strict=True)
            assert sum(a == b for a, b in kept) >= 15, "but for a corner that was erased"


KINDS = {"flip": "flip", "rotate": "warped", "perspective": "warped", "erase": "erased"}


@pytest.mark.parametrize("off", [set(c) for n in (1, 2, 3) for c in combinations(KINDS, n)])
def test_a_change_that_is_off_shifts_no_other(off):
    rates = dict.fromkeys(KINDS, 0.5)
    whole = draw_changes(200, SIZE, AugmentConfig(**rates), generator(0, "x"))
    some = AugmentConfig(**{kind: 0.0 if kind in off else 0.5 for kind in KINDS})
    part = draw_changes(200, SIZE, some, generator(0, "x"))
    for kind in set(KINDS) - off:
        if KINDS[kind] != "warped":
            assert np.array_equal(getattr(part, KINDS[kind]), getattr(whole, KINDS[kind])), kind
    if not off & {"rotate", "perspective"}:
        assert np.array_equal(part.source, whole.source)
    assert not (part.warped & ~whole.warped).any()
    turned = {"rotate", "perspective"} - off
    if len(turned) == 1:
        # Those that were turned in one way alone, and are still, are turned as before.
        alone = draw_changes(200, SIZE, AugmentConfig(**{turned.pop(): 0.5}), generator(0, "x"))
        assert np.array_equal(part.source, alone.source)


def test_steps_draw_neither_alike_nor_in_turn(store):
    """Each of batch, frames and changes differs from step to step, and a step needs no other."""
    ours = loader(store, augment=AugmentConfig(flip=0.5))
    steps = [ours.batch(step) for step in (4, 1, 3, 0, 2)]
    fresh = [loader(store, augment=AugmentConfig(flip=0.5)).batch(step) for step in (4, 1, 3, 0, 2)]
    for a, b in zip(steps, fresh, strict=True):
        assert torch.equal(a.silhouettes, b.silhouettes) and torch.equal(a.labels, b.labels)
    rows = [tuple(number for number, _ in drawn(loader(store).batch(step))) for step in range(9)]
    assert len(set(rows)) == 9
    # One identity with one sequence: only its frames are left to draw.
    single = replace(BATCH, ids=1, seqs=1)
    starts = {drawn(loader(store, single, indices=[5]).batch(step))[0][1][0] for step in range(60)}
    assert starts == set(range(20 - 7 + 1))


def test_seeds_draw_apart(store):
    rows = {tuple(number for number, _ in drawn(loader(store, seed=s).batch(0))) for s in range(9)}
    assert len(rows) == 9


def test_two_purposes_never_share_a_stream(store, monkeypatch):
    """All that a seed draws, with the function that draws it: no stream is asked for by two."""
    askers = defaultdict(list)

    def watched(seed, *stream):
        askers[(seed, *stream)].append(sys._getframe(1).f_code.co_qualname)
        return generator(seed, *stream)

    for module in [m for m in sys.modules.values() if getattr(m, "generator", None) is generator]:
        if module.__name__.split(".")[0] in ("nasgait", "supernet", "retrain"):
            monkeypatch.setattr(module, "generator", watched)
    from retrain import compare, networks

    for module in (compare, networks):
        monkeypatch.setattr(module, "generator", watched)
    space = load_space("nano")
    from nasgait.config.load import validate
    from nasgait.config.schema import ExperimentConfig

    config = validate({"name": "x", "data": {"store": "x"}, "random": 2}, ExperimentConfig, "x")
    parts = split(store, 0.5, 0)
    labelled(store, parts.train, 0.9, 0)
    ours = loader(store, augment=AugmentConfig(flip=0.5))
    for step in range(3):
        ours.batch(step)
        path_at(space, 0, step)
    calibration_sequences(store, parts, config.search.calibration, 0)
    networks.final_networks(config)
    assert len(askers) == 2 + 3 * 4 + 2
    assert all(len(names) == 1 for names in askers.values()), "no stream is asked for twice"
    assert {stream[0] for stream in askers} == {0}
    purposes = defaultdict(set)
    for stream, (name,) in askers.items():
        purposes[stream[1]].add(name)
    assert all(len(names) == 1 for names in purposes.values()), purposes
