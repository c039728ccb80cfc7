"""`LatencyModel`: what a network will take on a device, and how sure that is."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

from nas.architecture import Architecture
from nas.errors import MissingOpError
from nas.latency.calibration import with_base
from nas.latency.confidence import INTERPOLATION, device_at
from nas.latency.device import Device
from nas.latency.host import FLOAT, host_setup
from nas.layers import Layer, lower


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds of a network, and the interval that holds the true value with the device's coverage (90 %).

    `interpolated` are the ops that were not measured: their time is that of similar ops, and the interval is wider.
    """

    ms: float
    low_ms: float
    high_ms: float
    interpolated: tuple[Layer, ...] = ()


class LatencyModel(Protocol):
    """What searches, reports and commands ask for latencies."""

    @property
    def target(self) -> str:
        """Canonical name of the device, as in `pixel1`."""
        ...

    @property
    def version(self) -> str:
        """Hash of the device and its costs; estimates of one version are comparable."""
        ...

    def estimate(self, architecture: Architecture) -> Latency:
        """Latency of the network.

        Raises:
            MissingOpError: the table lacks an op of the network; names it and the command that measures it.
        """
        ...

    def with_coverage(self, coverage: float) -> "LatencyModel":
        """The same model with intervals that hold the true value with probability `coverage`.

        Raises:
            LatencyError: a coverage that is no share above 0 and below 1.
        """
        ...


class OpCosts(Protocol):
    """Milliseconds op by op, before calibration."""

    @property
    def base_ms(self) -> float:
        """The constant that every network pays once."""
        ...

    def op_ms(self, layer: Layer) -> float | None:
        """Milliseconds of one op, None if unknown."""
        ...

    def guessed(self, layer: Layer) -> bool:
        """Whether `op_ms` comes from similar ops, because this one was not measured."""
        ...


@dataclass(frozen=True)
class OpSumModel:
    """The calibrated sum of a network's ops."""

    device: Device
    costs: OpCosts
    version: str
    _known: dict[Layer, float] = field(default_factory=dict, init=False, repr=False, compare=False)

    @cached_property
    def target(self) -> str:
        """Canonical name of the device."""
        return self.device.target

    def estimate(self, architecture: Architecture) -> Latency:
        """See `LatencyModel.estimate`."""
        ms = self.device.calibration(self.sum_ms(architecture))
        layers = lower(architecture)
        guessed = tuple(layer for layer in layers if self.costs.guessed(layer))
        half_ms = ms * self.device.interval + self.doubt_ms(layers)
        return Latency(ms, max(ms - half_ms, 0.0), ms + half_ms, tuple(dict.fromkeys(guessed)))

    def with_coverage(self, coverage: float) -> "OpSumModel":
        """See `LatencyModel.with_coverage`; the doubt of interpolated ops widens as the interval does."""
        return replace(self, device=device_at(self.device, coverage))

    def sum_ms(self, architecture: Architecture) -> float:
        """Sum of the network's ops and the constant, before calibration.

        Raises:
            MissingOpError: the table lacks an op of the network.
        """
        return with_base(self.ops_ms(lower(architecture)), self.costs.base_ms)

    def ops_ms(self, layers: Iterable[Layer]) -> float:
        """Sum of these ops alone, before calibration.

        Raises:
            MissingOpError: the table lacks one of them.
        """
        layers = tuple(layers)
        if missing := self.missing(layers):
            raise MissingOpError(self.explain(missing))
        return sum(self._known[layer] for layer in layers)

    def doubt_ms(self, layers: Iterable[Layer]) -> float:
        """By how much the interval is wider for those of the ops that were not measured."""
        guessed_ms = sum(self._known[layer] for layer in layers if self.costs.guessed(layer))
        return guessed_ms * self.device.calibration.scale * (self.device.fit or {}).get(INTERPOLATION, 0.0)

    def missing(self, layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
        """The different ops among `layers` that have no cost, in order."""
        missing = dict.fromkeys(layer for layer in layers if layer not in self._known)
        for layer in list(missing):
            if (ms := self.costs.op_ms(layer)) is not None:
                self._known[layer] = ms
                del missing[layer]
        return tuple(missing)

    def explain(self, missing: tuple[Layer, ...]) -> str:
        """That these ops were not measured, and the command that measures them."""
        names = "; ".join(map(str, missing[:3])) + (f"; and {len(missing) - 3} more" if len(missing) > 3 else "")
        here = host_setup(self.target)
        command = f"nas latency measure {(here or FLOAT).options} ARCH (the network's name or file)"
        remedy = f"measure: {command}" if here else f"it was measured elsewhere; for this machine: {command}"
        return f"{self.target} has no latency of {len(missing)} op{'s' * (len(missing) > 1)}: {names}; {remedy}"
