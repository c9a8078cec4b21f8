"""Which sequences, and which of their frames, a training step sees.

A batch holds P identities times K sequences, as published for triplet losses
(Hermans et al., "In Defense of the Triplet Loss", 2017).  Every draw is a function
of (seed, step), see :mod:`nasgait.core.rng`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nasgait.config.schema import BatchConfig
from nasgait.core.errors import ConfigError, DataError
from nasgait.core.rng import generator

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Identities:
    """The training identities in sorted order, and the sequences of each.

    ``names[label]`` is the identity behind a label number, ``members[label]`` its sequence indices
    in the store.  Raises DataError for an identity without a sequence.
    """

    names: tuple[str, ...]
    members: tuple[Indices, ...]

    def __post_init__(self) -> None:
        for name, members in zip(self.names, self.members, strict=True):
            if not len(members):
                raise DataError(
                    f"identity {name} has no sequence: import its sequences or leave it out"
                )

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def of(cls, sequences: Iterable[tuple[int, str]]) -> "Identities":
        """Group ``(index, identity)`` pairs; label numbers follow the sorted identities."""
        groups: dict[str, list[int]] = {}
        for index, name in sequences:
            groups.setdefault(name, []).append(index)
        names = tuple(sorted(groups))
        return cls(names, tuple(np.sort(np.array(groups[name], np.int64)) for name in names))


def sample_batch(
    identities: Identities, config: BatchConfig, seed: int, step: int
) -> tuple[Indices, Indices]:
    """Draw the sequences of a step: ``(sequence indices [P*K], label numbers [P*K])``.

    The P identities are distinct, and the K sequences of one stand side by side.  They are distinct
    if the identity has K; if it has fewer, each is taken equally often (but for a remainder), so
    that none is left out by chance.

    Raises ConfigError for fewer identities than P.
    """
    check_batch(config, len(identities))
    rng = generator(seed, "batch", step)
    labels = rng.choice(len(identities), config.ids, replace=False)
    chosen = [_take(identities.members[label], config.seqs, rng) for label in labels]
    return np.concatenate(chosen), np.repeat(labels, config.seqs)


def check_batch(config: BatchConfig, identities: int, world: int = 1) -> None:
    """Refuse a batch that these identities cannot fill or these processes cannot share.

    Raises ConfigError for fewer identities than P, P not divisible by the processes, swapped bounds
    of the number of frames, or frames to skip in an order without skipping.
    """
    if identities < config.ids:
        raise ConfigError(
            f"batch.ids is {config.ids}, but there are only {identities} training identities: "
            f"set batch.ids to {identities} or less, or give more data"
        )
    if config.ids % world:
        raise ConfigError(
            f"batch.ids is {config.ids}, which {world} processes cannot share evenly: "
            f"set batch.ids to a multiple of {world}"
        )
    if config.skip and config.order != "ordered":
        raise ConfigError(
            f"batch.skip is {config.skip} with the order {config.order}: only ordered runs of "
            "frames skip some; leave it out, or give the order ordered"
        )
    if config.order != "all" and (config.frames_max or config.frames) < config.frames:
        raise ConfigError(
            f"batch.frames_max is {config.frames_max}, below batch.frames, {config.frames}: "
            "give the smallest number of frames as frames and the largest as frames_max"
        )


def frames_in_words(config: BatchConfig) -> str:
    """How many frames of each sequence a step sees, for people."""
    if config.order == "all":
        return f"up to {config.frames_max} frames" if config.frames_max else "all frames"
    if config.frames_max is None:
        return f"{config.frames} frames"
    return f"{config.frames} to {config.frames_max} frames"


def frame_indices(length: int, config: BatchConfig, rng: np.random.Generator) -> Indices:
    """Draw frame numbers of a sequence of ``length`` frames: int64 [frames].

    Their number is ``config.frames``, or drawn evenly from ``frames`` to ``frames_max`` (OpenGait's
    "unfixed").  Raises DataError for a sequence without frames.

    Ordered: a run of successive frames; with ``skip``, the run is longer by that number and as
    many frames are dropped at random.  A sequence shorter than the run is repeated from its
    first frame (OpenGait's "fixed_ordered").
    Unordered: distinct frames if there are enough, else drawn with replacement
    (OpenGait's "fixed_unordered").
    All: the sequence as it is, cut after ``frames_max`` (OpenGait's "all_ordered" with
    ``frames_all_limit``).
    """
    if length < 1:
        raise DataError("a sequence without frames cannot be trained on: import it again")
    if config.order == "all":
        return np.arange(min(length, config.frames_max or length))
    count = config.frames
    if config.frames_max is not None:
        count = int(rng.integers(config.frames, config.frames_max + 1))
    if config.order == "unordered":
        return rng.choice(length, count, replace=length < count)
    window = count + config.skip
    repeated = length * -(-window // length)
    kept: Indices = np.arange(count)
    if config.skip:
        kept = np.sort(rng.choice(window, count, replace=False))
    return (rng.integers(repeated - window + 1) + kept) % length


def _take(members: Indices, count: int, rng: np.random.Generator) -> Indices:
    rounds, rest = divmod(count, len(members))
    extra = rng.choice(members, rest, replace=False)
    return rng.permutation(np.concatenate([np.tile(members, rounds), extra]))
