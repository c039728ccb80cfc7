"""`load_model`: a target's model, and what it does with ops that its table has not seen."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from nas.architecture import Architecture
from nas.errors import MissingOpError
from nas.latency.host import host_setup
from nas.latency.model import Latency, LatencyModel, OpSumModel
from nas.latency.targets import find_folder, load_folder
from nas.layers import Layer, lower

OnMiss = Literal["measure", "interpolate", "error"]
"""What becomes of an op that the table lacks: it is measured, stands on similar ops with a wider interval, or an error.

A target that cannot be measured from here interpolates in place of measuring; `Latency.interpolated` tells.
"""

Progress = Callable[[int, int], None]


def load_model(
    target: str, on_miss: OnMiss = "measure", *, progress: Progress = lambda done, total: None
) -> LatencyModel:
    """The model of a target; `progress(done, total)` hears of ops that are measured on a miss.

    Raises:
        LatencyError: no such target, a broken table, or `host` without measurements.
    """
    model = load_folder(find_folder(target))
    if on_miss == "error":
        return StrictModel(model)
    if on_miss == "measure" and host_setup(target):
        return MeasuringModel(model, progress)
    return model


@dataclass
class MeasuringModel:
    """The model of this machine, which measures an op that its table lacks before it estimates a network with it.

    Each such op costs 20 to 60 ms once, and is a row of the table from then on. Corrections, interval and `version`
    stay those of the table's last calibration, so that a study goes on with it.
    """

    model: OpSumModel
    progress: Progress = field(default=lambda done, total: None, repr=False)

    @property
    def target(self) -> str:
        """See `LatencyModel.target`."""
        return self.model.target

    @property
    def version(self) -> str:
        """See `LatencyModel.version`."""
        return self.model.version

    def estimate(self, architecture: Architecture) -> Latency:
        """See `LatencyModel.estimate`; no op is interpolated.

        Raises:
            LatencyError: the cache is not writable, or another process measures for too long.
        """
        self.prepare([architecture])
        return self.model.estimate(architecture)

    def prepare(self, architectures: Iterable[Architecture]) -> int:
        """Measure what these networks need in one go; how many ops that were.

        Raises:
            LatencyError: the cache is not writable, or another process measures for too long.
        """
        lacking = {op for network in architectures for op in unmeasured(self.model, network)}
        if lacking:
            from nas.latency.measure import measure_layers  # noqa: PLC0415 - onnxruntime

            fresh = measure_layers(self.target, lacking, progress=self.progress)
            self.model = fresh.with_coverage(self.model.device.coverage)
        return len(lacking)

    def with_coverage(self, coverage: float) -> "MeasuringModel":
        """See `LatencyModel.with_coverage`."""
        return MeasuringModel(self.model.with_coverage(coverage), self.progress)


@dataclass(frozen=True)
class StrictModel:
    """A model for which an op that was not measured is an error."""

    model: OpSumModel

    @property
    def target(self) -> str:
        """See `LatencyModel.target`."""
        return self.model.target

    @property
    def version(self) -> str:
        """See `LatencyModel.version`."""
        return self.model.version

    def estimate(self, architecture: Architecture) -> Latency:
        """See `LatencyModel.estimate`; no op is interpolated."""
        if lacking := unmeasured(self.model, architecture):
            raise MissingOpError(self.model.explain(lacking))
        return self.model.estimate(architecture)

    def with_coverage(self, coverage: float) -> "StrictModel":
        """See `LatencyModel.with_coverage`."""
        return StrictModel(self.model.with_coverage(coverage))


def unmeasured(model: OpSumModel, architecture: Architecture) -> tuple[Layer, ...]:
    """The different ops of the network that have no cost, or one that comes from similar ops."""
    layers = lower(architecture)
    guessed = {layer for layer in layers if model.costs.guessed(layer)}
    return tuple(dict.fromkeys(layer for layer in layers if layer in guessed or model.missing((layer,))))
