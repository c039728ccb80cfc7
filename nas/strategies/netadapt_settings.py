"""What decides which networks NetAdapt tries: the two papers' rules, and how proposals are compared."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from nas.network.widths import WidthKind

Rule = Literal["netadapt", "mobilenet_v3"]


@dataclass(frozen=True, slots=True)
class RuleOf:
    """What a paper does: its first step as a share of the seed's latency, its decay, and what it cuts."""

    delta: float
    decay: float
    kinds: tuple[WidthKind, ...]


RULES: Final[Mapping[Rule, RuleOf]] = {
    "netadapt": RuleOf(0.025, 0.96, ("expansion", "bottleneck", "filters")),
    "mobilenet_v3": RuleOf(0.01, 1.0, ("expansion", "bottleneck")),
}


@dataclass(frozen=True, slots=True)
class Round:
    """How proposals of an iteration are compared: the best `count` of them (None: all), trained for `epochs` more.

    With no epochs they are judged as they have inherited their weights, or by an estimate of what the loss rises.
    """

    epochs: int
    count: int | None = None


@dataclass(frozen=True, slots=True)
class NetAdaptSettings:
    """What decides which networks are tried.

    `rule` netadapt takes the most accurate proposal, mobilenet_v3 the one with the largest change of accuracy per
    change of latency. `delta` is in place of the rule's own first step. Widths are multiples of `step`. `seed_epochs`
    train the seed beforehand; `final_epochs` the last network, from the weights that it inherits or `from_scratch`.
    """

    budget_ms: float
    rule: Rule
    rounds: tuple[Round, ...]
    delta: float | None = None
    step: int = 8
    seed_epochs: int = 0
    final_epochs: int = 0
    from_scratch: bool = False


def every(epochs: int) -> tuple[Round, ...]:
    """Each proposal is trained for `epochs`, as in the papers."""
    return (Round(epochs),)


def halving(epochs: int) -> tuple[Round, ...]:
    """Single cuts are estimated; three combinations are trained for a quarter of `epochs`, the best for the rest."""
    first = max(1, epochs // 4)
    rounds = (Round(0), Round(first, 3), Round(epochs - first, 1))
    return rounds if epochs > first else rounds[:2]
