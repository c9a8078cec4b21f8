"""Which candidates may be good, predicted from the scores so far.

Ridge regression (Hoerl and Kennard, "Ridge Regression: Biased Estimation for Nonorthogonal
Problems", Technometrics 12(1), 1970) on the choices of an architecture.  A prediction decides only
what is scored next; it is never a score.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from nasgait.config.objectives import Objectives
from nasgait.search.budget import Choices
from nasgait.search.ledger import LedgerEntry
from nasgait.search.nondominated import fronts

Floats = NDArray[np.float64]

STRENGTHS = np.geomspace(1e-3, 1e3, 13)
"""Regularisation strengths that are tried."""

DECIMALS = 6
"""Decimals that predictions are compared to, so that rounding errors decide nothing."""


class Ridge:
    """A value of architectures as a mean plus an effect of each choice of each layer.

    The mean is not regularised; the effects are, with the strength that predicts left-out values
    best.

    Args:
        architectures: n different ones, at least two.
        values: [n].
        sizes: the number of choices of each layer.
        pairs: also give each pair of choices of successive layers an effect.

    Attributes:
        strength: the regularisation strength, one of ``STRENGTHS``.
        error: mean squared leave-one-out error, in squares of the values' unit.
    """

    def __init__(
        self,
        architectures: Sequence[Choices],
        values: Floats,
        sizes: Sequence[int],
        pairs: bool = False,
    ) -> None:
        self._sizes, self._pairs = sizes, pairs
        features = indicators(architectures, sizes, pairs)
        self._centre, self._mean = features.mean(0), float(values.mean())
        centred = features - self._centre
        squares, basis = np.linalg.eigh(centred @ centred.T)
        along = basis.T @ (values - self._mean)
        errors = self._left_out(values, squares, basis, along)
        best = int(errors.argmin())
        self.strength, self.error = float(STRENGTHS[best]), float(errors[best])
        self._effects = centred.T @ (basis @ (along / (squares + self.strength)))

    def __call__(self, architectures: Sequence[Choices]) -> Floats:
        """The predicted values [m] of m architectures."""
        features = indicators(architectures, self._sizes, self._pairs)
        return self._mean + (features - self._centre) @ self._effects

    def _left_out(self, values: Floats, squares: Floats, basis: Floats, along: Floats) -> Floats:
        """The mean squared leave-one-out error of each strength.

        From the fit to all values: leaving one out divides its error by 1 - leverage (Golub,
        Heath and Wahba, Technometrics 21(2), 1979).
        """
        kept = squares / (squares + STRENGTHS[:, None])
        fitted = self._mean + (kept * along) @ basis.T
        leverage = 1 / len(values) + kept @ basis.T**2
        return (((values - fitted) / (1 - leverage)) ** 2).mean(1)


def indicators(architectures: Sequence[Choices], sizes: Sequence[int], pairs: bool) -> Floats:
    """One-hot columns for each layer; with ``pairs`` also for pairs of successive layers."""
    singles = [
        np.eye(size)[list(column)]
        for size, column in zip(sizes, zip(*architectures, strict=True), strict=True)
    ]
    if not pairs:
        return np.hstack(singles)
    both = [
        np.einsum("ni,nj->nij", first, second).reshape(len(first), -1)
        for first, second in pairwise(singles)
    ]
    return np.hstack(singles + both)


def best_ridge(architectures: Sequence[Choices], values: Floats, sizes: Sequence[int]) -> Ridge:
    """The better of the fits without and with pairs, by leave-one-out."""
    fits = [Ridge(architectures, values, sizes, pairs) for pairs in (False, True)]
    return min(fits, key=lambda fit: fit.error)


class Predictor:
    """Orders candidates by how far they are expected to improve on the non-dominated front.

    That is, by the least that the whole front would have to be improved to dominate the candidate:
    the additive epsilon of Zitzler et al., "Performance Assessment of Multiobjective Optimizers"
    (IEEE Transactions on Evolutionary Computation 7(2), 2003), with each objective in units of its
    range.  With one objective it is the order of the predictions.

    Args:
        scored: at least two entries.
        objectives: what is optimised.
        sizes: the number of choices of each layer.
        known: an architecture's exact costs by name; every other objective is predicted.
    """

    def __init__(
        self,
        scored: Sequence[LedgerEntry],
        objectives: Objectives,
        sizes: Sequence[int],
        known: Callable[[Choices], Mapping[str, float]],
    ) -> None:
        minimised = objectives.vectors(scored)
        vectors = np.array(minimised, dtype=np.float64)
        self._known, self._names = known, objectives.names
        seen = [entry.choices for entry in scored]
        self._fits = {
            name: best_ridge(seen, column, sizes)
            for name, column in zip(objectives.names, vectors.T, strict=True)
            if name not in known(seen[0])
        }
        ranges = np.ptp(vectors, axis=0)
        self._unit = np.where(ranges > 0, ranges, 1.0)
        self._front = vectors[next(fronts(minimised))] / self._unit

    def best_first(self, candidates: Sequence[Choices]) -> list[Choices]:
        """The candidates, the most promising first; equal ones in the order given."""
        lead = self._front - self._expected(candidates)[:, None] / self._unit
        gains = lead.max(2).min(1).round(DECIMALS)
        return [candidates[index] for index in np.argsort(-gains, kind="stable")]

    def _expected(self, candidates: Sequence[Choices]) -> Floats:
        """Their objectives [n, m], all to be minimised."""
        costs = [self._known(child) for child in candidates]
        columns = [
            self._fits[name](candidates) if name in self._fits else [cost[name] for cost in costs]
            for name in self._names
        ]
        return np.array(columns, dtype=np.float64).T
