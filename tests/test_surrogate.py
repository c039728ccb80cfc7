"""The parts of the model-based search: descriptors, model, aims, candidates; and what they reach together."""

from dataclasses import astuple
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import WhiteKernel

from benchmarks.accuracy_tables import FOLDER
from nas.space import load_space
from nas.strategies import surrogate
from nas.strategies.acquisition import Aims, believing
from nas.strategies.candidates import Candidates
from nas.strategies.described import Described, Growing, join
from nas.strategies.descriptors import Descriptor, presence
from nas.strategies.gaussian_process import AccuracyModel, Effects, instructive
from nas.strategies.posterior import Posterior, effects
from nas.strategies.registry import make_strategy
from nas.trial import Outcome, Proposal
from tests.strategy_worlds import World, ended, search, space_of, within

LAYERWISE = """
name: layerwise
resolution: 32
stages:
  - {op: conv, channels: [8, 16], kernel: 3, stride: 2}
  - {channels: [8, 16], depth: [0, 1, 2], expand: [1, 6], kernel: [3, 5, 7], per_layer: [kernel, expand]}
head: {type: plain}
"""


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@cache
def world() -> World:
    return World(load_space("mobilenet_v2"))


@cache
def layerwise(folder: Path) -> World:
    return World(space_of(LAYERWISE, folder))


# Descriptors.


def test_networks_that_differ_in_absent_layers_alone_have_equal_descriptors(tmp_path):
    space = layerwise(tmp_path).space
    problem = within(space, 1e3)
    genotypes = np.array(list(space.genotypes()))
    descriptors = Descriptor.over(space.genes, problem.costs, genotypes)(genotypes)
    by_network = {}
    for genotype, descriptor in zip(genotypes.tolist(), descriptors, strict=True):
        by_network.setdefault(space.decode(tuple(genotype)).id, []).append(descriptor)
    same_width = [np.ptp(group, axis=0).max() for group in by_network.values() if len(group) > 1]
    shallow = presence(space.genes, genotypes).all(1)
    assert len({descriptor.tobytes() for descriptor in descriptors[shallow]}) == shallow.sum()
    assert len(same_width) > 5
    assert sum(spread == 0 for spread in same_width) > len(same_width) / 2


def test_genes_of_absent_layers_say_nothing(tmp_path):
    genes = layerwise(tmp_path).space.genes
    depth = next(index for index, gene in enumerate(genes) if gene.name == "stages[1].depth")
    genotypes = np.zeros((3, len(genes)), int)
    genotypes[:, depth] = [0, 1, 2]
    shown = presence(genes, genotypes)
    own = [[f"layers[{layer}]" in gene.name for gene in genes] for layer in range(2)]
    assert [[bool(shown[d, own[layer]].all()) for layer in range(2)] for d in range(3)] == [
        [False, False],
        [True, False],
        [True, True],
    ]
    assert shown[:, depth].all()


# The model.


def test_the_model_recovers_effects_of_choices_and_of_pairs_from_noisy_outcomes():
    x = rng().integers(0, 2, size=(160, 8)) - 0.5
    truth = 0.7 + 0.02 * x[:, 0] - 0.03 * x[:, 1] + 0.04 * x[:, 2] * x[:, 3]
    noisy = truth + rng().normal(0, 0.004, len(x))
    model = AccuracyModel()
    model.fit(x[:120], noisy[:120], x[:0])
    mean, std = model.mean_and_std(x[120:])
    assert np.corrcoef(mean, truth[120:])[0, 1] > 0.95
    assert np.array_equal(mean, model.mean(x[120:]))
    assert (std > 0).all()
    assert (np.abs(mean - truth[120:]) < 4 * std).all()


def test_a_network_under_way_is_believed_and_no_longer_in_doubt():
    x = rng().normal(size=(30, 5))
    accuracies = 0.5 + 0.05 * x[:, 0] + rng().normal(0, 0.01, 30)
    alone, beside = AccuracyModel(), AccuracyModel()
    alone.fit(x[:20], accuracies[:20], x[:0])
    beside.fit(x[:20], accuracies[:20], x[20:21])
    (mean_alone, std_alone), (mean_beside, std_beside) = (m.mean_and_std(x[20:21]) for m in (alone, beside))
    assert mean_beside == pytest.approx(mean_alone, abs=1e-6)
    assert std_beside < std_alone


