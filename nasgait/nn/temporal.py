"""Time in batches of sequences: lengths, masks, and sequences too short to convolve."""

import torch
from torch import Tensor

LTA_STRIDE = 3
"""Frames that local temporal aggregation joins into one (SPOSGait, GaitGL)."""


def check_lengths(silhouettes: Tensor, lengths: Tensor | None) -> Tensor | None:
    """Return ``lengths`` [n] beside the silhouettes [n, s, h, w], None when nothing is padded.

    Raises:
        ValueError: not one length for each sequence, or one outside 1..s.
    """
    if lengths is None:
        return None
    n, s = silhouettes.shape[:2]
    if lengths.shape != (n,):
        raise ValueError(f"lengths: need one for each of {n} sequences, got {list(lengths.shape)}")
    if lengths.min() < 1 or lengths.max() > s:
        raise ValueError(f"lengths: each must be in 1..{s}, got {lengths.tolist()}")
    return None if lengths.min() == s else lengths.to(silhouettes.device)


def repeat_short(
    silhouettes: Tensor, lengths: Tensor | None, minimum: int
) -> tuple[Tensor, Tensor | None]:
    """Repeat whole sequences below ``minimum`` frames as often as it takes to reach it.

    With the minimum of 3 in SPOSGait, GaitGL and HSTL, one frame is repeated
    three times and two frames twice (a b a b).

    Args:
        silhouettes: [n, s, h, w]; lengths: int64 [n] or None.

    Returns:
        Silhouettes [n, s', h, w] and lengths of the sequences after repetition.
    """
    if lengths is None:
        times = repeats(silhouettes.shape[1], minimum)
        return (silhouettes.repeat(1, times, 1, 1) if times > 1 else silhouettes), None
    if lengths.min() >= minimum:
        return silhouettes, lengths
    longer = torch.where(lengths < minimum, -(-minimum // lengths) * lengths, lengths)
    frames = max(silhouettes.shape[1], int(longer.max()))
    index = torch.arange(frames, device=lengths.device) % lengths[:, None]
    rows = torch.arange(len(lengths), device=lengths.device)[:, None]
    return silhouettes[rows, index], longer


def repeats(frames: int, minimum: int) -> int:
    """How often a sequence of ``frames`` is played to have ``minimum`` frames."""
    return max(1, -(-minimum // frames))


def valid_mask(lengths: Tensor | None, frames: int) -> Tensor | None:
    """Bool [n, 1, frames, 1, 1], True on real frames; None when nothing is padded."""
    if lengths is None:
        return None
    mask = torch.arange(frames, device=lengths.device) < lengths[:, None]
    return mask[:, None, :, None, None]


def valid_after_lta(valid: Tensor | None) -> Tensor | None:
    """The mask after a convolution over time with kernel and stride 3 and no padding.

    An output frame is real if all three frames that it saw are.
    """
    return None if valid is None else valid[:, :, LTA_STRIDE - 1 :: LTA_STRIDE]


def hide(x: Tensor, valid: Tensor | None) -> Tensor:
    """Put zeros on padding, so that a convolution over time sees what it sees at a real end."""
    return x if valid is None else x.masked_fill(~valid, 0)


def pack(silhouettes: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """The real frames of all sequences, one after another, for networks that see each alone.

    Args:
        silhouettes: [n, s, h, w]; lengths: as :func:`check_lengths` returns them.

    Returns:
        Frames [f, 1, h, w], and bool [n, s] that tells where they belong (None: all).
    """
    if lengths is None:
        return silhouettes.flatten(0, 1)[:, None], None
    valid = torch.arange(silhouettes.shape[1], device=lengths.device) < lengths[:, None]
    return silhouettes[valid][:, None], valid
