"""What every strategy promises, whatever it does to choose."""

import math
import random
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.errors import BudgetError
from nas.space import load_space
from nas.strategies.problem import Problem
from nas.strategies.registry import STRATEGIES, make_strategy
from nas.trial import Outcome, Strategy, Trial
from tests.strategy_worlds import ONE_NETWORK, SIX_NETWORKS, World, ended, latency_ms, search, space_of, within

pytestmark = pytest.mark.parametrize("name", STRATEGIES)


@cache
def world() -> World:
    return World(load_space("mobilenet_v2"))


@cache
def problem() -> Problem:
    return world().problem()


def ids(trials: list[Trial]) -> list[str]:
    return [trial.proposal.architecture.id for trial in trials]


def test_all_trials_are_different_networks_within_the_budget(name):
    strategy = make_strategy(name, problem(), seed=1, trials=30)
    trials = search(world(), strategy, 30, seed=1)
    assert len(set(ids(trials))) == 30
    assert all(latency_ms(trial.proposal.architecture) <= problem().budget_ms for trial in trials)


def test_more_trials_than_planned_can_be_asked(name):
    strategy = make_strategy(name, problem(), seed=1, trials=4)
    assert len(set(ids(search(world(), strategy, 30, seed=1)))) == 30
    assert not strategy.finished


def test_over_budget_networks_are_tried_only_where_the_problem_says_so(name):
    free = world().problem(0.05, explore_over_budget=True)
    trials = search(world(), make_strategy(name, free, seed=1, trials=20), 20, seed=1)
    assert any(latency_ms(trial.proposal.architecture) > free.budget_ms for trial in trials)


def test_everything_can_be_asked_before_anything_is_told(name):
    strategy = make_strategy(name, problem(), seed=1, trials=20)
    proposals = [strategy.ask() for _ in range(20)]
    assert None not in proposals
    assert len({proposal.architecture.id for proposal in proposals}) == 20


@pytest.mark.parametrize("outcome", [Outcome(error="out of memory"), Outcome({"accuracy": math.nan}), Outcome({})])
def test_a_search_in_which_nothing_works_goes_on(name, outcome):
    strategy = make_strategy(name, problem(), seed=1, trials=24)
    for number in range(24):
        strategy.tell(ended(number, strategy.ask(), outcome, number))
    assert strategy.ask() is not None


def test_stopped_trials_are_told_without_harm(name):
    strategy = make_strategy(name, problem(), seed=1, trials=24)
    for number in range(24):
        outcome = Outcome({"accuracy": 0.1}, stopped=number % 2 == 0)
        strategy.tell(ended(number, strategy.ask(), outcome, number))
    assert strategy.ask() is not None


def play(strategy: Strategy, choices: list[int]) -> list[Trial]:
    """Three workers that finish in any order, some with failures; the events in order: trials asked, trials told."""
    running: list[Trial] = []
    events: list[Trial] = []
    number = told = 0
    for choice in choices:
        if choice % 2 and len(running) < 3 and (proposal := strategy.ask()) is not None:
            running.append(Trial(number, proposal, asked_after=told))
            events.append(running[-1])
            number += 1
        elif running:
            trial = running.pop(choice // 2 % len(running))
            outcome = (
                Outcome(error="died")
                if choice % 5 == 0
                else world().outcome(trial.proposal.architecture, random.Random(choice))
            )
            events.append(ended(trial.number, trial.proposal, outcome, told))
            strategy.tell(events[-1])
            told += 1
    return events


@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 3), choices=st.lists(st.integers(0, 99), min_size=30, max_size=60))
def test_replay_of_what_was_asked_and_told_leads_to_the_same_proposals(name, seed, choices):
    first = make_strategy(name, problem(), seed=seed, trials=22)
    events = play(first, choices)
    second = make_strategy(name, problem(), seed=seed, trials=22)
    for event in events:
        if event.outcome is None:
            assert second.ask() == event.proposal
        else:
            second.tell(event)
    assert second.finished == first.finished
    assert [second.ask() for _ in range(3)] == [first.ask() for _ in range(3)]


def test_trials_of_another_study_are_heard_and_not_proposed_again(name):
    others = search(world(), make_strategy("random", problem(), seed=8, trials=12), 12, seed=8)
    others[3] = ended(3, others[3].proposal, Outcome(error="died"), 3)
    proposed = []
    for _ in range(2):  # the same each time
        strategy = make_strategy(name, problem(), seed=1, trials=30)
        for trial in others:
            strategy.tell(trial)
        proposed.append(ids(search(world(), strategy, 18, seed=1)))
    assert proposed[0] == proposed[1]
    assert len(set(proposed[0])) == 18
    assert not set(proposed[0]) & set(ids(others))


def test_seeds_differ(name):
    one, two = (search(world(), make_strategy(name, problem(), seed=seed, trials=5), 5, seed=0) for seed in (1, 2))
    assert ids(one) != ids(two)


def test_global_random_states_are_left_alone(name):
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.random.get_rng_state().tolist()
    search(world(), make_strategy(name, problem(), seed=1, trials=30), 30, seed=1)
    assert before == (random.getstate(), np.random.get_state()[1].tolist(), torch.random.get_rng_state().tolist())


def test_a_space_smaller_than_the_number_of_trials_is_tried_completely_and_ends(name, tmp_path):
    six = World(space_of(SIX_NETWORKS, tmp_path))
    everything = within(six.space, 1e3, "soft")
    strategy = make_strategy(name, everything, seed=1, trials=50)
    trials = search(six, strategy, 50, seed=1)
    assert len(set(ids(trials))) == len(trials) == 6
    assert strategy.finished
    assert strategy.ask() is None


def test_a_space_of_one_network_is_tried_once(name, tmp_path):
    one = World(space_of(ONE_NETWORK, tmp_path))
    strategy = make_strategy(name, within(one.space, 1e3, "soft"), seed=1, trials=5)
    assert len(search(one, strategy, 5, seed=1)) == 1
    assert strategy.finished


def test_a_budget_that_few_networks_meet_ends_with_those_few(name):
    budget_ms = problem().smallest().latency_ms * 1.001
    tight = within(world().space, budget_ms)
    strategy = make_strategy(name, tight, seed=1, trials=30)
    trials = search(world(), strategy, 30, seed=1)
    assert 1 <= len(set(ids(trials))) == len(trials)
    assert all(latency_ms(trial.proposal.architecture) <= budget_ms for trial in trials)
    assert strategy.finished


def test_a_budget_that_no_network_meets_is_refused_with_the_fastest_latency(name):
    fastest = problem().smallest().latency_ms
    impossible = within(world().space, fastest / 2, target="pixel1")
    with pytest.raises(
        BudgetError, match=rf"mobilenet_v2 meets .* ms on pixel1; the fastest found takes {fastest:.3g} ms"
    ):
        make_strategy(name, impossible, seed=1, trials=5)
