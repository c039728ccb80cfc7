"""`Costs`: what networks cost, many genotypes at a time and without a training."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Genotypes = NDArray[np.integer]
"""Genotypes (N, genes), which need not be canonical."""

BatchCost = Callable[[Genotypes], NDArray[np.float64]]
"""The cost (N,) of genotypes (N, genes)."""


@dataclass(frozen=True, slots=True)
class Costs:
    """The costs that a problem's networks are described and chosen by."""

    latency_ms: BatchCost
    macs: BatchCost
    params: BatchCost
    memory: BatchCost | None = None  # peak bytes of activations

    def of(self, name: str) -> BatchCost:
        """The cost that is called so as an objective of a search."""
        cost = {"latency": self.latency_ms, "params": self.params, "memory": self.memory}[name]
        assert cost is not None, name
        return cost
