"""What single strategies and their helpers do beyond the promises of tests/conformance."""

import os
import subprocess
import sys
import warnings
from itertools import product
from pathlib import Path
from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.architecture import Architecture
from nas.errors import BudgetError, NasError
from nas.network.policy import GenePolicy, Rollout, log_probabilities, ppo_loss
from nas.reward import make_reward
from nas.space import load_space
from nas.strategies.evolution import Evolution, EvolutionSettings
from nas.strategies.ledger import Ledger
from nas.strategies.problem import Problem
from nas.strategies.registry import STRATEGIES, make_strategy
from nas.trial import Outcome
from tests import strategy_worlds
from tests.strategy_worlds import World, ended, latency_ms, search, space_of

WORLD = World(load_space("mobilenet_v2"))
PROBLEM = WORLD.problem()
LAYERWISE = """
name: layerwise
resolution: 32
stages:
  - {op: conv, channels: [8, 16], kernel: 3, stride: 2}
  - {channels: [8, 16], depth: [0, 1, 2], expand: [1, 6], kernel: [3, 5], per_layer: [kernel, expand]}
  - {channels: [16, 32], depth: [1, 2], expand: [2, 4], se: [none, 0.25]}
head: {type: [plain, classic], channels: 64}
"""


def within(budget_ms: float, world: World = WORLD) -> Problem:
    return strategy_worlds.within(world.space, budget_ms)


# The problem: which networks are within the budget.


@pytest.mark.parametrize("name", ["mobilenet_v1", "layerwise"])
def test_the_smallest_network_is_that_of_brute_force(name, tmp_path):
    space = space_of(LAYERWISE, tmp_path) if name == "layerwise" else load_space(name)
    points = product(*(range(len(gene.choices)) for gene in space.genes))
    fastest = min(latency_ms(space.decode(point)) for point in points)
    assert within(1, World(space)).smallest().latency_ms == fastest


@pytest.mark.parametrize("name", ["mnasnet", "mobilenet_v3"])
def test_the_smallest_network_is_far_below_what_sampling_finds(name):
    space, rng = load_space(name), Random(0)
    sampled = min(latency_ms(space.decode(space.sample(rng))) for _ in range(300))
    assert within(1, World(space)).smallest().latency_ms < 0.6 * sampled


@settings(deadline=None, max_examples=25)
@given(slack=st.floats(1, 6), seed=st.integers(0, 99))
def test_samples_are_within_any_budget_that_can_be_met(slack, seed):
    problem = within(PROBLEM.smallest().latency_ms * slack)
    assert problem.sample(Random(seed)).latency_ms <= problem.budget_ms


def test_repair_keeps_what_is_within_the_budget_and_only_takes_genes_of_the_smallest():
    rng = Random(0)
    for _ in range(30):
        candidate = PROBLEM.candidate(WORLD.space.sample(rng))
        repaired = PROBLEM.repair(candidate, rng)
        assert repaired.latency_ms <= PROBLEM.budget_ms
        assert (repaired is candidate) == (candidate.latency_ms <= PROBLEM.budget_ms)
        origins = zip(repaired.genotype, candidate.genotype, PROBLEM.smallest().genotype, strict=True)
        assert all(gene in (own, smallest) for gene, own, smallest in origins)


def test_a_budget_out_of_reach_is_an_error_for_samples_too():
    with pytest.raises(BudgetError, match="the fastest found takes"):
        within(1e-3).sample(Random(0))


def test_latency_is_estimated_once_per_genotype():
    calls: list[Architecture] = []

    def counted(architecture: Architecture) -> float:
        calls.append(architecture)
        return latency_ms(architecture)

    problem = Problem(WORLD.space, counted, 1e3, make_reward("soft", 1e3))
    genotype = WORLD.space.sample(Random(0))
    assert problem.candidate(genotype) is problem.candidate(genotype)
    assert len(calls) == 1


# The ledger: nothing twice.


def test_near_proposes_the_candidate_itself_if_it_may_be_tried():
    ledger, rng = Ledger(PROBLEM), Random(0)
    candidate = PROBLEM.sample(rng)
    assert ledger.near(candidate, rng) is candidate
    ledger.propose(candidate)
    other = ledger.near(candidate, rng)
    assert other.architecture.id != candidate.architecture.id
    assert other.latency_ms <= PROBLEM.budget_ms


def test_a_large_space_with_few_networks_within_the_budget_yields_those_and_ends():
    problem = within(PROBLEM.smallest().latency_ms * 1.003)
    points = {tuple(c) for c in _close_to(problem)}
    few = {problem.candidate(point).architecture.id for point in points}
    ledger, rng, found = Ledger(problem), Random(0), set()
    while (candidate := ledger.fresh(rng)) is not None:
        found.add(candidate.architecture.id)
        ledger.propose(candidate)
    assert len(few) > 3
    assert few <= found


def _close_to(problem: Problem) -> list[tuple[int, ...]]:
    """All genotypes within the budget that differ from the smallest in at most two genes."""
    smallest = problem.smallest()
    near = [smallest, *problem.neighbours(smallest)]
    return [c.genotype for first in near for c in problem.neighbours(first) if problem.admits(c)]


# Evolution.


