"""Search strategies side by side: ours, and other libraries' behind the same interface (`nas.trial.Strategy`)."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from random import Random
from typing import final

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import GPSampler
from optuna.trial import TrialState

from nas.reward import make_reward
from nas.strategies.ledger import Ledger
from nas.strategies.problem import Candidate, Problem
from nas.strategies.registry import STRATEGIES, make_strategy
from nas.trial import Proposal, Strategy, Trial

optuna.logging.set_verbosity(optuna.logging.WARNING)

# Draws for one evaluation, of which all over the budget cost the peer nothing.
_BORE_DRAWS, _GP_DRAWS = 3, 4


@final
class SyneTune:
    """Syne Tune's BORE (Tiao 2021), with gradient-boosted trees.

    A draw over the budget costs nothing: the searcher is told the worst reward so far, and asked again; the last of
    some draws, and one that is known, is walked to a new network within the budget.
    """

    finished = False

    def __init__(self, problem: Problem, *, seed: int, trials: int) -> None:
        from syne_tune.config_space import choice  # noqa: PLC0415 - not all who run this have it
        from syne_tune.optimizer.baselines import BORE  # noqa: PLC0415

        self._problem, self._ledger, self._rng = problem, Ledger(problem), Random(seed)
        self._choices = {gene.name: len(gene.choices) for gene in problem.space.genes}
        space = {name: choice(list(range(count))) for name, count in self._choices.items()}
        self._searcher = BORE(space, metric="accuracy", do_minimize=False, random_seed=seed).searcher
        self._worst: float | None = None
        self._draws = 0

    def ask(self) -> Proposal | None:
        """The searcher's suggestion, or what is near it within the budget."""
        for _ in range(_BORE_DRAWS):
            drawn = self._suggest()
            candidate = self._problem.candidate(tuple(drawn.values()))
            if self._problem.admits(candidate):
                break
            if self._worst is not None:
                self._hear(drawn, self._worst)
        return self._ledger.propose(self._ledger.near(candidate, self._rng))

    def tell(self, trial: Trial) -> None:
        """The searcher hears of the network that was trained."""
        genotype = self._ledger.candidate(trial).genotype
        reward = self._ledger.reward(trial)
        assert reward is not None
        self._worst = reward if self._worst is None else min(self._worst, reward)
        self._hear(dict(zip(self._choices, genotype, strict=True)), reward)

    def _suggest(self) -> dict[str, int]:
        """What the searcher's own `suggest` does, with all candidates judged at once, and drawn by our seed."""
        searcher = self._searcher
        few = len(searcher.inputs) < searcher.init_random
        if few or not searcher._train_model(searcher.inputs, searcher.targets):
            return self._draw()
        candidates = [self._draw() for _ in range(searcher.feval_acq)]
        losses = searcher._loss(np.array([searcher._hp_ranges.to_ndarray(drawn) for drawn in candidates]))
        return candidates[int(np.argmin(losses))]

    def _draw(self) -> dict[str, int]:
        return {name: self._rng.randrange(count) for name, count in self._choices.items()}

    def _hear(self, drawn: dict[str, int], reward: float) -> None:
        self._searcher.on_trial_complete(self._draws, drawn, -reward)  # it minimises
        self._draws += 1


