"""`InlineExecutor`: trials in this very process, for evaluators that answer at once."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import final

from nas.executors.outcome import outcome_of
from nas.trial import Evaluator, Trial, TrialQueue

_IDLE_SECONDS = 0.5


@final
@dataclass(frozen=True, slots=True)
class InlineExecutor:
    """Runs one trial after the other. A crash of the process is a crash of the search, which goes on when begun again.

    Of up to `group` trials, all that is recorded inside `together()` is recorded at once, which is many times faster
    than one by one; what a kill takes back is evaluated again, to the same outcomes.
    """

    together: Callable[[], AbstractContextManager[None]] = nullcontext
    group: int = 1

    def run(self, queue: TrialQueue, evaluator: Evaluator) -> None:
        """Run all trials of `queue`; fills `nas.trial.Executor`.

        Raises:
            NasError: what an evaluator raised; its trial is not told.
        """
        shown = time.monotonic()
        trial = queue.ask()
        while trial is not None:
            with self.together():
                for _ in range(self.group):
                    _run(queue, trial, evaluator)
                    trial = queue.ask()
                    if trial is None:
                        break
            if time.monotonic() - shown > _IDLE_SECONDS:
                queue.idle()
                shown = time.monotonic()


def _run(queue: TrialQueue, trial: Trial, evaluator: Evaluator) -> None:
    outcome = outcome_of(evaluator, trial, lambda epoch, metrics: queue.report(trial, epoch, metrics))
    queue.tell(trial, outcome)
