"""Optuna's TPE and NSGA-II, in memory: the store keeps the trials, and replay rebuilds a sampler's state."""

from collections.abc import Callable, Sequence
from random import Random
from typing import final

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import NSGAIISampler, TPESampler
from optuna.trial import TrialState

from nas.strategies.ledger import Ledger
from nas.strategies.problem import Candidate, Problem
from nas.trial import Proposal, Trial

optuna.logging.set_verbosity(optuna.logging.ERROR)


@final
class OptunaSearch:
    """One Optuna sampler over the genes, each of them a categorical parameter.

    Where a draw is over budget or known, the network that `Ledger.near` finds from it takes its place, also in
    the sampler's memory, which so holds nothing but networks that were tried. Failed trials are told as failed.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int,
        trials: int,
        study: optuna.Study,
        objectives: Callable[[float, float], Sequence[float]],
    ) -> None:
        """`objectives(accuracy, latency_ms)` are the values that the study's sampler optimises."""
        self._problem = problem
        self._ledger = Ledger(problem)
        self._rng = Random(seed)
        self._objectives = objectives
        self._study = study
        self._distributions: dict[str, BaseDistribution] = {
            gene.name: CategoricalDistribution(range(len(gene.choices))) for gene in problem.space.genes
        }
        self._running: dict[str, optuna.Trial] = {}  # by architecture id, until told

    @property
    def finished(self) -> bool:
        """Whether there is no network left to propose."""
        return self._ledger.finished

    def ask(self) -> Proposal | None:
        """The next proposal; None: finished."""
        if self.finished:
            return None
        trial = self._study.ask(self._distributions)
        drawn = tuple(trial.params[gene] for gene in self._distributions)
        candidate = self._ledger.near(self._problem.candidate(drawn), self._rng)
        taken = candidate is not None and candidate.genotype == drawn
        if not taken:
            self._study.tell(trial, state=TrialState.FAIL)
        if candidate is None:
            return self._ledger.propose(None)
        self._running[candidate.architecture.id] = trial if taken else self._replacement(candidate)
        return self._ledger.propose(candidate)

    def tell(self, trial: Trial) -> None:
        """Give the sampler its objectives, or the news that there are none."""
        candidate = self._ledger.candidate(trial)
        running = self._running.pop(candidate.architecture.id, None) or self._replacement(candidate)
        if self._ledger.reward(trial) is None:
            self._study.tell(running, state=TrialState.FAIL)
        else:
            assert trial.accuracy is not None
            self._study.tell(running, self._objectives(trial.accuracy, candidate.latency_ms))

    def _replacement(self, candidate: Candidate) -> optuna.Trial:
        self._study.enqueue_trial(dict(zip(self._distributions, candidate.genotype, strict=True)))
        trial = self._study.ask(self._distributions)
        _ = trial.relative_params  # NSGA-II counts a trial to a generation only when it is asked for these
        return trial


def tpe(problem: Problem, *, seed: int, trials: int) -> OptunaSearch:
    """The tree-structured Parzen estimator (2304.11127) on the reward, multivariate, with Optuna's constant liar."""
    return OptunaSearch(
        problem,
        seed=seed,
        trials=trials,
        study=optuna.create_study(sampler=TPESampler(seed=seed, multivariate=True), direction="maximize"),
        objectives=lambda accuracy, latency_ms: [problem.reward(accuracy, latency_ms)],
    )


def nsga2(problem: Problem, *, seed: int, trials: int) -> OptunaSearch:
    """NSGA-II (Deb 2002) on accuracy and latency: it seeks the whole front within the budget, and uses no reward."""
    sampler = NSGAIISampler(seed=seed, population_size=min(50, max(8, trials // 6)))
    return OptunaSearch(
        problem,
        seed=seed,
        trials=trials,
        study=optuna.create_study(sampler=sampler, directions=["maximize", "minimize"]),
        objectives=lambda accuracy, latency_ms: [accuracy, latency_ms],
    )
