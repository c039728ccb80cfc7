"""The MnasNet way (1807.11626, section 4.2): a recurrent policy draws networks and learns from rewards by PPO."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import final

import torch
from torch import Tensor

from nas.network.policy import GenePolicy, Rollout, log_probabilities, one_thread, ppo_loss
from nas.space import Genotype
from nas.strategies.ledger import Ledger
from nas.strategies.problem import Candidate, Problem
from nas.trial import Proposal, Trial

_DRAWS = 16  # genotypes drawn at once, of which the first that may be proposed is taken


@dataclass(frozen=True, slots=True)
class ControllerSettings:
    """NASNet's (1707.07012, appendix A.2) where it gives them, for searches of some thousand children."""

    batch: int = 20  # children per update
    learning_rate: float = 3.5e-4
    hidden: int = 100
    clip: float = 0.2
    entropy: float = 1e-5
    baseline_decay: float = 0.95
    passes: int = 4  # gradient steps per update

    @classmethod
    def for_trials(cls, trials: int) -> "ControllerSettings":
        """The papers' settings for 8,000 trials and more; fewer trials take smaller batches and larger steps."""
        rate = cls().learning_rate * min(20.0, max(1.0, 8000 / trials))
        return cls(batch=min(20, max(4, trials // 20)), learning_rate=rate)


@dataclass(frozen=True, slots=True)
class _Child:
    """What the policy drew, gene by gene, and how likely it was then."""

    genotype: Genotype
    log_probabilities: Tensor  # (G,)


@final
class Controller:
    """Draws from the policy, updates it after every `batch` rewards in the order in which they were told.

    The policy learns from the genotype that it drew; where all its draws were known or over budget, from the
    one that was proposed in their place. Failed trials teach nothing.
    """

    def __init__(self, problem: Problem, *, seed: int, trials: int, settings: ControllerSettings | None = None) -> None:
        self._problem = problem
        self._ledger = Ledger(problem)
        self._settings = settings or ControllerSettings.for_trials(trials)
        self._rng = Random(seed)
        self._generator = torch.Generator().manual_seed(seed)
        choices = [len(gene.choices) for gene in problem.space.genes]
        self._policy = GenePolicy(choices, self._settings.hidden, self._generator)
        self._optimizer = torch.optim.Adam(self._policy.parameters(), self._settings.learning_rate)
        self._children: dict[str, _Child] = {}  # by architecture id, until told
        self._batch: list[tuple[_Child, float]] = []
        self._baseline: float | None = None

    @property
    def finished(self) -> bool:
        """Whether there is no network left to propose."""
        return self._ledger.finished

    def ask(self) -> Proposal | None:
        """The next proposal; None: finished."""
        if self.finished:
            return None
        with one_thread():
            genotype, candidate = self._draw()
            if candidate is not None:
                self._children[candidate.architecture.id] = self._child(genotype)
        return self._ledger.propose(candidate)

    def tell(self, trial: Trial) -> None:
        """Collect the reward; a full batch of them updates the policy."""
        candidate, reward = self._ledger.candidate(trial), self._ledger.reward(trial)
        child = self._children.pop(candidate.architecture.id, None)
        if reward is None:
            return
        with one_thread():  # what another study proposed is taken for drawn
            self._batch.append((child or self._child(candidate.genotype), reward))
        if len(self._batch) == self._settings.batch:
            with one_thread():
                self._learn(self._batch)
            self._batch = []

    def _child(self, genotype: Genotype) -> _Child:
        with torch.no_grad():
            return _Child(genotype, log_probabilities(self._policy, torch.tensor([genotype]))[0])

    def _draw(self) -> tuple[Genotype, Candidate | None]:
        """A genotype and the candidate to propose for it."""
        for drawn in self._policy.sample(_DRAWS, self._generator).tolist():
            candidate = self._problem.candidate(tuple(drawn))
            if self._ledger.admits(candidate):
                return tuple(drawn), candidate
        near = self._ledger.near(candidate, self._rng)
        return (near or candidate).genotype, near

    def _learn(self, batch: Sequence[tuple[_Child, float]]) -> None:
        rollout = Rollout(
            torch.tensor([child.genotype for child, _ in batch]),
            torch.stack([child.log_probabilities for child, _ in batch]),
            torch.tensor(self._advantages([reward for _, reward in batch]), dtype=torch.float64),
        )
        for _ in range(self._settings.passes):
            self._optimizer.zero_grad()
            loss = ppo_loss(self._policy, rollout, clip=self._settings.clip, entropy=self._settings.entropy)
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()

    def _advantages(self, rewards: Sequence[float]) -> list[float]:
        """Rewards above a moving average of those before, in units of the batch's spread."""
        mean = sum(rewards) / len(rewards)
        baseline = mean if self._baseline is None else self._baseline
        spread = (sum((reward - mean) ** 2 for reward in rewards) / len(rewards)) ** 0.5
        advantages = [(reward - baseline) / (spread + 1e-8) for reward in rewards]
        decay = self._settings.baseline_decay
        for reward in rewards:
            baseline = decay * baseline + (1 - decay) * reward
        self._baseline = baseline
        return advantages
