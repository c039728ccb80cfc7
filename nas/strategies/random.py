"""Random search: the baseline that every other strategy has to beat."""

from random import Random
from typing import final

from nas.strategies.ledger import Ledger
from nas.strategies.problem import Problem
from nas.trial import Proposal, Trial


@final
class RandomSearch:
    """Random networks within the budget; hears nothing, and is the same for any number of trials."""

    def __init__(self, problem: Problem, *, seed: int, trials: int) -> None:
        self._ledger = Ledger(problem)
        self._rng = Random(seed)

    @property
    def finished(self) -> bool:
        """Whether there is no network left to propose."""
        return self._ledger.finished

    def ask(self) -> Proposal | None:
        """The next proposal; None: finished."""
        return None if self.finished else self._ledger.propose(self._ledger.fresh(self._rng))

    def tell(self, trial: Trial) -> None:
        """Nothing that a trial says changes what is drawn next, but that it is not proposed again."""
        self._ledger.candidate(trial)
