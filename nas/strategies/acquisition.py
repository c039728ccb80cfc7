"""`expected_gain`: how much a training is expected to improve on what is known."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr  # type: ignore[import-untyped]

Values = NDArray[np.float64]


def expected_gain(mean: Values, std: Values, best: float) -> Values:
    """Expected improvement (N,) of normal variables over `best` (Jones 1998, equation 15)."""
    ahead = (mean - best) / std
    density = np.exp(-0.5 * ahead**2) / np.sqrt(2 * np.pi)
    gain: Values = std * (ahead * ndtr(ahead) + density)
    return gain
