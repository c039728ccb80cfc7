"""Search strategies side by side: ours, and other libraries' behind the same interface (`nas.trial.Strategy`)."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from random import Random

import optuna
from optuna.samplers import GPSampler

from nas.reward import make_reward
from nas.strategies.ledger import Ledger
from nas.strategies.optuna import OptunaSearch
from nas.strategies.problem import Problem
from nas.strategies.registry import STRATEGIES, make_strategy
from nas.trial import Proposal, Strategy, Trial


class SyneTune:
    """Syne Tune's BORE (Tiao 2021), with gradient-boosted trees; a draw over the budget is walked to one within it."""

    def __init__(self, problem: Problem, *, seed: int, trials: int) -> None:
        from syne_tune.config_space import choice  # noqa: PLC0415 - not all who run this have it
        from syne_tune.optimizer.baselines import BORE  # noqa: PLC0415

        self._problem, self._ledger, self._rng = problem, Ledger(problem), Random(seed)
        self._genes = [gene.name for gene in problem.space.genes]
        space = {gene.name: choice(list(range(len(gene.choices)))) for gene in problem.space.genes}
        self._searcher = BORE(space, metric="accuracy", do_minimize=False, random_seed=seed).searcher

    finished = False

    def ask(self) -> Proposal | None:
        """The searcher's suggestion, or what is near it within the budget."""
        drawn = self._searcher.suggest()
        candidate = self._problem.candidate(tuple(drawn[gene] for gene in self._genes))
        return self._ledger.propose(self._ledger.near(candidate, self._rng))

    def tell(self, trial: Trial) -> None:
        """The searcher minimises."""
        genotype = self._ledger.candidate(trial).genotype
        reward = self._ledger.reward(trial)
        assert reward is not None
        self._searcher.on_trial_complete(trial.number, dict(zip(self._genes, genotype, strict=True)), -reward)


def optuna_gp(problem: Problem, *, seed: int, trials: int) -> Strategy:
    """Optuna's Gaussian process with expected improvement; a draw over the budget is walked to one within it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = GPSampler(seed=seed, deterministic_objective=False)
    return OptunaSearch(
        problem,
        seed=seed,
        trials=trials,
        study=optuna.create_study(sampler=sampler, direction="maximize"),
        objectives=lambda accuracy, latency_ms: [problem.reward(accuracy, latency_ms)],
    )


class FiveBudgets:
    """A front from five studies, one after the other, each for the best network within a fifth more of the budget.

    What an earlier study has trained, a later one is told for nothing.
    """

    def __init__(self, problem: Problem, *, seed: int, trials: int) -> None:
        low = problem.smallest().latency_ms
        budgets = [low + (problem.budget_ms - low) * share / 5 for share in range(1, 6)]
        self._studies = [
            make_strategy(
                "surrogate", replace(problem, budget_ms=b, reward=make_reward("hard", b)), seed=seed, trials=40
            )
            for b in budgets
        ]
        self._share = trials // 5
        self._known: dict[str, Trial] = {}

    finished = False

    def ask(self) -> Proposal | None:
        """What the study whose turn it is proposes, if no other has trained it."""
        while (proposal := self._study.ask()) and (trial := self._known.get(proposal.architecture.id)):
            self._study.tell(trial)
        return proposal

    def tell(self, trial: Trial) -> None:
        """The trial belongs to the study whose turn it was."""
        self._study.tell(trial)
        self._known[trial.proposal.architecture.id] = trial

    @property
    def _study(self) -> Strategy:
        return self._studies[min(len(self._known) // self._share, 4)]


def surrogate_front(problem: Problem, *, seed: int, trials: int) -> Strategy:
    """Ours with two objectives."""
    return make_strategy("surrogate", replace(problem, front=("latency",)), seed=seed, trials=trials)


def _ours(name: str) -> Callable[..., Strategy]:
    return lambda problem, *, seed, trials: make_strategy(name, problem, seed=seed, trials=trials)


PEERS: dict[str, Callable[..., Strategy]] = {
    **{name: _ours(name) for name in STRATEGIES if name != "controller"},  # made for thousands of children
    "surrogate-front": surrogate_front,
    "surrogate-5-budgets": FiveBudgets,
    "optuna-gp": optuna_gp,
    "syne-tune-bore": SyneTune,
}