def test_children_differ_in_one_gene_from_a_living_parent():
    settings = EvolutionSettings(population=6, sample=3)
    strategy, rng = Evolution(PROBLEM, seed=0, trials=40, settings=settings), Random(0)
    told = []
    for number in range(40):
        proposal = strategy.ask()
        if number >= settings.population:
            living = [trial.proposal.architecture for trial in told[-settings.population :]]
            assert any(_is_child(parent, proposal.architecture) for parent in living)
        told.append(ended(number, proposal, WORLD.outcome(proposal.architecture, rng), number))
        strategy.tell(told[-1])


def _is_child(parent: Architecture, child: Architecture) -> bool:
    """One gene apart, in some spelling of the child: a rounded width has several."""
    genotype = WORLD.space.encode(parent)
    return any(c.architecture == child for c in PROBLEM.neighbours(PROBLEM.candidate(genotype)))


def test_failed_trials_do_not_push_living_ones_out_of_the_population():
    settings = EvolutionSettings(population=4, sample=4)
    strategy = Evolution(PROBLEM, seed=0, trials=60, settings=settings)
    first = [strategy.ask() for _ in range(4)]
    for number, proposal in enumerate(first):
        strategy.tell(ended(number, proposal, Outcome({"accuracy": 0.5 + number / 10}), number))
    for number in range(4, 20):
        proposal = strategy.ask()
        assert _is_child(first[-1].architecture, proposal.architecture)
        strategy.tell(ended(number, proposal, Outcome(error="killed"), number))


# The policy of the controller.


@pytest.fixture
def policy() -> GenePolicy:
    return GenePolicy([2, 5, 3], hidden=16, generator=torch.Generator().manual_seed(0))


def test_the_probabilities_of_all_genotypes_add_up_to_one(policy):
    every = torch.tensor(list(product(range(2), range(5), range(3))))
    assert log_probabilities(policy, every).sum(1).exp().sum().item() == pytest.approx(1)


def test_samples_come_as_often_as_the_policy_says(policy):
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.mul_(8)  # away from uniform
    every = torch.tensor(list(product(range(2), range(5), range(3))))
    expected = log_probabilities(policy, every).sum(1).exp()
    drawn = policy.sample(20_000, torch.Generator().manual_seed(1))
    seen = (drawn[:, None] == every).all(-1).double().mean(0)
    assert expected.max() > 2 * expected.min()
    assert torch.allclose(seen, expected, atol=0.01)


def test_the_first_ppo_step_is_that_of_reinforce(policy):
    genotypes, advantages = torch.tensor([[0, 4, 1], [1, 2, 2]]), torch.tensor([1.0, -0.5], dtype=torch.float64)
    old = log_probabilities(policy, genotypes).detach()
    parameters = list(policy.parameters())
    ours = torch.autograd.grad(ppo_loss(policy, Rollout(genotypes, old, advantages), clip=0.2, entropy=0), parameters)
    reinforce = -(log_probabilities(policy, genotypes) * advantages[:, None]).mean()
    theirs = torch.autograd.grad(reinforce, parameters)
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(ours, theirs, strict=True))


def test_ppo_gains_nothing_beyond_its_clip(policy):
    genotypes, advantage = torch.tensor([[0, 4, 1]]), torch.ones(1, dtype=torch.float64)
    old = log_probabilities(policy, genotypes).detach() - 1  # the policy already likes it e times more
    loss = ppo_loss(policy, Rollout(genotypes, old, advantage), clip=0.2, entropy=0)
    assert loss.item() == pytest.approx(-1.2)
    assert all(not gradient.any() for gradient in torch.autograd.grad(loss, list(policy.parameters())))


def test_entropy_of_an_untrained_policy_is_counted_over_real_choices_only(policy):
    zeros = torch.zeros(1, 3, dtype=torch.float64)
    loss = ppo_loss(policy, Rollout(torch.tensor([[0, 0, 0]]), zeros, zeros[:, 0]), clip=0.2, entropy=1)
    assert -loss.item() == pytest.approx(torch.tensor([2.0, 5.0, 3.0]).log().mean().item(), rel=0.01)


# All of them, from outside.


def test_an_unknown_strategy_is_answered_with_the_known_ones():
    with pytest.raises(NasError, match=f"'grid'; expected one of {', '.join(STRATEGIES)}"):
        make_strategy("grid", PROBLEM, seed=0, trials=1)


@pytest.mark.parametrize("name", STRATEGIES)
def test_strategies_neither_warn_nor_print(name, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        search(WORLD, make_strategy(name, PROBLEM, seed=0, trials=14), 14, seed=0)
    assert capfd.readouterr() == ("", "")


def test_the_names_are_known_without_a_heavy_import():
    code = "import sys, nas.strategies.registry; print(*{'torch', 'optuna', 'numpy'} & set(sys.modules))"
    assert _python(code).strip() == ""


def test_proposals_are_the_same_in_another_process_with_other_hashes_and_threads():
    code = "from tests.test_strategies import _proposed_ids; print(_proposed_ids(), end='')"
    assert _python(code, PYTHONHASHSEED="7", OMP_NUM_THREADS="2") == str(_proposed_ids())


def _proposed_ids() -> list[list[str]]:
    every = [search(WORLD, make_strategy(name, PROBLEM, seed=3, trials=25), 25, seed=3) for name in STRATEGIES]
    return [[trial.proposal.architecture.id for trial in trials] for trials in every]


def _python(code: str, **env: str) -> str:
    command = [sys.executable, "-c", code]
    root = Path(__file__).parents[1]
    return subprocess.run(command, env=os.environ | env, cwd=root, check=True, capture_output=True, text=True).stdout
