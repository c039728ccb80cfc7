"""Regularised evolution: tournaments in a population from which the oldest, not the worst, is removed (1802.01548)."""

from collections import deque
from dataclasses import dataclass
from random import Random
from typing import final

from nas.strategies.ledger import Ledger
from nas.strategies.problem import Candidate, Problem
from nas.trial import Proposal, Trial

_TRIES = 50  # mutations over budget or known before the last one is walked to a network that is neither


@dataclass(frozen=True, slots=True)
class EvolutionSettings:
    """The paper's are 100 and 25, for some thousand trials."""

    population: int
    sample: int  # candidates per tournament

    @classmethod
    def for_trials(cls, trials: int) -> "EvolutionSettings":
        """The paper's from 800 trials on; fewer have a smaller population and tournaments among half of it."""
        population = min(100, max(8, trials // 8))
        return cls(population, min(25, population // 2))


@final
class Evolution:
    """Mutate one gene of the best of a few, forget the oldest. The first `population` proposals are random.

    Trials may be told in any order; age counts from when they were told. Failed trials do not enter the population.
    """

    def __init__(self, problem: Problem, *, seed: int, trials: int, settings: EvolutionSettings | None = None) -> None:
        self._problem = problem
        self._ledger = Ledger(problem)
        self._rng = Random(seed)
        self._settings = settings or EvolutionSettings.for_trials(trials)
        self._population: deque[tuple[float, Candidate]] = deque(maxlen=self._settings.population)

    @property
    def finished(self) -> bool:
        """Whether there is no network left to propose."""
        return self._ledger.finished

    def ask(self) -> Proposal | None:
        """The next proposal; None: finished."""
        if self.finished:
            return None
        if len(self._ledger) < self._settings.population or not self._population:
            return self._ledger.propose(self._ledger.fresh(self._rng))
        return self._ledger.propose(self._child())

    def tell(self, trial: Trial) -> None:
        """Let a trial that has a reward join the population."""
        candidate, reward = self._ledger.candidate(trial), self._ledger.reward(trial)
        if reward is not None:
            self._population.append((reward, candidate))

    def _child(self) -> Candidate | None:
        for _ in range(_TRIES):
            child = self._problem.mutate(self._parent(), self._rng)
            if self._ledger.admits(child):
                return child
        return self._ledger.near(child, self._rng)

    def _parent(self) -> Candidate:
        size = min(self._settings.sample, len(self._population))
        _, parent = max(self._rng.sample(self._population, size), key=lambda member: member[0])
        return parent
