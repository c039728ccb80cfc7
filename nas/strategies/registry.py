"""Strategies by name. Nothing heavy is imported before a strategy is made."""

from importlib import import_module

from nas.errors import NasError
from nas.strategies.problem import Problem
from nas.trial import Strategy

_MAKERS = {
    "surrogate": ("nas.strategies.surrogate", "Surrogate"),
    "random": ("nas.strategies.random", "RandomSearch"),
    "evolution": ("nas.strategies.evolution", "Evolution"),
    "controller": ("nas.strategies.controller", "Controller"),
    "tpe": ("nas.strategies.optuna", "tpe"),
    "nsga2": ("nas.strategies.optuna", "nsga2"),
}
STRATEGIES = tuple(_MAKERS)


def make_strategy(name: str, problem: Problem, *, seed: int, trials: int) -> Strategy:
    """The strategy `name`, its population or step size fit for about `trials` trials; it may be asked for more.

    Raises:
        NasError: an unknown name.
        BudgetError: no network of the space meets the budget.
    """
    if name not in _MAKERS:
        raise NasError(f"unknown strategy {name!r}; expected one of {', '.join(STRATEGIES)}")
    problem.require_reachable()
    module, maker = _MAKERS[name if problem.space.genes else "random"]  # nothing to learn where nothing is free
    strategy: Strategy = getattr(import_module(module), maker)(problem, seed=seed, trials=trials)
    return strategy
