"""Non-domination by comparing every vector with every other; all objectives are minimised."""

import numpy as np


def fronts(vectors):
    """Indices of ``vectors`` [n, m], front by front."""
    values = np.asarray(vectors, dtype=float)
    covers = np.ones((len(values), len(values)), dtype=bool)
    for column in values.T:
        covers &= column[:, None] <= column
    beats = covers & ~covers.T
    winners = beats.sum(0)  # how many vectors of this front or later ones beat each
    left = np.ones(len(values), dtype=bool)
    while left.any():
        front = np.flatnonzero(left & (winners == 0))
        yield front.tolist()
        left[front] = False
        winners -= beats[front].sum(0)


def minima(vectors):
    """The distinct non-dominated vectors, sorted."""

    def covers(a, b):
        return all(x <= y for x, y in zip(a, b, strict=True))

    distinct = sorted(set(vectors))
    return [v for v in distinct if not any(w != v and covers(w, v) for w in distinct)]
