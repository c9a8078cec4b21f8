"""Batches the plain way: each frame flipped and turned by OpenCV, in worker processes."""

from collections.abc import Iterator

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from nasgait.config.schema import BatchConfig
from nasgait.core.rng import generator
from nasgait.data.loader import Batch
from nasgait.data.sampler import Identities, frame_indices, sample_batch
from nasgait.data.store import GaitStore

WORKERS = 4
MARGIN = 10
"""Columns cut from each side of a frame of 64."""


class PlainBatches(Dataset[tuple[Tensor, Tensor]]):
    """Batches by step, each frame flipped and turned by OpenCV, as published loaders do."""

    def __init__(self, store: GaitStore, indices: list[int], config: BatchConfig) -> None:
        labels = [store.sequences[i].label for i in indices]
        self.identities = Identities.of(zip(indices, labels, strict=True))
        self.store, self.config = store, config

    def __len__(self) -> int:
        return 2**31

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        indices, labels = sample_batch(self.identities, self.config, 0, step)
        rng = generator(0, "plain", step)
        clips = []
        for index in indices.tolist():
            length = self.store.sequences[index].length
            clips.append(
                changed(self.store.read(index, frame_indices(length, self.config, rng)), rng)
            )
        return torch.from_numpy(np.stack(clips)), torch.from_numpy(labels)

    def stream(self) -> Iterator[Batch]:
        """Batches from step 0 on, made by worker processes."""
        loader = DataLoader(self, batch_size=None, num_workers=WORKERS, pin_memory=True)
        for silhouettes, labels in loader:
            yield Batch(silhouettes, labels)


def changed(frames: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.float32]:
    """One sequence flipped and turned by chance, cut and scaled to 0..1, frame by frame."""
    flip, turn, degrees = rng.random() < 0.5, rng.random() < 0.5, rng.uniform(-10, 10)
    matrix = cv2.getRotationMatrix2D((21.5, 31.5), degrees, 1)
    out = []
    for frame in frames:
        image = frame[:, MARGIN:-MARGIN].astype(np.float32) / 255
        image = image[:, ::-1] if flip else image
        out.append(cv2.warpAffine(np.ascontiguousarray(image), matrix, (44, 64)) if turn else image)
    return np.stack(out)
