"""Time in batches of sequences: lengths, masks, packs, and sequences that are too short."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

LTA_STRIDE = 3
"""Frames that local temporal aggregation joins into one (SPOSGait, GaitGL)."""


def check_lengths(silhouettes: Tensor, lengths: Tensor | None) -> Tensor | None:
    """Check ``lengths`` [n] of silhouettes [n, s, h, w]; return None when nothing is padded.

    Raises:
        ValueError: there is not one length for each sequence, or one is outside 1..s.
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
    """How often to play a sequence of ``frames`` so that it has ``minimum`` frames."""
    return max(1, -(-minimum // frames))


def valid_mask(lengths: Tensor | None, frames: int) -> Tensor | None:
    """Bool [n, 1, frames, 1, 1], True on real frames; None when nothing is padded."""
    if lengths is None:
        return None
    mask = torch.arange(frames, device=lengths.device) < lengths[:, None]
    return mask[:, None, :, None, None]


def valid_after_lta(valid: Tensor | None) -> Tensor | None:
    """The mask after a convolution over time with kernel and stride 3 and no padding.

    An output frame is real if all three of its input frames are.
    """
    return None if valid is None else valid[:, :, LTA_STRIDE - 1 :: LTA_STRIDE]


def hide(x: Tensor, valid: Tensor | None) -> Tensor:
    """Set padding to zero: a convolution over time then sees what it sees at the end of a clip."""
    return x if valid is None else x.masked_fill(~valid, 0)


def hide_(x: Tensor, valid: Tensor | None) -> Tensor:
    """:func:`hide` in place, for activations without gradients that nothing else reads."""
    if valid is None:
        return x
    if x.is_cuda:
        return x.masked_fill_(~valid, 0)
    # On a CPU it pays to leave out the frames that are real in every sequence.
    shortest = int(valid.all(0).sum())
    x[:, :, shortest:].masked_fill_(~valid[:, :, shortest:], 0)
    return x


def pack(silhouettes: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """The real frames of all sequences in a row, for networks that see each frame alone.

    Args:
        silhouettes: [n, s, h, w]; lengths: as :func:`check_lengths` returns them.

    Returns:
        Frames [f, 1, h, w], and bool [n, s], True at their places in the batch (None: all).
    """
    if lengths is None:
        return silhouettes.flatten(0, 1)[:, None], None
    valid = torch.arange(silhouettes.shape[1], device=lengths.device) < lengths[:, None]
    return silhouettes[valid][:, None], valid


def unpack(frames: Tensor, valid: Tensor, padding: float = 0.0) -> Tensor:
    """The frames of a :func:`pack` at their places in the batch, ``padding`` everywhere else.

    Args:
        frames: [f, c, ...]; valid: bool [n, s], as :func:`pack` returned it.

    Returns:
        [n, s, c, ...], channels last in memory.
    """
    # With channels last whole rows are copied rather than single numbers.
    rows = frames.movedim(1, -1)
    padded = rows.new_full((valid.numel(), *rows.shape[1:]), padding)
    padded.index_copy_(0, valid.flatten().nonzero()[:, 0], rows)
    return padded.unflatten(0, valid.shape).movedim(-1, 2)


@dataclass(frozen=True)
class Clips:
    """How the frames of a :func:`pack` follow each other, for kernels of three frames.

    Sequences of unequal length are put into one clip with a blank frame between neighbours, which
    is what a kernel sees at the end of a clip: no sequence is padded, and none sees another.
    """

    sequences: int
    """n."""
    positions: Tensor | None
    """int64 [f]: each frame's position in the clip; None: n clips of equal length."""

    @classmethod
    def of(cls, sequences: int, valid: Tensor | None) -> "Clips":
        """From ``valid`` as :func:`pack` returns it for the ``sequences`` n."""
        if valid is None:
            return cls(sequences, None)
        rows = valid.nonzero()[:, 0]
        return cls(sequences, torch.arange(len(rows), device=rows.device) + rows)

    def convolve(self, conv: nn.Conv3d, frames: Tensor) -> Tensor:
        """Convolve frames [f, c, h, w] to [f, out, h', w'].

        The kernel spans three frames or one, with stride 1 and same padding in time.
        """
        return self._to_frames(conv(self._to_clips(frames)))

    def _to_clips(self, frames: Tensor) -> Tensor:
        """Frames [f, c, h, w] as clips [n, c, s, h, w], or [1, c, f + n - 1, h, w]."""
        if self.positions is None:
            return frames.unflatten(0, (self.sequences, -1)).transpose(1, 2)
        images = frames.permute(0, 2, 3, 1)
        clip = images.new_zeros(len(images) + self.sequences - 1, *images.shape[1:])
        return clip.index_copy_(0, self.positions, images).permute(3, 0, 1, 2)[None]

    def _to_frames(self, clips: Tensor) -> Tensor:
        """The frames [f, c, h, w] of clips."""
        if self.positions is None:
            return clips.transpose(1, 2).flatten(0, 1)
        images = clips[0].permute(1, 2, 3, 0)
        return images.index_select(0, self.positions).permute(0, 3, 1, 2)
