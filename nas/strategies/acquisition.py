"""`Aims`: how much a training is expected to improve on the best known network, or on the best known front."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr  # type: ignore[import-untyped]

Values = NDArray[np.float64]

_LEVELS = {0: 1, 1: 32, 2: 12, 3: 6}
"""By the number of costs: levels of each, so that a front is some hundred cells at most."""


@dataclass(frozen=True, slots=True)
class Aims:
    """A front as cells of equal size: at each, the costs at most `limits`, as much reward as possible.

    A search for one network has no costs and a single cell. With cells, the sum of their gains is the growth of the
    front's hypervolume, and its expectation a sum of expected improvements: only accuracy is unknown before a training.
    """

    limits: Values  # (cells, costs)

    @classmethod
    def over(cls, costs: Values, highest: Values) -> Self:
        """Cells from the lowest of `costs` (N, costs) to the `highest` (costs,)."""
        count = costs.shape[1]
        shares = (np.arange(_LEVELS[count]) + 1) / _LEVELS[count]
        levels = [low + shares * (high - low) for low, high in zip(costs.min(0), highest, strict=True)]
        cells = list(product(*levels))
        return cls(np.array(cells, np.float64).reshape(len(cells), count))

    def best(self, costs: Values, rewards: Values) -> Values:
        """The largest reward (cells,) of networks (N, costs), (N,) in each cell; the least of all in an empty one."""
        best: Values = np.where(self._inside(costs), rewards[:, None], rewards.min()).max(0)
        return best

    def promise(self, costs: Values, rewards: Values, best: Values) -> Values:
        """How far the expected rewards are ahead where they are ahead most (N,)."""
        ahead: Values = np.where(self._inside(costs), rewards[:, None] - best, -np.inf).max(1)
        return ahead

    def gain(self, costs: Values, rewards: Values, doubts: Values, best: Values) -> Values:
        """Expected improvement (N,), summed over the cells that the networks are in (Jones 1998, equation 15)."""
        ahead = (rewards[:, None] - best) / doubts[:, None]
        density = np.exp(-0.5 * ahead**2) / np.sqrt(2 * np.pi)
        gains = doubts[:, None] * (ahead * ndtr(ahead) + density)
        summed: Values = np.where(self._inside(costs), gains, 0.0).sum(1)
        return summed

    def _inside(self, costs: Values) -> NDArray[np.bool_]:
        """Whether networks (N, costs) keep to the limits of cells; costs beyond the last count as the last."""
        inside: NDArray[np.bool_] = (np.minimum(costs, self.limits[-1])[:, None, :] <= self.limits).all(2)
        return inside


def believing(gain: Callable[[Values], Values], covariance: Values, noise: float, count: int) -> list[int]:
    """The places of `count` networks: each has the largest `gain`, if those before it came out as expected.

    `gain` is that of all N networks, by the doubts (N,) in them. A belief changes no expectation, only doubts, so that
    a Gaussian process need not be fitted again: each choice takes its share out of the `covariance` (N, N).
    """
    variances, chosen, taken = covariance.diagonal().copy(), list[int](), np.empty((0, len(covariance)))
    for _ in range(count):
        gains = gain(np.sqrt(np.maximum(variances, 1e-10)))
        gains[chosen] = -np.inf
        place = int(np.argmax(gains))
        left = covariance[place] - taken[:, place] @ taken  # what is not explained by the choices before
        share = left / np.sqrt(max(left[place], 1e-10) + noise)
        taken, variances = np.vstack([taken, share]), variances - share**2
        chosen.append(place)
    return chosen