def test_one_collapsed_training_does_not_hide_the_differences_of_the_others():
    x = rng().normal(size=(40, 4))
    accuracies = 0.7 + 0.01 * x[:, 0]
    accuracies[7] = 0.1
    model = AccuracyModel()
    model.fit(x, accuracies, x[:0])
    others = np.arange(40) != 7
    assert np.corrcoef(model.mean(x)[others], accuracies[others])[0, 1] > 0.9


# Aims.


@given(seed=st.integers(0, 999))
@settings(max_examples=20, deadline=None)
def test_the_gain_is_the_mean_growth_of_the_front(seed):
    """Against an integral over accuracies: a cell gains what the network is better there than the best known one."""
    draws = np.random.default_rng(seed)
    costs, rewards = draws.uniform(0, 10, (6, 2)), draws.uniform(0.5, 0.8, 6)
    aims = Aims.over(costs, np.array([10.0, 10.0]))
    best = aims.best(costs, rewards)
    cost, mean, std = draws.uniform(0, 10, (1, 2)), draws.uniform(0.5, 0.9, 1), np.array([0.05])
    steps = np.linspace(-8, 8, 4001)
    likely = np.exp(-(steps**2) / 2) / np.exp(-(steps**2) / 2).sum()
    inside = (cost <= aims.limits).all(1)
    grown = np.maximum(mean + std * steps[:, None] - best[inside], 0).sum(1)
    assert aims.gain(cost, mean, std, best)[0] == pytest.approx((grown * likely).sum(), rel=1e-3, abs=1e-9)


def test_without_costs_there_is_one_cell_and_the_promise_is_the_reward():
    rewards = np.array([0.3, 0.7, 0.5])
    aims = Aims.over(np.empty((3, 0)), np.empty(0))
    assert aims.best(np.empty((3, 0)), rewards).tolist() == [0.7]
    assert aims.promise(np.empty((3, 0)), rewards, np.array([0.7])) == pytest.approx(rewards - 0.7)


def test_the_best_of_a_cell_keeps_to_its_limits():
    aims = Aims.over(np.array([[1.0], [9.0]]), np.array([9.0]))
    best = aims.best(np.array([[1.0], [9.0]]), np.array([0.4, 0.6]))
    assert best[0] == 0.4
    assert best[-1] == 0.6
    assert (np.diff(best) >= 0).all()


# Candidates.


@pytest.mark.parametrize("slack", [1.02, 1.3, 3])
def test_samples_and_children_are_within_the_budget_and_differ(slack):
    problem = world().problem()
    problem = within(world().space, problem.smallest().latency_ms * slack)
    candidates = Candidates(problem, rng())
    assert len(candidates.sample) > 100
    for genotypes in (candidates.sample, candidates.bred(candidates.sample[:9], 500, rng())):
        assert (problem.costs.latency_ms(genotypes) <= problem.budget_ms).all()
    assert len(np.unique(candidates.bred(candidates.sample[:9], 500, rng()), axis=0)) > 30


