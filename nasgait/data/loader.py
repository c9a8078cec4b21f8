"""Batches for training, each a function of (seed, step), and padding for evaluation."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nasgait.config.schema import AugmentConfig, BatchConfig
from nasgait.core.errors import DataError
from nasgait.core.rng import generator
from nasgait.data.sampler import Identities, check_batch, frame_indices, sample_batch
from nasgait.data.store import GaitStore
from nasgait.data.transforms import Size, apply_changes, check_augment, draw_changes, fit, reduction


@dataclass
class Batch:
    """What a training step sees."""

    silhouettes: Tensor
    """float32 [n, s, h, w] in 0..1; the sequences of an identity stand side by side.  Frames
    after the end of a sequence are 0."""
    labels: Tensor
    """int64 [n]: number of the identity, in the sorted order of all training identities."""
    lengths: Tensor | None = None
    """int64 [n]: frames of each sequence; None where all have s."""


class TrainLoader:
    """Draws the batches of a training run; has no state.

    Each of several processes gets whole identities of the same global batch, augmented by the
    same draws: joined, their batches are that of a single process.

    Args:
        store, indices: where the frames are, and which sequences to train on.
        config: the batch over all processes together.
        augment: the random changes.
        size: height and width of the network's input.
        seed: the run's seed.
        rank, world: number of this process, and of all of them.
        labels: the identity of each of ``indices``; the store's by default.

    Raises:
        ConfigError: a batch that the identities or processes cannot fill, changes that
            cannot be drawn, frames that do not reduce to the network's size.
        DataError: a sequence without frames.
    """

    def __init__(
        self,
        store: GaitStore,
        indices: Sequence[int],
        config: BatchConfig,
        augment: AugmentConfig,
        size: Size,
        seed: int,
        rank: int = 0,
        world: int = 1,
        labels: Sequence[str] | None = None,
    ) -> None:
        rows = [store.sequences[index] for index in indices]
        for sequence in rows:
            if sequence.length < 1:
                raise DataError(f"sequence {sequence.key} has no frames: import it again")
        if labels is None:
            labels = [sequence.label for sequence in rows]
        self.identities = Identities.of(zip(indices, labels, strict=True))
        check_batch(config, len(self.identities), world)
        check_augment(augment)
        reduction(store.size, size)
        self._store, self._size, self._seed = store, size, seed
        self.config, self._augment = config, augment
        share = config.ids * config.seqs // world
        self._mine = slice(rank * share, (rank + 1) * share)

    @property
    def classes(self) -> int:
        """Number of training identities, hence of label numbers."""
        return len(self.identities)

    def batch(self, step: int) -> Batch:
        """Return this process's share of the batch of one step."""
        config, seed = self.config, self._seed
        indices, labels = sample_batch(self.identities, config, seed, step)
        rng = generator(seed, "frames", step)
        lengths = (self._store.sequences[index].length for index in indices)
        frames = [frame_indices(length, config, rng) for length in lengths]
        count = len(indices)
        changes = draw_changes(count, self._size, self._augment, generator(seed, "augment", step))

        mine = frames[self._mine]
        pixels = self._read(indices[self._mine], mine)
        silhouettes = fit(pixels, self._size)
        if changes is not None:
            silhouettes = apply_changes(silhouettes, changes[self._mine])
        return Batch(silhouettes, torch.from_numpy(labels[self._mine]), _lengths(mine))

    def stream(self, start: int, stop: int, depth: int = 2) -> Iterator[Batch]:
        """Yield the batches of steps ``start`` to ``stop - 1``, preparing ``depth`` of them ahead.

        One background thread makes them on one core, since the training needs the others.  Its
        exceptions are raised here.  It ends with the iterator, and an iterator that is never
        finished does not keep Python alive.
        """
        with ThreadPoolExecutor(1, "loader") as pool:
            _use_one_core(pool)
            ahead: deque[Future[Batch]] = deque()
            try:
                for step in range(start, stop):
                    ahead.append(pool.submit(self.batch, step))
                    if len(ahead) > depth:
                        yield ahead.popleft().result()
                while ahead:
                    yield ahead.popleft().result()
            finally:
                for batch in ahead:
                    batch.cancel()

    def _read(self, indices: NDArray[np.int64], frames: list[NDArray[np.int64]]) -> Tensor:
        """The chosen frames uint8 [n, longest, h, w], black after the end of a sequence."""
        longest = max(map(len, frames))
        pixels = np.empty((len(indices), longest, *self._store.size), np.uint8)
        clips = [row[: len(chosen)] for row, chosen in zip(pixels, frames, strict=True)]
        self._store.read_into(clips, indices.tolist(), frames)
        for row, chosen in zip(pixels, frames, strict=True):
            row[len(chosen) :] = 0
        return torch.from_numpy(pixels)


def _lengths(frames: list[NDArray[np.int64]]) -> Tensor | None:
    """int64 [n], or None where all sequences are equally long."""
    lengths = [len(chosen) for chosen in frames]
    return None if len(set(lengths)) == 1 else torch.tensor(lengths)


def pad(sequences: Sequence[NDArray[np.uint8]]) -> tuple[Tensor, Tensor]:
    """Join sequences uint8 [s, h, w] of any lengths: (uint8 [n, longest, h, w], int64 [n]).

    Valid frames come first, padding is 0; the second tensor holds the lengths.  Raises DataError
    for no sequence, one without frames, or frames of unequal size.
    """
    if not sequences:
        raise DataError("there is no sequence to pad: at least one is needed")
    lengths = [len(sequence) for sequence in sequences]
    sizes = {sequence.shape[1:] for sequence in sequences}
    if min(lengths) < 1 or len(sizes) > 1:
        raise DataError(
            f"sequences of {min(lengths)} frames or more and of the sizes {sorted(sizes)} cannot "
            f"be padded together: each needs a frame, all need one size"
        )
    padded = np.zeros((len(sequences), max(lengths), *sizes.pop()), np.uint8)
    for row, sequence in zip(padded, sequences, strict=True):
        row[: len(sequence)] = sequence
    return torch.from_numpy(padded), torch.tensor(lengths)


def _use_one_core(pool: ThreadPoolExecutor) -> None:
    """Let torch use one core in the pool's thread, and as many as before in all others.

    ``torch.set_num_threads`` sets the number of the calling thread, and of every thread that has
    not run an operation yet.  So the pool's thread runs one first, and the caller sets its own
    number again afterwards.
    """
    threads = torch.get_num_threads()
    pool.submit(torch.get_num_threads).result()
    pool.submit(torch.set_num_threads, 1).result()
    torch.set_num_threads(threads)
