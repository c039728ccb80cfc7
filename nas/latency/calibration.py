"""From the sum of a network's ops to its milliseconds: one scale, one offset, and the error that they leave."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from nas.errors import LatencyError

COVERAGE = 0.9
"""Share of networks whose true latency lies within `low_ms` and `high_ms`."""

LEAST_SHARE = 0.5
"""Of the sum of a network's ops that its estimate keeps at least."""

MIN_NETWORKS = 9
"""With fewer, even the largest error seen is no bound that holds so often."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """`ms = scale * sum of ops + offset_ms`. The offset is never negative, so that no estimate is."""

    scale: float = 1.0
    offset_ms: float = 0.0

    def __call__(self, sum_ms: float) -> float:
        """Milliseconds of a network whose ops add up to `sum_ms`."""
        return self.scale * sum_ms + self.offset_ms


def with_base(ops_ms: float, base_ms: float) -> float:
    """A network's milliseconds from those of its ops and the constant, which may be negative.

    A negative one says that large networks cost more than in proportion to their ops (they do not stay in the caches).
    It was learnt from networks of a space; of much smaller ones it takes no more than `LEAST_SHARE` leaves.
    """
    return max(ops_ms + base_ms, LEAST_SHARE * ops_ms)


def calibrate(sums_ms: Sequence[float], measured_ms: Sequence[float]) -> Calibration:
    """The calibration with the least squares of relative errors.

    Raises:
        LatencyError: fewer than three networks.
    """
    if len(sums_ms) < 3:
        raise LatencyError(f"{len(sums_ms)} networks to calibrate with; expected at least 3")
    x = [sum_ms / ms for sum_ms, ms in zip(sums_ms, measured_ms, strict=True)]
    z = [1 / ms for ms in measured_ms]
    xx, xz, zz = _dot(x, x), _dot(x, z), _dot(z, z)
    determinant = xx * zz - xz**2
    if determinant > 1e-9 * xx * zz:
        offset = (xx * sum(z) - xz * sum(x)) / determinant
        if offset > 0:
            return Calibration((sum(x) - offset * xz) / xx, offset)
    return Calibration(sum(x) / xx)


def leave_one_out(sums_ms: Sequence[float], measured_ms: Sequence[float]) -> list[float]:
    """Relative error (estimated / measured - 1) of each network under the calibration by all the others."""
    errors = []
    for i, (sum_ms, ms) in enumerate(zip(sums_ms, measured_ms, strict=True)):
        others = calibrate(_without(sums_ms, i), _without(measured_ms, i))
        errors.append(others(sum_ms) / ms - 1)
    return errors


def half_width(errors: Sequence[float]) -> float:
    """Relative half-width of an interval that holds a new network with probability `COVERAGE`.

    Split-conformal: the ceil((n + 1) * coverage)-th smallest absolute error.

    Raises:
        LatencyError: fewer than nine errors.
    """
    require_networks(len(errors))
    rank = ceil((len(errors) + 1) * COVERAGE - 1e-9)
    return sorted(abs(error) for error in errors)[rank - 1]


def require_networks(count: int) -> None:
    """Refuse fewer networks than an interval of `COVERAGE` needs.

    Raises:
        LatencyError: fewer than nine.
    """
    if count < MIN_NETWORKS:
        raise LatencyError(
            f"{count} networks cannot support an interval of {COVERAGE:.0%}; expected {MIN_NETWORKS} or more"
        )


def _without(values: Sequence[float], index: int) -> list[float]:
    return [*values[:index], *values[index + 1 :]]


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))
