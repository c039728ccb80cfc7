"""`CompiledLatency`: a latency model over a search space as tables, for a million genotypes per second.

It stands above `nas.space` and `nas.latency`, which do not know each other: the space compiles any sum over blocks,
and the model says what a block costs.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.latency.calibration import LEAST_SHARE, Calibration
from nas.latency.model import OpSumModel
from nas.layers import peak_activation_bytes, total_macs, total_params
from nas.space import SearchSpace
from nas.space.batch import BatchSum, batch_max, batch_sum


@dataclass(frozen=True, slots=True)
class CompiledLatency:
    """The latency of many genotypes at a time, equal to the model's single estimates."""

    target: str
    version: str
    base_ms: float
    calibration: Calibration
    sums_ms: BatchSum

    def estimate(self, genotypes: NDArray[np.integer]) -> NDArray[np.float64]:
        """Milliseconds (N,) of genotypes (N, genes), which need not be canonical.

        Raises:
            SpaceError: a wrong shape or type, or a choice that a gene does not have.
        """
        sums_ms = self.sums_ms(genotypes)
        total_ms = np.maximum(sums_ms + self.base_ms, LEAST_SHARE * sums_ms)  # as `with_base`
        return self.calibration.scale * total_ms + self.calibration.offset_ms


def compile_space(space: SearchSpace, model: OpSumModel) -> CompiledLatency:
    """The model's latency of every network of the space.

    Raises:
        MissingOpError: the model lacks ops of the space; names them and the command that measures them.
    """
    model.ops_ms(space.layers())  # names all that is missing, where a block would name its own ops alone
    sums_ms = batch_sum(space, model.ops_ms)
    return CompiledLatency(model.target, model.version, model.costs.base_ms, model.device.calibration, sums_ms)


def compile_upper(space: SearchSpace, model: OpSumModel) -> Callable[[NDArray[np.integer]], NDArray[np.float64]]:
    """The upper ends (N,) of the intervals of genotypes (N, genes), equal to those of the model's single estimates.

    Raises:
        MissingOpError: as `compile_space`.
    """
    estimate_ms = compile_space(space, model).estimate
    doubts_ms = batch_sum(space, model.doubt_ms)

    def upper_ms(genotypes: NDArray[np.integer]) -> NDArray[np.float64]:
        return estimate_ms(genotypes) * (1 + model.device.interval) + doubts_ms(genotypes)

    return upper_ms


def compile_macs(space: SearchSpace) -> BatchSum:
    """Multiply-accumulates of every network of the space."""
    return batch_sum(space, total_macs)


def compile_memory(space: SearchSpace) -> BatchSum:
    """Bytes of activations that are alive at once, at most, in every network of the space."""
    return batch_max(space, peak_activation_bytes)


def compile_params(space: SearchSpace) -> BatchSum:
    """Trainable values of every network of the space."""
    return batch_sum(space, total_params)
