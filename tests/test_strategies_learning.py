"""Do strategies learn? They search a space where the truth is known, against random search with as many trials."""

from functools import cache
from statistics import mean

import pytest

from nas.space import load_space
from nas.strategies.registry import make_strategy
from tests.strategy_worlds import World, search

SEEDS = range(3)
TRIALS = 120


@cache
def world() -> World:
    return World(load_space("mobilenet_v2"))


@cache
def found(name: str) -> float:
    """True accuracy of the network that looked best, averaged over seeds."""
    return mean(_best(name, seed) for seed in SEEDS)


def _best(name: str, seed: int) -> float:
    trials = search(world(), make_strategy(name, world().problem(), seed=seed, trials=TRIALS), TRIALS, seed)
    best = max(trials, key=lambda trial: trial.accuracy)
    return world().accuracy(best.proposal.architecture)


@pytest.mark.parametrize("name", ["evolution", "tpe", "controller"])
def test_the_strategy_finds_clearly_better_networks_than_random_search(name):
    assert found(name) > found("random") + 0.01
