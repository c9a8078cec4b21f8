"""Embeddings of a store's sequences, computed in batches of similar length."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from nasgait.core.distributed import World
from nasgait.core.errors import DataError
from nasgait.core.precision import autocast
from nasgait.data.loader import pad
from nasgait.data.store import GaitStore
from nasgait.data.transforms import fit

PIXELS = {"cpu": 3 << 16, "cuda": 1 << 23}
"""Input pixels in a batch, padding included, unless a number of frames is given.

A CPU is fastest when the activations stay in its cache: a nano network at about 280 frames of
32 x 22; at 1000 frames it is a third slower."""


def embed(
    model: nn.Module,
    store: GaitStore,
    indices: Sequence[int],
    size: tuple[int, int],
    max_frames: int | None = None,
    device: str | torch.device = "cpu",
    precision: str = "float32",
    budget_frames: int | None = None,
    progress: bool = False,
) -> NDArray[np.float32]:
    """Embed sequences with a network in eval mode; its mode is restored afterwards.

    Sequences of similar length share a batch to keep padding small; the network masks it.
    Equal indices give equal batches.

    Args:
        model: takes (silhouettes [n, s, h, w], lengths) and is on ``device``.
        store, indices: silhouettes, and which of their sequences to embed, in any order.
        size: height and width of the network's input.
        max_frames: frames used of each sequence, from the first; all by default.
        device, precision: where the network runs, and in which arithmetic.
        budget_frames: frames in a batch, padding included; by default what suits the
            device (see ``PIXELS``).  A longer sequence has a batch of its own.
        progress: show a bar on stderr.

    Returns:
        float32 [n, c, p], in the order of ``indices``.

    Raises:
        DataError: no sequences, or one without frames.
        ConfigError: frames that do not fit ``size``.
    """
    lengths = _lengths(store, indices, max_frames)
    place = torch.device(device)
    budget = budget_frames or PIXELS[place.type] // (size[0] * size[1])
    rows: list[NDArray[np.float32] | None] = [None] * len(indices)
    bar = tqdm(total=len(indices), desc="embed", unit="seq", disable=not progress, leave=False)
    with bar, _evaluating(model), torch.inference_mode(), autocast(place, precision):
        for batch in like_lengths(lengths, budget):
            frames, valid = pad(
                [store.read(indices[i], np.arange(lengths[i], dtype=np.int64)) for i in batch]
            )
            silhouettes = fit(frames.to(place), size)
            equal = bool((valid == valid[0]).all())
            output = model(silhouettes, None if equal else valid.to(place))
            embeddings = output.embeddings.float().cpu().numpy()
            for i, embedding in zip(batch, embeddings, strict=True):
                rows[i] = embedding
            bar.update(len(batch))
    return np.stack([row for row in rows if row is not None])


def embed_shared(
    model: nn.Module,
    store: GaitStore,
    indices: Sequence[int],
    size: tuple[int, int],
    world: World,
    max_frames: int | None = None,
    precision: str = "float32",
    progress: bool = False,
) -> NDArray[np.float32]:
    """Run :func:`embed` with the work shared among the ranks of ``world``; all must call this.

    Every rank gets all embeddings, float32 [n, c, p] in the order of ``indices``.
    """
    lengths = _lengths(store, indices, max_frames)
    order = np.argsort(-lengths, kind="stable").tolist()
    own = order[world.rank :: world.size]
    found: NDArray[np.float32] | None = None
    if own:
        share = [indices[i] for i in own]
        settings = (max_frames, world.device, precision, None, progress and world.main)
        found = embed(model, store, share, size, *settings)
    shares: list[NDArray[np.float32] | None] = [found]
    if world.size > 1:
        shares = [None] * world.size
        dist.all_gather_object(shares, found)
    rows = np.concatenate([share for share in shares if share is not None])
    places = np.concatenate([order[rank :: world.size] for rank in range(world.size)])
    return rows[np.argsort(places)]


def _lengths(store: GaitStore, indices: Sequence[int], max_frames: int | None) -> NDArray[np.int64]:
    """Frames to use of each sequence, [n]."""
    rows = [store.sequences[i] for i in indices]
    if not rows:
        raise DataError("no sequences to embed: at least one is needed")
    if empty := [row.key for row in rows if row.length < 1]:
        raise DataError(f"sequence {empty[0]} of the store has no frames")
    lengths = np.array([row.length for row in rows], dtype=np.int64)
    return lengths if max_frames is None else np.minimum(lengths, max_frames)


def like_lengths(lengths: Sequence[int] | NDArray[np.int64], frames: int) -> Iterator[list[int]]:
    """Yield batches of sequences, as positions in ``lengths``, the longest sequences first.

    A batch has at most ``frames`` frames, padding included, or one longer sequence.  With the
    longest first, a lack of memory shows at once.
    """
    batch: list[int] = []
    for i in np.argsort(-np.asarray(lengths), kind="stable").tolist():
        if batch and int(lengths[batch[0]]) * (len(batch) + 1) > frames:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Put all modules into eval mode, and restore the mode of each at the end."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
