"""Distances between embeddings: means over the parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nasgait.core.errors import ConfigError, DataError

if TYPE_CHECKING:
    import torch

METRICS = ("euc", "cos")
"""Euclidean distance, and one minus the cosine."""

_CELLS = 1 << 23
"""Distances in one block of :func:`blocks`."""


def check_embeddings(
    embeddings: NDArray[np.float32], what: str = "embeddings", names: Sequence[str] = ()
) -> None:
    """Raise DataError unless embeddings are [n, c, p], not empty, and finite.

    ``names`` [n] are those of the sequences, so that the message can name one.
    """
    if embeddings.ndim != 3 or 0 in embeddings.shape:
        raise DataError(
            f"{what}: shape {list(embeddings.shape)} is not [sequences, channels, parts], "
            "each at least 1"
        )
    broken = np.flatnonzero(~np.isfinite(embeddings).all(axis=(1, 2)))
    if len(broken):
        first = f"sequence {names[broken[0]]}" if len(names) else f"number {broken[0]}"
        raise DataError(
            f"{what}: NaN or infinite in {len(broken)} of {len(embeddings)} sequences, first in "
            f"{first}; the network has diverged or its weights do not fit"
        )


def distances(
    probe: NDArray[np.float32],
    gallery: NDArray[np.float32],
    metric: str = "euc",
    device: str = "cpu",
) -> NDArray[np.float32]:
    """Return the distances [n, m] of probe [n, c, p] to gallery [m, c, p].

    Raises:
        ConfigError: unknown metric.
        DataError: embeddings that :func:`check_embeddings` refuses, or of unequal [c, p].
    """
    return np.concatenate([block for _, block in blocks(probe, gallery, metric, device)])


def blocks(
    probe: NDArray[np.float32],
    gallery: NDArray[np.float32],
    metric: str = "euc",
    device: str = "cpu",
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Yield slices of the probes with their distances [rows, m], in bounded memory.

    Raises the same errors as :func:`distances`.
    """
    if metric not in METRICS:
        raise ConfigError(f"metric {metric!r} is unknown, known are {', '.join(METRICS)}")
    check_embeddings(probe, "probe embeddings")
    check_embeddings(gallery, "gallery embeddings")
    if probe.shape[1:] != gallery.shape[1:]:
        raise DataError(
            f"probe embeddings have [channels, parts] {list(probe.shape[1:])}, those of the "
            f"gallery {list(gallery.shape[1:])}; both must come from the same network"
        )
    import torch  # here, so that ``--help`` can list the protocols without it

    x, y = (
        torch.as_tensor(np.ascontiguousarray(side, np.float32), device=device)
        .permute(2, 0, 1)  # [p, n, c]
        .contiguous()
        for side in (probe, gallery)
    )
    if metric == "euc":
        # Distances do not depend on the origin; with it in the middle, fewer digits cancel.
        origin = y.mean(1, keepdim=True)
        x, y = x - origin, y - origin
    else:
        x, y = torch.nn.functional.normalize(x, dim=2), torch.nn.functional.normalize(y, dim=2)
    rows = max(1, _CELLS // y.shape[1])
    for start in range(0, x.shape[1], rows):
        block = _euclidean if metric == "euc" else _cosine
        part = slice(start, min(start + rows, x.shape[1]))
        yield part, block(x[:, part], y).cpu().numpy()


def _euclidean(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Mean over p of the distances of x [p, n, c] to y [p, m, c]: [n, m]."""
    total = x.new_zeros(x.shape[1], y.shape[1])
    for part_x, part_y in zip(x, y, strict=True):
        squared = part_y.square().sum(1).addmm(part_x, part_y.T, alpha=-2)
        squared += part_x.square().sum(1, keepdim=True)
        total += squared.clamp_(min=0).sqrt_()
    return total / len(x)


def _cosine(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """One minus the mean over p of the cosines of unit x [p, n, c] and y [p, m, c]: [n, m]."""
    total = x.new_zeros(x.shape[1], y.shape[1])
    for part_x, part_y in zip(x, y, strict=True):
        total.addmm_(part_x, part_y.T)
    return 1 - total / len(x)
