"""`Ledger`: what a strategy has proposed, so that no network comes twice and no search is endless."""

import math
from collections.abc import Iterator
from itertools import islice
from random import Random
from typing import final

from nas.strategies.problem import Candidate, Problem
from nas.trial import Proposal, Trial

_TRIES = 16  # samples, or mutations, that may turn out to be known
_ENUMERABLE = 1 << 13  # spaces up to this size are searched completely before they count as exhausted


@final
class Ledger:
    """The proposals of one strategy: all different, all admitted by the problem."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._proposed: dict[str, Candidate] = {}  # by architecture id, in the order of proposing
        self._exhausted = False

    def __len__(self) -> int:
        return len(self._proposed)

    @property
    def finished(self) -> bool:
        """Whether the networks have run out. How many of them are tried is for the study to say."""
        return self._exhausted

    def admits(self, candidate: Candidate) -> bool:
        """Whether the candidate may be proposed: within the budget and new."""
        return self._problem.admits(candidate) and candidate.architecture.id not in self._proposed

    def propose(self, candidate: Candidate | None) -> Proposal | None:
        """Write down what is proposed; None: there is nothing left, now or ever."""
        if candidate is None:
            self._exhausted = True
            return None
        assert self.admits(candidate)
        self._proposed[candidate.architecture.id] = candidate
        return Proposal(candidate.architecture)

    def candidate(self, trial: Trial) -> Candidate:
        """The candidate that the trial was proposed as; one that another study proposed counts as proposed from now."""
        architecture = trial.proposal.architecture
        if architecture.id not in self._proposed:
            self._proposed[architecture.id] = self._problem.candidate(self._problem.space.encode(architecture))
        return self._proposed[architecture.id]

    def reward(self, trial: Trial) -> float | None:
        """The trial's reward; None if it failed, was stopped, or has no finite accuracy."""
        if trial.accuracy is None or not math.isfinite(trial.accuracy):
            return None
        return self._problem.reward(trial.accuracy, self.candidate(trial).latency_ms)

    def fresh(self, rng: Random) -> Candidate | None:
        """A random network that may be proposed; None if none was found, also not by enumeration."""
        for _ in range(_TRIES):
            candidate = self._problem.sample(rng)
            if self.admits(candidate):
                return candidate
        return next((candidate for candidate in self._remaining() if self.admits(candidate)), None)

    def near(self, candidate: Candidate, rng: Random) -> Candidate | None:
        """The candidate if it may be proposed, else one that a walk from it comes to; None if there is none."""
        for _ in range(_TRIES):
            candidate = self._problem.repair(candidate, rng)
            if self.admits(candidate):
                return candidate
            candidate = self._problem.mutate(candidate, rng)
        return self.fresh(rng)

    def _remaining(self) -> Iterator[Candidate]:
        """All of a small space; of a large one, all that differs in one gene from what was proposed."""
        if self._problem.space.genotype_count <= _ENUMERABLE:
            yield from map(self._problem.candidate, self._problem.space.genotypes())
        else:
            for candidate in islice(self._proposed.values(), _ENUMERABLE):
                yield from self._problem.neighbours(candidate)
