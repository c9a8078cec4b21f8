"""Sorting by non-domination, as NSGA-II ranks a population.

Deb, Pratap, Agarwal, Meyarivan, "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II"
(IEEE Transactions on Evolutionary Computation 6(2), 2002).  All objectives are minimised.
"""

from collections.abc import Iterator, Sequence

import numpy as np

Vectors = Sequence[Sequence[float]]


def fronts(vectors: Vectors) -> Iterator[list[int]]:
    """Indices of ``vectors`` [n, m], front by front.

    The first front holds what no vector dominates, the next what only the first front
    dominates, and so on; in each the indices ascend.  Equal vectors share a front.
    """
    from moocore import pareto_rank  # here, as training does without it

    if len(vectors):
        ranks = pareto_rank(np.asarray(vectors, dtype=float))
        for rank in range(ranks.max() + 1):
            yield np.flatnonzero(ranks == rank).tolist()


def crowding(vectors: Vectors) -> np.ndarray:
    """Crowding distance [n] of the vectors [n, m] of one front; larger is less crowded.

    For each objective the gap between the two neighbours, as a share of the front's range, summed
    over the objectives; the ends are infinitely far.  An objective in which all are equal adds
    nothing.  Of equal vectors only the first has a distance, as the others add no spread.
    """
    values, first = np.unique(np.asarray(vectors, dtype=float), axis=0, return_index=True)
    distances = np.zeros(len(values))
    for column in values.T:
        order = np.argsort(column, kind="stable")
        ranked = column[order]
        reach = ranked[-1] - ranked[0]
        if reach > 0:
            distances[order[[0, -1]]] = np.inf
            distances[order[1:-1]] += (ranked[2:] - ranked[:-2]) / reach
    spread = np.zeros(len(vectors))
    spread[first] = distances
    return spread
