"""Networks at a latency: published ones by their width multiplier, any one by a factor, and random ones."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

from nas.architecture import Architecture, round_channels
from nas.errors import BudgetError
from nas.network.widths import wire, with_widths
from nas.space import SearchSpace, reference_spec
from nas.strategies.problem import Problem

Milliseconds = Callable[[Architecture], float]

_WIDEST, _NARROWEST = 4.0, 1 / 64
_HALVINGS = 12  # of the interval of widths: to about 0.001
_NEAR = 0.9  # of the budget: what a random network takes at least, if there is one
_DRAWS = 2000


def scaled_reference(name: str, num_classes: int, budget_ms: float, latency_ms: Milliseconds) -> Architecture:
    """The published network with the largest width multiplier that keeps to the budget, found by bisection.

    Widths are rounded and the last one before the classifier is not narrowed, as the network's own file says.

    Raises:
        BudgetError: the narrowest one is over the budget.
    """
    spec = reference_spec(name)

    def scaled(width: float) -> Architecture:
        return SearchSpace(replace(spec, width=(width,)), num_classes).decode(())

    return _widest(scaled, _WIDEST, budget_ms, latency_ms, name)


def scaled_network(network: Architecture, budget_ms: float, latency_ms: Milliseconds) -> Architecture:
    """The network with all its widths cut by one factor, rounded to 8, so that it keeps to the budget.

    Raises:
        BudgetError: the narrowest one is over the budget.
    """
    widths = wire(network).widths

    def scaled(factor: float) -> Architecture:
        cut = {
            index: min(width.channels, round_channels(factor * width.channels))
            for index, width in enumerate(widths)
            if width.kind != "squeeze"  # follows what it gates
        }
        return network if factor == 1 else with_widths(network, cut)

    return _widest(scaled, 1.0, budget_ms, latency_ms, network.id)


def _widest(
    scaled: Callable[[float], Architecture], widest: float, budget_ms: float, latency_ms: Milliseconds, name: str
) -> Architecture:
    """By bisection between a width that keeps to the budget and one that does not; the first is what comes out."""
    if latency_ms(scaled(widest)) <= budget_ms:
        return scaled(widest)
    low, high = _NARROWEST, widest
    if latency_ms(scaled(low)) > budget_ms:
        raise BudgetError(
            f"{name} at width {low:.3g} takes {latency_ms(scaled(low)):.4g} ms; no width keeps to {budget_ms:.4g} ms"
        )
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if latency_ms(scaled(middle)) <= budget_ms else (low, middle)
    return scaled(low)


def random_feasible(problem: Problem, rng: Random) -> Architecture:
    """A random network within the budget that takes at least 90 % of it; of 2,000 draws the slowest if none does.

    So a comparison with it is not one with a network that is merely small.

    Raises:
        BudgetError: no network of the space keeps to the budget.
    """
    best = problem.sample(rng)
    for _ in range(_DRAWS):
        if best.latency_ms >= _NEAR * problem.budget_ms:
            break
        drawn = problem.candidate(problem.space.sample(rng))
        if best.latency_ms < drawn.latency_ms <= problem.budget_ms:
            best = drawn
    return best.architecture
