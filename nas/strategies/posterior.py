"""`Posterior`: what a Gaussian process of effects expects after it has seen outcomes, and how sure it is."""

from dataclasses import dataclass
from typing import Any, Self, final

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular  # type: ignore[import-untyped]

Values = NDArray[np.float64]

_ROWS = 128  # at a time, which stay in the core's cache: half of the time of all at once
_JITTER = 1e-8  # on the diagonal, beside the noise, that rounding may not make it negative


def effects(linear: float, quadratic: float, descriptors: Values, others: Values) -> Values:
    """Covariances (N, M) of sums of effects of features and of pairs of features."""
    found: Values = descriptors @ others.T
    pairs = np.empty((_ROWS, len(others)))
    for begin in range(0, len(found), _ROWS):
        single = found[begin : begin + _ROWS]
        pair = pairs[: len(single)]
        single += 1
        np.square(single, out=pair)
        pair *= quadratic
        single *= linear
        single += pair
    return found


@final
@dataclass(frozen=True, slots=True)
class Posterior:
    """Rasmussen and Williams 2006, algorithm 2.1.

    To the last bit what scikit-learn's regressor says if its kernel is not to be tuned, in half of the time: that one
    computes the likelihood, too, with another decomposition, and looks at every number of every argument.
    """

    linear: float
    quadratic: float
    noise: float
    seen: Values  # (N, features)
    factor: Values  # (N, N), lower: of the covariances of what was seen
    weights: Values  # (N,)

    @classmethod
    def of(cls, kernel: Any, descriptors: Values, targets: Values) -> Self:
        """After outcomes (N, features), (N,); `kernel` is the sum of `Effects` and a white one."""
        linear, quadratic, noise = kernel.k1.linear, kernel.k1.quadratic, kernel.k2.noise_level
        covariances = effects(linear, quadratic, descriptors, descriptors)
        covariances.flat[:: len(covariances) + 1] += noise
        covariances.flat[:: len(covariances) + 1] += _JITTER
        factor = cholesky(covariances, lower=True, check_finite=False)
        weights = cho_solve((factor, True), targets, check_finite=False)
        return cls(linear, quadratic, noise, descriptors, factor, weights)

    def mean(self, descriptors: Values) -> Values:
        """Expected values (N,)."""
        expected: Values = self._covariances(descriptors) @ self.weights
        return expected

    def mean_and_std(self, descriptors: Values) -> tuple[Values, Values]:
        """Expected values (N,), and the doubt in them with the noise."""
        expected, explained = self._explained(descriptors)
        inner: Values = 1 + (descriptors**2).sum(1)
        variances = self.linear * inner + self.quadratic * inner**2 + self.noise
        variances -= np.einsum("ij,ji->i", explained.T, explained)
        return expected, np.sqrt(np.maximum(variances, 0.0))

    def mean_and_covariance(self, descriptors: Values) -> tuple[Values, Values]:
        """Expected values (N,), and how the doubts in them hang together (N, N), with the noise."""
        expected, explained = self._explained(descriptors)
        covariances = effects(self.linear, self.quadratic, descriptors, descriptors)
        covariances.flat[:: len(covariances) + 1] += self.noise
        return expected, covariances - explained.T @ explained

    def _covariances(self, descriptors: Values) -> Values:
        return effects(self.linear, self.quadratic, descriptors, self.seen)

    def _explained(self, descriptors: Values) -> tuple[Values, Values]:
        """Expected values (N,), and the columns (seen, N) whose products are the covariance that was explained."""
        covariances = self._covariances(descriptors)
        return covariances @ self.weights, solve_triangular(self.factor, covariances.T, lower=True, check_finite=False)
