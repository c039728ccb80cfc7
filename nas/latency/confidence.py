"""Intervals of another coverage than the recorded one."""

from dataclasses import replace
from math import ceil

from nas.errors import LatencyError
from nas.latency.device import Device

INTERPOLATION = "interpolation"
"""Key in a device's `fit`: relative error of an op's time from similar ops, below which the device's coverage stays."""


def device_at(device: Device, coverage: float) -> Device:
    """The device with intervals of that coverage; the error of interpolated ops is widened as all errors are.

    Raises:
        LatencyError: a coverage that is no share above 0 and below 1.
    """
    interval, fit = interval_at(device, coverage), device.fit
    if fit and INTERPOLATION in fit and device.interval:
        fit = {**fit, INTERPOLATION: fit[INTERPOLATION] * interval / device.interval}
    return replace(device, coverage=coverage, interval=interval, fit=fit)


def interval_at(device: Device, coverage: float) -> float:
    """Relative half-width of the interval that holds a new network's latency with probability `coverage`.

    The recorded half-width, widened as the recorded errors are: split-conformal, the ceil((n + 1) * coverage)-th
    smallest of n absolute errors. n errors say nothing about coverages above n / (n + 1). Beyond that, and where a
    device records no single errors, the tails are those of Student's t with n - 1 degrees of freedom: an assumption.

    Raises:
        LatencyError: a coverage that is no share above 0 and below 1.
    """
    if not 0 < coverage < 1:
        raise LatencyError(f"confidence {coverage:g}; expected a share above 0 and below 1, such as 0.95")
    if coverage == device.coverage:
        return device.interval
    return device.interval * _spread(device, coverage) / _spread(device, device.coverage)


def _spread(device: Device, coverage: float) -> float:
    """A measure of the errors that holds with probability `coverage`, in a unit that differs from device to device."""
    if not device.errors:
        return _student(coverage, round(device.error["networks"]))
    count = len(device.errors)
    rank = ceil((count + 1) * coverage - 1e-9)
    ranked = sorted(abs(error) for error in device.errors)
    if rank <= count:
        return ranked[rank - 1]
    return ranked[-1] * _student(coverage, count) / _student(count / (count + 1), count)


def _student(coverage: float, count: int) -> float:
    """Half-width, in standard deviations, of Student's two-sided interval from `count` errors."""
    from scipy.stats import t  # type: ignore[import-untyped]  # noqa: PLC0415 - slow to import

    return float(t.ppf((1 + coverage) / 2, count - 1))
