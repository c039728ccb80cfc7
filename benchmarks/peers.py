"""Search strategies side by side: ours, and other libraries' behind the same interface (`nas.trial.Strategy`)."""

import warnings
from collections.abc import Callable
from random import Random

import optuna
from optuna.samplers import GPSampler

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


def _ours(name: str) -> Callable[..., Strategy]:
    return lambda problem, *, seed, trials: make_strategy(name, problem, seed=seed, trials=trials)


PEERS: dict[str, Callable[..., Strategy]] = {
    **{name: _ours(name) for name in STRATEGIES if name != "controller"},  # made for thousands of children
    "optuna-gp": optuna_gp,
    "syne-tune-bore": SyneTune,
}
