"""Small search problems with a known answer, for the tests of strategies."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random

from nas.architecture import Architecture
from nas.layers import Layer, lower, total_macs, total_params
from nas.reward import make_reward
from nas.space import SearchSpace, load_space
from nas.space.batch import batch_sum
from nas.strategies.costs import Costs
from nas.strategies.problem import Problem
from nas.trial import Outcome, Proposal, Strategy, Trial

SIX_NETWORKS = """
name: six
resolution: 32
stages:
  - {op: conv, channels: [8, 16, 24], kernel: [3, 5], stride: 2, skip: none}
head: {type: plain}
"""
ONE_NETWORK = SIX_NETWORKS.replace("[8, 16, 24]", "8").replace("[3, 5]", "3")


def space_of(text: str, folder: Path) -> SearchSpace:
    path = folder / "space.yaml"
    path.write_text(text)
    return load_space(str(path))


def latency_ms(architecture: Architecture) -> float:
    """A device where compute, memory traffic and every op cost something."""
    return layers_ms(lower(architecture))


def layers_ms(layers: Sequence[Layer]) -> float:
    return sum(layer.macs / 8e6 + (layer.in_values + layer.out_values) / 1e6 + 0.05 for layer in layers)


def within(
    space: SearchSpace,
    budget_ms: float,
    reward: str = "hard",
    *,
    explore_over_budget: bool = False,
    target: str = "it",
    front: tuple[str, ...] = (),
) -> Problem:
    """Search the space within a budget on that device."""
    costs = Costs(batch_sum(space, layers_ms), batch_sum(space, total_macs), batch_sum(space, total_params))
    made = make_reward(reward, budget_ms)
    return Problem(space, latency_ms, budget_ms, made, explore_over_budget, target, costs, front)


@dataclass(frozen=True)
class World:
    """A space in which accuracy grows with size, gene choices have effects of their own, and measuring is noisy."""

    space: SearchSpace
    noise: float = 0.002

    @cached_property
    def effects(self) -> list[list[float]]:
        rng = Random(2)
        return [[rng.gauss(0, 0.004) for _ in gene.choices] for gene in self.space.genes]

    def accuracy(self, architecture: Architecture) -> float:
        layers = lower(architecture)
        size = 0.8 - 0.3 / (1 + (total_macs(layers) / 1e8) ** 0.6) - 0.05 / (1 + total_params(layers) / 1e6)
        genotype = self.space.encode(architecture)
        return size + sum(effects[choice] for effects, choice in zip(self.effects, genotype, strict=True))

    def latency_quantile(self, share: float) -> float:
        rng = Random(1)
        samples = [latency_ms(self.space.decode(self.space.sample(rng))) for _ in range(60)]
        return sorted(samples)[int(share * len(samples))]

    def problem(self, share: float = 0.25, *, explore_over_budget: bool = False) -> Problem:
        """Stay within the given quantile of the latency of random networks."""
        budget_ms = self.latency_quantile(share)
        return within(self.space, budget_ms, explore_over_budget=explore_over_budget)

    def outcome(self, architecture: Architecture, rng: Random) -> Outcome:
        return Outcome({"accuracy": self.accuracy(architecture) + rng.gauss(0, self.noise)})


def ended(number: int, proposal: Proposal, outcome: Outcome, told: int) -> Trial:
    return Trial(number, proposal, asked_after=told, state=outcome.state, outcome=outcome, told=told)


def search(world: World, strategy: Strategy, count: int, seed: int) -> list[Trial]:
    """One worker, for `count` trials or until the strategy has no more."""
    rng, trials = Random(seed), list[Trial]()
    while len(trials) < count and (proposal := strategy.ask()) is not None:
        number = len(trials)
        trials.append(ended(number, proposal, world.outcome(proposal.architecture, rng), number))
        strategy.tell(trials[-1])
    return trials
