"""Rank correlations by their definitions, over all pairs."""

import itertools
import math


def kendall(a, b) -> float:
    """Tau-b of two sequences: concordant less discordant pairs, over those without ties."""

    def order(x, y):
        return int(x > y) - int(x < y)

    pairs = list(itertools.combinations(zip(a, b, strict=True), 2))
    signs = [(order(p[0], q[0]), order(p[1], q[1])) for p, q in pairs]
    untied = math.prod(sum(sign[side] != 0 for sign in signs) for side in (0, 1))
    return sum(x * y for x, y in signs) / math.sqrt(untied) if untied else math.nan


def spearman(a, b) -> float:
    """Pearson's correlation of the ranks; ties share the mean of theirs."""

    def deviations(values):
        below = [sum(other < value for other in values) for value in values]
        ranks = [
            low + (list(values).count(x) + 1) / 2 for low, x in zip(below, values, strict=True)
        ]
        return [rank - sum(ranks) / len(ranks) for rank in ranks]

    def product(x, y):
        return math.fsum(p * q for p, q in zip(x, y, strict=True))

    x, y = deviations(a), deviations(b)
    scale = math.sqrt(product(x, x) * product(y, y))
    return product(x, y) / scale if scale else math.nan
