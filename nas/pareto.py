"""Pareto dominance, fronts and hypervolumes of points whose objectives are to be maximised or minimised."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Direction = Literal["max", "min"]
Point = Sequence[float]


def dominates(first: Point, second: Point, directions: Sequence[Direction]) -> bool:
    """Whether `first` is nowhere worse than `second`, and better somewhere.

    >>> dominates((0.75, 60), (0.75, 71), ("max", "min"))
    True
    """
    a, b = _costs([first, second], directions)
    return bool((a <= b).all() and (a < b).any())


def front(points: Sequence[Point], directions: Sequence[Direction]) -> list[int]:
    """Indices, in their order, of the points that no other dominates; equal points stay together.

    >>> front([(0.67, 16), (0.75, 51), (0.72, 64)], ("max", "min"))
    [0, 1]
    """
    return [int(index) for index in np.flatnonzero(on_front(_costs(points, directions)))]


def on_front(costs: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of the points (N, objectives), all objectives to be minimised, no other dominates.

    Two objectives take one pass over the sorted points; the algorithm for more is moocore's.
    """
    if len(costs) == 0 or costs.shape[1] == 1:
        return np.asarray((costs == costs.min(initial=np.inf)).all(1))
    if costs.shape[1] > 2:
        from moocore import is_nondominated  # noqa: PLC0415 - seldom needed

        return np.asarray(is_nondominated(costs, maximise=False, keep_weakly=True))
    order = np.lexsort((costs[:, 1], costs[:, 0]))  # a point comes after all that dominate it
    ordered = costs[order]
    y = ordered[:, 1]
    better = np.append(True, y[1:] < np.minimum.accumulate(y)[:-1])
    first = np.append(True, (ordered[1:] != ordered[:-1]).any(1))
    better = better[np.maximum.accumulate(np.where(first, np.arange(len(y)), 0))]  # equal points share their fate
    mask = np.empty(len(y), bool)
    mask[order] = better
    return mask


def hypervolume(points: Sequence[Point], reference: Point, directions: Sequence[Direction]) -> float:
    """The exact area between the front of `points` (two objectives) and `reference`, in the product of their units.

    Points that are not better than the reference in both objectives add nothing.

    >>> hypervolume([(3, 1), (4, 2)], (1, 3), ("max", "min"))
    5.0
    """
    assert len(directions) == 2, "the exact area is for two objectives"
    costs = _costs(points, directions)
    right, top = _costs([reference], directions)[0]
    area = 0.0
    for x, y in costs[np.lexsort(costs.T[::-1])]:  # from left to right, each lower point adds the slab below the last
        if x < right and y < top:
            area += (right - x) * (top - y)
            top = y
    return float(area)


def _costs(points: Sequence[Point], directions: Sequence[Direction]) -> NDArray[np.float64]:
    """The points (N, objectives) with all objectives to be minimised."""
    signs = np.array([{"max": -1.0, "min": 1.0}[direction] for direction in directions])
    costs: NDArray[np.float64] = np.asarray(points, dtype=np.float64).reshape(len(points), len(signs)) * signs
    assert not np.isnan(costs).any(), "a point without a value is neither better nor worse"
    return costs
