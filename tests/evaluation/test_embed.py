"""Embedding sequences of a store: order, batches, modes, arithmetic."""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from nasgait.core.errors import ConfigError, DataError
from nasgait.data.store import GaitStore, StoreWriter
from nasgait.data.transforms import fit
from nasgait.evaluation.embed import embed
from nasgait.nn.base import GaitOutput

SIZE = (16, 11)


class Small(nn.Module):
    """Convolution, mean over valid frames and height: [n, 6, 2]; notes what it was given."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv3d(1, 6, (1, 3, 3), padding=(0, 1, 1))
        self.norm = nn.BatchNorm3d(6)
        self.drop = nn.Dropout(0.5)
        self.seen = []

    def forward(self, silhouettes, lengths=None):
        assert not self.training and not torch.is_grad_enabled()
        n, s = silhouettes.shape[:2]
        self.seen.append((n, s, None if lengths is None else lengths.tolist()))
        lengths = torch.full((n,), s) if lengths is None else lengths
        valid = (torch.arange(s) < lengths[:, None])[:, None, :, None, None]
        x = self.drop(self.norm(self.conv(silhouettes[:, None])))
        x = (x * valid).sum(2) / lengths[:, None, None, None]
        return GaitOutput(
            torch.stack([x[:, :, :8].mean((2, 3)), x[:, :, 8:].mean((2, 3))], 2), None
        )


@dataclass
class Frames:
    """Stands in for a store: sequences of given lengths, 32 x 22 or square."""

    lengths: list[int]
    size: tuple[int, int] = (32, 22)

    def __post_init__(self):
        rng = np.random.default_rng(0)
        self.frames = [rng.integers(0, 256, (n, *self.size), np.uint8) for n in self.lengths]
        self.sequences = [SimpleNamespace(length=n, key=f"k{n}") for n in self.lengths]

    def read(self, i, frames=None):
        return self.frames[i] if frames is None else self.frames[i][frames]


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Small()


def alone(model, store, i, max_frames=None):
    silhouettes = fit(torch.from_numpy(store.frames[i][None, :max_frames]), SIZE)
    model.eval()
    with torch.no_grad():
        return model(silhouettes).embeddings[0].numpy()


@pytest.mark.parametrize("budget", [1, 16, 30, 10000, None])
@pytest.mark.parametrize("max_frames", [None, 4])
def test_each_row_is_that_of_the_sequence_alone(model, budget, max_frames):
    store = Frames([5, 9, 1, 9, 12, 3, 5])
    indices = [4, 0, 6, 2, 1, 3, 3]
    rows = embed(model, store, indices, SIZE, max_frames, budget_frames=budget)
    assert rows.shape == (7, 6, 2) and rows.dtype == np.float32
    for row, i in zip(rows, indices, strict=True):
        np.testing.assert_allclose(row, alone(model, store, i, max_frames), atol=1e-6)


def test_like_lengths_share_batches_within_the_budget(model):
    embed(model, Frames([5, 9, 1, 9, 12, 3, 5]), range(7), SIZE, budget_frames=18)
    assert model.seen == [(1, 12, None), (2, 9, None), (3, 5, [5, 5, 3]), (1, 1, None)]


@pytest.mark.parametrize(("length", "batches"), [(558, 1), (559, 2)])
def test_without_a_budget_batches_suit_the_caches_of_a_cpu(model, length, batches):
    """3 * 2^16 pixels are 1,117 frames of 16 x 11."""
    embed(model, Frames([length] * 2, size=(16, 11)), range(2), SIZE)
    assert len(model.seen) == batches


def test_a_sequence_beyond_the_budget_has_its_own_batch(model):
    embed(model, Frames([50, 2, 2]), range(3), SIZE, budget_frames=4)
    assert model.seen == [(1, 50, None), (2, 2, None)]


def test_modes_are_restored_one_by_one(model):
    model.train()
    model.norm.eval()
    embed(model, Frames([3]), [0], SIZE)
    assert model.training and model.drop.training and not model.norm.training


def test_modes_are_restored_after_a_failure(model):
    model.train()
    with pytest.raises(ConfigError):
        embed(model, Frames([3], size=(20, 20)), [0], SIZE)
    assert model.training


def test_bfloat16_and_channels_last(model):
    store = Frames([5, 9, 4])
    plain = embed(model, store, range(3), SIZE)
    model.to(memory_format=torch.channels_last_3d)
    np.testing.assert_allclose(embed(model, store, range(3), SIZE), plain, atol=1e-6)
    narrow = embed(model, store, range(3), SIZE, precision="bfloat16")
    assert narrow.dtype == np.float32 and not np.array_equal(narrow, plain)
    np.testing.assert_allclose(narrow, plain, atol=0.02)


def test_square_frames_are_cut(model):
    store = Frames([4], size=(64, 64))
    np.testing.assert_allclose(embed(model, store, [0], SIZE)[0], alone(model, store, 0), atol=1e-6)


def test_a_network_of_the_space_on_a_store(tmp_path):
    from search_spaces import load_space

    frames = Frames([5, 20, 9, 2], size=(64, 64)).frames
    with StoreWriter(tmp_path / "store") as writer:
        for number, sequence in enumerate(frames):
            writer.add(f"{number}", "nm-01", "090", "test", sequence)
    store = GaitStore.open(tmp_path / "store")
    space = load_space("nano")
    network = space.build(space.uniform()[0])
    together = embed(network, store, [2, 0, 3, 1], space.size, max_frames=12)
    apart = [embed(network, store, [i], space.size, max_frames=12)[0] for i in [2, 0, 3, 1]]
    np.testing.assert_allclose(together, apart, atol=1e-5)


def test_a_bar_shows_the_progress_where_it_is_asked_for(model, capsys):
    embed(model, Frames([3, 2]), [0, 1], SIZE)
    assert capsys.readouterr().err == ""
    embed(model, Frames([3, 2]), [0, 1], SIZE, progress=True)
    assert "embed" in capsys.readouterr().err


def test_nothing_to_embed(model):
    with pytest.raises(DataError, match="no sequences to embed"):
        embed(model, Frames([3]), [], SIZE)
    with pytest.raises(DataError, match="k0 of the store has no frames"):
        embed(model, Frames([3, 0]), [0, 1], SIZE)
