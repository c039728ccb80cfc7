"""Rank correlation: how far two judges put things into the same order."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_RESAMPLES = 4000


def kendall(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Kendall's tau-b, from -1 to 1; None where one of the two finds all things equal: it is not defined there.

    >>> kendall([1, 2, 3, 4], [10, 20, 40, 30])
    0.6666666666666666
    """
    return _tau(_signs(one), _signs(other))


def kendall_interval(
    one: Sequence[float], other: Sequence[float], *, coverage: float = 0.95, seed: int = 0
) -> tuple[float, float] | None:
    """An interval of tau by percentiles of bootstrap samples: how much other things of the kind might change it.

    Samples in which tau is not defined are left out; None where it is defined in none.
    """
    signs, others, rng = _signs(one), _signs(other), np.random.default_rng(seed)
    drawn = rng.integers(0, len(one), (_RESAMPLES, len(one)))
    taus = [_tau(signs[np.ix_(places, places)], others[np.ix_(places, places)]) for places in drawn]
    defined = [tau for tau in taus if tau is not None]
    if not defined:
        return None
    low, high = np.percentile(defined, [50 * (1 - coverage), 50 * (1 + coverage)])
    return float(low), float(high)


@dataclass(frozen=True, slots=True)
class Agreement:
    """Kendall's tau-b of two orders of the same things, and its interval; None where it is not defined."""

    kendall: float | None
    low: float | None
    high: float | None


def agreement(one: Sequence[float], other: Sequence[float], coverage: float = 0.95) -> Agreement:
    """How far the two put things into the same order; the interval is that of `kendall_interval`."""
    low, high = kendall_interval(one, other, coverage=coverage) or (None, None)
    return Agreement(kendall(one, other), low, high)


def _signs(values: Sequence[float]) -> NDArray[np.float64]:
    """(N, N): 1 where the row's value is above the column's, -1 below, 0 equal."""
    array = np.asarray(values, np.float64)
    signs: NDArray[np.float64] = np.sign(array[:, None] - array[None, :])
    return signs


def _tau(one: NDArray[np.float64], other: NDArray[np.float64]) -> float | None:
    pairs = np.abs(one).sum() * np.abs(other).sum()
    return float((one * other).sum() / np.sqrt(pairs)) if pairs else None