@final
class OptunaGP:
    """Optuna's Gaussian process, with the budget as a constraint that it models itself.

    A draw over the budget costs nothing: the sampler is told by how much it is over, with the worst accuracy so far,
    and asked again; the last of some draws, and one that is known, is walked to a new network within the budget. If
    it is `taught`, it is told the true accuracies of networks over the budget, as if they were trained for nothing,
    which no search can have: that bounds what the sampler could reach.
    """

    finished = False

    def __init__(self, problem: Problem, *, seed: int, trials: int, taught: bool = False) -> None:
        self._taught, self._worst = taught, math.inf
        self._problem, self._ledger, self._rng = problem, Ledger(problem), Random(seed)
        self._distributions: dict[str, BaseDistribution] = {
            gene.name: CategoricalDistribution(range(len(gene.choices))) for gene in problem.space.genes
        }
        self._study = optuna.create_study(sampler=GPSampler(seed=seed), direction="maximize")
        self._running: optuna.Trial | None = None

    def ask(self) -> Proposal | None:
        """The sampler's draw, or what is near it within the budget."""
        for _ in range(_GP_DRAWS):
            trial = self._study.ask(self._distributions)
            drawn = tuple(trial.params[gene] for gene in self._distributions)
            candidate = self._problem.candidate(drawn)
            if self._problem.admits(candidate):
                break
            true = self._problem.space.quality[candidate.architecture.row]
            if self._taught or self._worst < math.inf:
                self._hear(trial, candidate, true if self._taught else self._worst)
            else:
                self._study.tell(trial, state=TrialState.FAIL)
        else:
            trial = None
        walked = self._ledger.near(candidate, self._rng)
        if trial and walked is not candidate:
            self._study.tell(trial, state=TrialState.FAIL)
            trial = None
        self._running = trial
        return self._ledger.propose(walked)

    def tell(self, trial: Trial) -> None:
        """The sampler hears of the network that was trained."""
        candidate, running = self._ledger.candidate(trial), self._running
        if running is None:
            self._study.enqueue_trial(dict(zip(self._distributions, candidate.genotype, strict=True)))
            running = self._study.ask(self._distributions)
        self._running = None
        self._worst = min(self._worst, trial.accuracy)
        self._hear(running, candidate, trial.accuracy)

    def _hear(self, running: optuna.Trial, candidate: Candidate, accuracy: float) -> None:
        running.set_constraint("budget", candidate.latency_ms - self._problem.budget_ms)
        self._study.tell(running, accuracy)


class FiveBudgets:
    """A front from five studies, one after the other, each for the best network within a fifth more of the budget.

    What an earlier study has trained, a later one is told for nothing. A study that runs out of networks leaves its
    trainings to those after it.
    """

    finished = False

    def __init__(self, problem: Problem, *, seed: int, trials: int) -> None:
        low = problem.smallest().latency_ms
        budgets = [low + (problem.budget_ms - low) * share / 5 for share in range(1, 6)]
        self._studies = [
            make_strategy(
                "surrogate",
                replace(problem, budget_ms=b, reward=make_reward("hard", b)),
                seed=seed,
                trials=trials // len(budgets),
            )
            for b in budgets
        ]
        self._trials, self._until = trials, trials // len(budgets)
        self._known: dict[str, Trial] = {}

    def ask(self) -> Proposal | None:
        """What the study whose turn it is proposes, if no other has trained it."""
        while self._studies:
            if len(self._known) < self._until and (proposal := self._new()):
                return proposal
            del self._studies[0]
            if self._studies:
                self._until = len(self._known) + (self._trials - len(self._known)) // len(self._studies)
        return None

    def _new(self) -> Proposal | None:
        while (proposal := self._studies[0].ask()) and (trial := self._known.get(proposal.architecture.id)):
            self._studies[0].tell(trial)
        return proposal

    def tell(self, trial: Trial) -> None:
        """The trial belongs to the study whose turn it was."""
        self._studies[0].tell(trial)
        self._known[trial.proposal.architecture.id] = trial


def surrogate_front(problem: Problem, *, seed: int, trials: int) -> Strategy:
    """Ours with two objectives."""
    return make_strategy("surrogate", replace(problem, front=("latency",)), seed=seed, trials=trials)


def _ours(name: str) -> Callable[..., Strategy]:
    return lambda problem, *, seed, trials: make_strategy(name, problem, seed=seed, trials=trials)


PEERS: dict[str, Callable[..., Strategy]] = {
    **{name: _ours(name) for name in STRATEGIES if name != "controller"},  # made for thousands of children
    "surrogate-front": surrogate_front,
    "surrogate-5-budgets": FiveBudgets,
    "optuna-gp": OptunaGP,
    "optuna-gp-taught": partial(OptunaGP, taught=True),
    "syne-tune-bore": SyneTune,
}
