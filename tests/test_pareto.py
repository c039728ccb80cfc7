"""Fronts and hypervolumes against brute force."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.pareto import dominates, front, hypervolume

grid = st.integers(0, 8)  # small, so that ties and equal points are common
directions = st.lists(st.sampled_from(["max", "min"]), min_size=1, max_size=4)


@st.composite
def problems(draw, objectives=None):
    """Points and the direction of each objective."""
    ways = draw(directions) if objectives is None else draw(st.lists(st.sampled_from(["max", "min"]), **objectives))
    return draw(st.lists(st.tuples(*[grid] * len(ways)), max_size=30)), ways


def better(a, b, way):
    return a > b if way == "max" else a < b


def brute_dominates(p, q, ways):
    return any(better(a, b, w) for a, b, w in zip(p, q, ways, strict=True)) and not any(
        better(b, a, w) for a, b, w in zip(p, q, ways, strict=True)
    )


@given(problems())
def test_front_is_what_no_other_point_dominates(problem):
    points, ways = problem
    expected = [i for i, p in enumerate(points) if not any(brute_dominates(q, p, ways) for q in points)]
    assert front(points, ways) == expected


@given(problems())
def test_dominance_agrees_with_its_definition(problem):
    points, ways = problem
    for p, q in product(points[:8], repeat=2):
        assert dominates(p, q, ways) == brute_dominates(p, q, ways)


@given(problems({"min_size": 2, "max_size": 2}), st.tuples(grid, grid))
def test_hypervolume_counts_the_dominated_cells_of_the_grid(problem, reference):
    points, ways = problem
    cells = sum(
        any(
            all(
                (p[k] >= cell[k] + 1 and cell[k] >= reference[k])
                if ways[k] == "max"
                else (p[k] <= cell[k] and cell[k] + 1 <= reference[k])
                for k in (0, 1)
            )
            for p in points
        )
        for cell in product(range(-1, 10), repeat=2)
    )
    assert hypervolume(points, reference, ways) == cells


@given(problems({"min_size": 2, "max_size": 2}), st.tuples(grid, grid))
def test_hypervolume_is_that_of_the_front_alone(problem, reference):
    points, ways = problem
    assert hypervolume(points, reference, ways) == hypervolume(
        [points[i] for i in front(points, ways)], reference, ways
    )


def test_no_points_have_an_empty_front_and_no_volume():
    assert front([], ("max", "min")) == []
    assert hypervolume([], (0, 100), ("max", "min")) == 0


def test_published_networks_have_the_known_front():
    """Top-1 and Pixel 1 milliseconds, table 3 of 1905.02244: V3 beats V2 and MnasNet at every speed."""
    networks = {
        "v3_large": (75.2, 51), "v3_large_075": (73.3, 39), "v3_small": (67.4, 15.8), "v3_small_075": (65.4, 11.7),
        "v2": (72.0, 64), "v2_035": (60.8, 16.6), "mnasnet_a1": (75.2, 71), "mnasnet_small": (64.9, 20.3),
        "proxylessnas": (74.6, 72),
    }  # fmt: skip
    names = list(networks)
    on_front = [names[i] for i in front(list(networks.values()), ("max", "min"))]
    assert on_front == ["v3_large", "v3_large_075", "v3_small", "v3_small_075"]


def test_a_point_without_a_value_is_refused():
    with pytest.raises(AssertionError, match="without a value"):
        front([(float("nan"), 1)], ("max", "min"))
