"""Independent random streams, each a function of the run's seed and a name.

Everything random in training is drawn from ``generator(seed, purpose, step)``.  No generator lives
longer than a step, so there is no state to save: a resumed run needs only the step, every rank
draws the same values without communication, and one purpose never disturbs another.
"""

import zlib

import numpy as np

from nasgait.core.errors import ConfigError


def generator(seed: int, *stream: str | int) -> np.random.Generator:
    """The generator of one purpose, e.g. ``generator(seed, "batch", step)``.

    ``seed`` and the numbers in ``stream`` are whole numbers (0 or more); names are hashed by
    CRC-32, so a stream is the same on every machine and Python.  Every word is given as 64 bits:
    ``(1, 2)`` and ``(1 + 2 * 2**32,)`` differ, and so do a stream and its prefix, whose lengths are
    part of the entropy.

    Raises ConfigError for a negative seed or number, or an empty name.
    """
    if "" in stream:
        raise ConfigError("a random stream needs a name; an empty one hashes as the number 0")
    numbers = (zlib.crc32(s.encode()) if isinstance(s, str) else s for s in stream)
    words = [_whole(word) for word in (seed, *numbers)]
    entropy = [len(words)]
    for word in words:
        entropy += [word & 0xFFFFFFFF, word >> 32]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))


def _whole(value: int) -> int:
    if value < 0 or value >= 2**64:
        raise ConfigError(f"seed {value}: random streams take whole numbers from 0 to 2**64 - 1")
    return int(value)
