"""`AccuracyModel`: a Gaussian process of accuracy over descriptors; linear effects, pairs of them, and noise."""

import warnings
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Hyperparameter, Kernel, WhiteKernel
from threadpoolctl import ThreadpoolController

from nas.strategies.posterior import Posterior, effects

Values = NDArray[np.float64]

_KEPT = 300  # outcomes that a model is made of at most, which bounds the time of an answer
_TUNED_ON = 150  # of them, for the size of effects and noise
_THREADS = ThreadpoolController()  # sums in another order would end in other last bits
_FLOOR = 3.0  # spreads below the median under which all accuracies are the same: bad


@final
class Effects(Kernel):  # type: ignore[misc]
    """The covariance of sums of effects of features and of pairs of features: Bayesian regression in its dual form."""

    def __init__(self, linear: float = 1.0, quadratic: float = 0.1) -> None:
        self.linear, self.quadratic = linear, quadratic

    @property
    def hyperparameter_linear(self) -> Hyperparameter:
        """The size of effects, squared."""
        return Hyperparameter("linear", "numeric", (1e-3, 1e3))

    @property
    def hyperparameter_quadratic(self) -> Hyperparameter:
        """The size of effects of pairs, squared."""
        return Hyperparameter("quadratic", "numeric", (1e-4, 1e3))

    def __call__(self, X: Values, Y: Values | None = None, eval_gradient: bool = False) -> Any:  # noqa: N803
        """Covariances (N, M), and their derivatives by the logarithms of the sizes (N, M, 2) if wanted."""
        if not eval_gradient:
            return effects(self.linear, self.quadratic, X, X if Y is None else Y)
        inner = 1 + X @ (X if Y is None else Y).T
        linear, quadratic = self.linear * inner, self.quadratic * inner**2
        return linear + quadratic, np.dstack([linear, quadratic])

    def diag(self, X: Values) -> Values:  # noqa: N803
        """Variances (N,)."""
        inner: Values = 1 + (X**2).sum(1)
        return self.linear * inner + self.quadratic * inner**2

    def is_stationary(self) -> bool:
        """Whether only differences count."""
        return False


@final
class AccuracyModel:
    """A Gaussian process of accuracy with `Effects` and noise.

    How large effects and noise are is learnt by maximum likelihood, anew when there are a fifth more outcomes than
    last time, and rounded, so that the last bits of an optimiser decide nothing.
    """

    def __init__(self) -> None:
        self._kernel: Kernel = Effects() + WhiteKernel(0.05, (1e-4, 1.0))
        self._tuned_with = 0

    def is_due(self, outcomes: int) -> bool:
        """Whether the sizes would be learnt anew from so many outcomes, or the instructive ones of them."""
        return min(outcomes, _KEPT) > 1.2 * self._tuned_with

    def fit(self, descriptors: Values, accuracies: Values, pending: Values) -> None:
        """Learn from outcomes (N, features), (N,); networks under way (M, features) are believed to be as expected."""
        with _THREADS.limit(limits=1):
            targets = self._standardised(accuracies)
            if self.is_due(len(accuracies)):
                self._tune(descriptors, targets)
                self._tuned_with = len(accuracies)
            self._posterior = Posterior.of(self._kernel, descriptors, targets)
            if len(pending):
                believed = self._posterior.mean(pending)
                all_targets = np.append(targets, believed)
                self._posterior = Posterior.of(self._kernel, np.vstack([descriptors, pending]), all_targets)

    def mean(self, descriptors: Values) -> Values:
        """Expected accuracies (N,)."""
        with _THREADS.limit(limits=1):
            expected = self._posterior.mean(descriptors)
        return expected * self._scale + self._centre

    def mean_and_std(self, descriptors: Values) -> tuple[Values, Values]:
        """Expected accuracies (N,) and the doubt in them, without the noise of a training."""
        with _THREADS.limit(limits=1):
            expected, std = self._posterior.mean_and_std(descriptors)
            doubt = np.sqrt(np.maximum(std**2 - self._noise, 1e-10))
            return expected * self._scale + self._centre, doubt * self._scale

    def mean_and_covariance(self, descriptors: Values) -> tuple[Values, Values, float]:
        """Expected accuracies (N,), how the doubts in them hang together (N, N), and the variance of the noise."""
        with _THREADS.limit(limits=1):
            expected, covariance = self._posterior.mean_and_covariance(descriptors)
        doubts = covariance - self._noise * np.eye(len(covariance))
        return expected * self._scale + self._centre, doubts * self._scale**2, self._noise * self._scale**2

    def _standardised(self, accuracies: Values) -> Values:
        median = np.median(accuracies)
        raised = np.maximum(accuracies, median - _FLOOR * (accuracies.max() - median + 1e-6))
        self._centre, self._scale = float(raised.mean()), float(raised.std()) + 1e-6
        standardised: Values = (raised - self._centre) / self._scale
        return standardised

    def _tune(self, descriptors: Values, targets: Values) -> None:
        few = np.unique(np.linspace(0, len(targets) - 1, _TUNED_ON).round().astype(int))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a size at its bound is an answer, too
            tuned = GaussianProcessRegressor(self._kernel, alpha=1e-8).fit(descriptors[few], targets[few]).kernel_
        self._kernel = tuned.clone_with_theta(tuned.theta.round(2))

    @property
    def _noise(self) -> float:
        return float(self._kernel.k2.noise_level)


def instructive(accuracies: Values) -> NDArray[np.intp]:
    """Which outcomes a model is made of, in their order: all, or the best and others spread evenly."""
    if len(accuracies) <= _KEPT:
        return np.arange(len(accuracies))
    count = _KEPT // 2
    least = np.partition(accuracies, -count)[-count]
    best = accuracies > least
    best[np.flatnonzero(accuracies == least)[: count - best.sum()]] = True  # of equal ones the first
    others = np.flatnonzero(~best)
    best[others[np.linspace(0, len(others) - 1, _KEPT - count).round().astype(int)]] = True
    return np.flatnonzero(best)
