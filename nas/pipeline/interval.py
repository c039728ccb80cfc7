"""Means of a few trainings, and how sure they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance

COVERAGE = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean, and the interval that holds the true one with `COVERAGE`, if the values are normal."""

    mean: float
    low: float
    high: float


def mean_interval(values: Sequence[float]) -> Interval:
    """Of at least two values: Student's interval.

    >>> mean_interval([0.5, 0.5, 0.5])
    Interval(mean=0.5, low=0.5, high=0.5)
    """
    return _interval(fmean(values), variance(values) / len(values), len(values) - 1)


def difference_interval(ours: Sequence[float], theirs: Sequence[float]) -> Interval:
    """Of the mean of `ours` less that of `theirs`: Welch's interval, for groups that spread differently."""
    parts = [variance(values) / len(values) for values in (ours, theirs)]
    freedom = sum(part**2 / (len(values) - 1) for part, values in zip(parts, (ours, theirs), strict=True))
    degrees = sum(parts) ** 2 / freedom if freedom else 1.0
    return _interval(fmean(ours) - fmean(theirs), sum(parts), degrees)


def _interval(mean: float, squared_error: float, degrees: float) -> Interval:
    from scipy.stats import t  # type: ignore[import-untyped]  # noqa: PLC0415 - slow to import

    half = float(t.ppf((1 + COVERAGE) / 2, degrees)) * squared_error**0.5
    return Interval(mean, mean - half, mean + half)
