"""Rewards: accuracy and latency joined to the one number that a search maximises."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from nas.errors import BudgetError, NasError

Reward = Callable[[float, float], float]
"""`reward(accuracy, latency_ms)`: the more, the better; accuracy is a share from 0 to 1."""


@dataclass(frozen=True, slots=True)
class ProductReward:
    """ACC * (LAT / T)^w, with w = `within` up to the budget T and `beyond` above it (MnasNet, 1807.11626)."""

    budget_ms: float
    within: float
    beyond: float

    def __call__(self, accuracy: float, latency_ms: float) -> float:
        """The reward; it is the accuracy itself where the latency is exactly the budget."""
        exponent = self.within if latency_ms <= self.budget_ms else self.beyond
        return accuracy * math.pow(latency_ms / self.budget_ms, exponent)


@dataclass(frozen=True, slots=True)
class AbsoluteReward:
    """ACC + b * |LAT / T - 1|, which is largest at the budget T, not below it (TuNAS, 2008.06120, section 3.2)."""

    budget_ms: float
    slope: float

    def __call__(self, accuracy: float, latency_ms: float) -> float:
        """The reward; it is the accuracy itself where the latency is exactly the budget."""
        return accuracy + self.slope * abs(latency_ms / self.budget_ms - 1)


@dataclass(frozen=True, slots=True)
class FlooredReward:
    """Another reward, for which latencies below `floor_ms` are that latency: to be faster pays nothing."""

    reward: Reward
    floor_ms: float

    def __call__(self, accuracy: float, latency_ms: float) -> float:
        """The reward."""
        return self.reward(accuracy, max(latency_ms, self.floor_ms))


def _soft(budget_ms: float, exponent: float = -0.07) -> Reward:
    """Twice the latency must buy about 5 % more accuracy (MnasNet: a = b = -0.07)."""
    return ProductReward(budget_ms, within=exponent, beyond=exponent)


def _hard(budget_ms: float, exponent: float = -1.0) -> Reward:
    """Latency is free up to the budget and dear beyond (MnasNet: a = 0, b = -1)."""
    return ProductReward(budget_ms, within=0.0, beyond=exponent)


def _absolute(budget_ms: float, exponent: float = -0.1) -> Reward:
    """TuNAS with b = -0.10."""
    return AbsoluteReward(budget_ms, slope=exponent)


REWARDS: dict[str, Callable[..., Reward]] = {"soft": _soft, "hard": _hard, "absolute": _absolute}


def make_reward(name: str, budget_ms: float, exponent: float | None = None) -> Reward:
    """The reward `name` of `REWARDS` for a budget.

    `exponent` replaces the paper's w, b or beta, and may stand in the name; MobileNetV3-Small was found with soft and
    -0.15, that is `soft:-0.15`. `soft@16` takes latencies below 16 ms for 16 ms.

    Raises:
        NasError: an unknown name, no number behind its colon or its @, an exponent above 0, which would pay for
            latency, or a floor that is not between 0 and the budget.
        BudgetError: a budget that is not positive.
    """
    name, at, text = name.partition("@")
    if at:
        reward, floor_ms = make_reward(name, budget_ms, exponent), _number(text, f"{name}@", "soft@16")
        if not 0 < floor_ms <= budget_ms:
            expected = f"expected milliseconds above 0 and up to the budget of {budget_ms:g} ms"
            raise NasError(f"reward {name}@{text}: the floor is {floor_ms:g}; {expected}")
        return FlooredReward(reward, floor_ms)
    name, colon, text = name.partition(":")
    if colon:
        exponent = _number(text, f"{name}:", "soft:-0.15")
    if name not in REWARDS:
        raise NasError(f"unknown reward {name!r}; expected one of {', '.join(REWARDS)}")
    if not 0 < budget_ms < math.inf:
        raise BudgetError(f"the budget is {budget_ms:g} ms; expected a time above 0")
    if exponent is None:
        return REWARDS[name](budget_ms)
    if not -math.inf < exponent <= 0:
        raise NasError(f"the reward's exponent is {exponent:g}; expected 0 or a negative number")
    return REWARDS[name](budget_ms, exponent)


def _number(text: str, before: str, example: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise NasError(f"reward {before}{text}: {text!r} is no number; expected one, as in {example}") from None
