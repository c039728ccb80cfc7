"""`fit_quadratic`: second-order ridge regression, in closed form whether networks or terms are more."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from nas.accuracy.features import Floats


@dataclass(frozen=True, slots=True)
class Quadratic:
    """`intercept + z @ linear + z @ quadratic @ z` of standardised features `z = (x - mean) / scale`."""

    mean: Floats  # (F,)
    scale: Floats  # (F,)
    intercept: float
    linear: Floats  # (F,)
    quadratic: Floats  # (F, F), upper triangle

    def __call__(self, features: Floats) -> Floats:
        """Values (N,) of features (N, F)."""
        z = (features - self.mean) / self.scale
        values: Floats = self.intercept + z @ self.linear + ((z @ self.quadratic) * z).sum(1)
        return values


def fit_quadratic(features: Floats, targets: Floats, penalties: Sequence[float]) -> Iterator[Quadratic]:
    """One fit of targets (N,) for each penalty.

    This is ridge regression in the feature space of the kernel (1 + z.z'/F)^2, where products are penalised more than
    single features: from few networks it learns little more than main effects, from thousands the interactions, too.
    """
    mean, spread = features.mean(0), features.std(0)
    scale = np.where(spread > 1e-9, spread, 1.0)
    z = (features - mean) / scale
    first, second = np.triu_indices(z.shape[1])
    # the square of a sum has each mixed product twice
    weights = np.where(first == second, 1.0, np.sqrt(2.0)) / z.shape[1]
    slope = np.sqrt(2.0 / z.shape[1])
    terms = np.hstack([z * slope, z[:, first] * z[:, second] * weights])  # (N, F + F (F + 1) / 2)
    centre = terms.mean(0)
    terms -= centre
    residual = targets - targets.mean()
    for solution in _solve(terms, residual, penalties):
        quadratic = np.zeros((z.shape[1], z.shape[1]))
        quadratic[first, second] = solution[z.shape[1] :] * weights
        intercept = float(targets.mean() - centre @ solution)
        yield Quadratic(mean, scale, intercept, solution[: z.shape[1]] * slope, quadratic)


def _solve(terms: Floats, targets: Floats, penalties: Sequence[float]) -> Iterator[Floats]:
    """Ridge solutions for (N, P) terms, through the smaller of the two Gram matrices."""
    networks, count = terms.shape
    if count <= networks:
        gram, moment = terms.T @ terms, terms.T @ targets
        for penalty in penalties:
            yield np.asarray(np.linalg.solve(gram + penalty * np.eye(count), moment), np.float64)
        return
    gram = terms @ terms.T
    for penalty in penalties:
        yield terms.T @ np.linalg.solve(gram + penalty * np.eye(networks), targets)
