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
    costs = _costs(points, directions)
    kept: list[int] = []
    for index in np.lexsort(costs.T[::-1]):  # a point comes after all that dominate it
        cost = costs[index]
        rivals = costs[kept]
        if not ((rivals <= cost).all(1) & (rivals < cost).any(1)).any():
            kept.append(int(index))
    return sorted(kept)


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