def test_of_a_small_space_everything_within_the_budget_is_looked_at(tmp_path):
    space = layerwise(tmp_path).space
    every = sorted(within(space, 1e9).costs.latency_ms(np.array(list(space.genotypes()))))
    problem = within(space, every[len(every) // 3])
    looked_at = {tuple(row) for row in Candidates(problem, rng()).everything.tolist()}
    assert looked_at == {g for g in space.genotypes() if problem.candidate(g).latency_ms <= problem.budget_ms}


# Many workers.


def test_first_proposals_for_many_workers_pass_over_known_networks_without_building_them(monkeypatch):
    problem, made = world().problem(), []
    strategy = make_strategy("surrogate", problem, seed=1, trials=1000)
    canonical = type(problem.space).canonical
    monkeypatch.setattr(type(problem.space), "canonical", lambda self, g: (made.append(g), canonical(self, g))[1])
    ids = {strategy.ask().architecture.id for _ in range(150)}
    assert len(ids) == 150
    assert len(made) < 170


@given(st.lists(st.integers(0, 40), min_size=1, max_size=900), st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_the_outcomes_that_a_model_is_made_of_are_the_best_and_others_spread_evenly(some, seed):
    accuracies = np.random.default_rng(seed).choice(np.array(some, float), 2 * len(some))  # many are equal
    chosen = instructive(accuracies)
    if len(accuracies) <= 300:
        assert list(chosen) == list(range(len(accuracies)))
        return
    order = np.argsort(-accuracies, kind="stable")
    others = np.sort(order[150:])
    spread = others[np.linspace(0, len(others) - 1, 150).round().astype(int)]
    assert list(chosen) == sorted({*order[:150], *spread})


def test_a_posterior_is_that_of_scikit_learn_to_the_last_bit():
    x, y = rng().normal(size=(80, 7)), rng().normal(size=50)
    seen, asked = x[:50], x[50:]
    kernel = Effects(0.7, 0.13) + WhiteKernel(0.05)
    theirs = GaussianProcessRegressor(kernel, alpha=1e-8, optimizer=None).fit(seen, y)
    ours = Posterior.of(kernel, seen, y)
    assert np.array_equal(ours.mean(asked), theirs.predict(asked))
    assert all(map(np.array_equal, ours.mean_and_std(asked), theirs.predict(asked, return_std=True)))
    assert all(map(np.array_equal, ours.mean_and_covariance(asked), theirs.predict(asked, return_cov=True)))


@pytest.mark.parametrize("count", [1, 128, 300])
def test_effects_are_the_same_however_many_rows_there_are(count):
    x, y = rng().normal(size=(count, 7)), rng().normal(size=(5, 7))
    inner = 1 + x @ y.T
    assert np.allclose(effects(0.7, 0.13, x, y), 0.7 * inner + 0.13 * inner**2, rtol=1e-12)


def test_choices_that_believe_in_those_before_are_those_of_a_process_fitted_again():
    x = rng().normal(size=(60, 5))
    accuracies = 0.5 + 0.05 * x[:20, 0] + rng().normal(0, 0.01, 20)
    model = AccuracyModel()
    model.fit(x[:20], accuracies, x[:0])
    mean, covariance, noise = model.mean_and_covariance(x[20:])
    chosen = believing(lambda doubt: doubt + mean, covariance, noise, 4)
    assert np.allclose(np.sqrt(covariance.diagonal()), model.mean_and_std(x[20:])[1])
    for count, place in enumerate(chosen):
        model.fit(x[:20], accuracies, x[20:][chosen[:count]])
        again, doubt = model.mean_and_std(x[20:])
        worth = np.where(np.isin(np.arange(40), chosen[:count]), -np.inf, again + doubt)
        assert place == np.argmax(worth)


def follow(workers, trials, monkeypatch):
    """Numbers of fits, and the proposals of a study whose workers end in random order; and of its replay."""
    fits = []
    fit = AccuracyModel.fit
    monkeypatch.setattr(AccuracyModel, "fit", lambda self, *args: (fits.append(len(args[2])), fit(self, *args)))
    strategy, draws, running, events = (
        make_strategy("surrogate", world().problem(), seed=1, trials=64),
        Random(1),
        [],
        [],
    )
    for number in range(trials):
        proposal = strategy.ask()
        events.append((None, proposal))
        running.append((number, proposal))
        if len(running) == workers:
            number_, ended_ = running.pop(draws.randrange(workers))
            trial = ended(number_, ended_, world().outcome(ended_.architecture, draws), len(events))
            strategy.tell(trial)
            events.append((trial, None))
    return fits, events


def test_many_workers_get_batches_that_replay_as_they_were(monkeypatch):
    monkeypatch.setattr(surrogate, "_BATCHED_FROM", 20)
    monkeypatch.setattr(surrogate, "_WORKERS_OF_ONE", 4)
    monkeypatch.setattr(surrogate, "_BELIEVED", 6)
    fits, events = follow(12, 60, monkeypatch)
    asked = [proposal for _, proposal in events if proposal]
    assert len({proposal.architecture.id for proposal in asked}) == 60
    single = 20 - surrogate._FIRST  # asks before there are batches, of which the first ones need no model
    assert len(fits) <= single + (60 - 20) // 3 + 1
    assert max(fits) == 6
    again = make_strategy("surrogate", world().problem(), seed=1, trials=64)
    for trial, proposal in events:
        if trial is None:
            assert again.ask() == proposal
        else:
            again.tell(trial)


def test_few_workers_and_short_studies_get_one_proposal_at_a_time(monkeypatch):
    monkeypatch.setattr(surrogate, "_BATCHED_FROM", 10)
    strategy = make_strategy("surrogate", world().problem(), seed=1, trials=64)
    search(world(), strategy, 30, seed=0)
    assert strategy._batch == []


# Together.


def test_a_region_where_trainings_fail_is_left():
    problem, draws = world().problem(), Random(0)
    strategy = make_strategy("surrogate", problem, seed=0, trials=60)
    failed = []
    for number in range(40):
        proposal = strategy.ask()
        broken = (
            problem.space.encode(proposal.architecture)[2] == 2
        )  # every network with this kernel runs out of memory
        failed.append(broken)
        outcome = Outcome(error="out of memory") if broken else world().outcome(proposal.architecture, draws)
        strategy.tell(ended(number, proposal, outcome, number))
    assert sum(failed[:10]) > 0
    assert sum(failed[25:]) <= 4


def events(seed: int, count: int) -> list[tuple[str, int]]:
    """What three workers do that finish out of order: ("ask", n) or ("tell", n)."""
    draws, running, found = Random(seed), list[int](), []
    for number in range(count):
        while len(running) == 3 or (running and draws.random() < 0.4):
            found.append(("tell", running.pop(draws.randrange(len(running)))))
        running.append(number)
        found.append(("ask", number))
    return found


@pytest.mark.parametrize("seed", [0, 1])
def test_brought_where_it_was_by_recalling_it_goes_on_as_if_it_had_found_every_proposal_anew(tmp_path, seed):
    whole = layerwise(tmp_path) if seed else world()  # with absent layers in the former
    draws, count = Random(seed), 30

    def follow(asked_from: int, proposals: dict[int, Proposal]) -> list[Proposal]:
        strategy = make_strategy("surrogate", whole.problem(0.9), seed=seed, trials=count)
        for told, (event, number) in enumerate(events(seed, count)):
            if event == "tell":
                strategy.tell(ended(number, proposals[number], outcomes[number], told))
            elif number < asked_from:
                assert strategy.recall(proposals[number])
            else:
                proposals[number] = strategy.ask()
                outcome = whole.outcome(proposals[number].architecture, draws)
                outcomes.setdefault(number, Outcome(error="broken") if number % 7 == 3 else outcome)
        return [proposals[number] for number in range(count)]

    outcomes: dict[int, Outcome] = {}
    unbroken = follow(0, {})
    for cut in (9, 22):
        assert follow(cut, dict(enumerate(unbroken[:cut]))) == unbroken


def test_what_it_cannot_have_proposed_is_not_recalled(tmp_path):
    problem = world().problem()
    strategy = make_strategy("surrogate", problem, seed=0, trials=40)
    proposal = strategy.ask()
    assert proposal is not None
    assert not strategy.recall(proposal)  # a second time
    slow = max((problem.sample(Random(seed)) for seed in range(3)), key=lambda candidate: candidate.latency_ms)
    narrow = make_strategy("surrogate", world().problem(0.05), seed=0, trials=40)
    assert not narrow.recall(Proposal(slow.architecture))
    elsewhere = layerwise(tmp_path).problem().sample(Random(0))
    assert not strategy.recall(Proposal(elsewhere.architecture))


@pytest.mark.skipif(not FOLDER.exists(), reason="the accuracy tables of ../shared are not here")
def test_on_nasbench_macro_the_best_of_fifty_trainings_is_near_the_best_of_all():
    from benchmarks.strategies import Job, curves, run  # noqa: PLC0415

    regrets = [curves(run(Job("surrogate", "nasbench_macro", 0.4, seed, 50)))[0][49] for seed in range(3)]
    assert np.mean(regrets) <= 0.10


def test_a_front_is_found_in_one_study_that_no_search_for_one_network_finds():
    one = world().problem(0.5)
    both = within(world().space, one.budget_ms, front=("latency",))
    fronts = [_accurate_and_fast(make_strategy("surrogate", problem, seed=0, trials=60)) for problem in (one, both)]
    assert fronts[1] > fronts[0] + 0.02


def _accurate_and_fast(strategy) -> float:
    """Mean of the best true accuracy within a quarter, a half and three quarters of the way to the budget."""
    trials = [trial.proposal.architecture for trial in search(world(), strategy, 60, seed=0)]
    problem = world().problem(0.5)
    low = problem.smallest().latency_ms
    limits = [low + (problem.budget_ms - low) * share for share in (0.25, 0.5, 0.75)]
    best = [
        max((world().accuracy(a) for a in trials if problem.latency_ms(a) <= limit), default=0.0) for limit in limits
    ]
    return float(np.mean(best))


def test_described_genotypes_grow_one_by_one_without_changing():
    rng = np.random.default_rng(0)
    parts = [Described(rng.integers(3, size=(1, 4)), *(rng.random((1, 2)) for _ in range(4))) for _ in range(20)]
    growing = Growing(parts[0].only(slice(0)))
    for part in parts:
        growing.append(part)
    assert len(growing) == 20
    chosen = np.array([19, 0, 7])
    found, expected = growing.only(chosen), join([parts[index] for index in chosen])
    assert all(np.array_equal(a, b) for a, b in zip(astuple(found), astuple(expected), strict=True))
