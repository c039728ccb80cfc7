"""`InlineExecutor`: trials in this very process, for evaluators that answer at once."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import final

from nas.executors.outcome import outcome_of
from nas.trial import Evaluator, Trial, TrialQueue

_IDLE_SECONDS = 0.5
_GROUP_SECONDS = 1.0
_FREE_EVERY, _FREE_SECONDS = 5.0, 0.15  # other writers of a SQLite file look for their turn every 100 ms


@final
@dataclass(frozen=True, slots=True)
class InlineExecutor:
    """Runs one trial after the other. A crash of the process is a crash of the search, which goes on when begun again.

    Of up to `group` trials, all that is recorded inside `together()` is recorded at once, which is many times faster
    than one by one; what a kill takes back is evaluated again, to the same outcomes. Meanwhile other processes cannot
    write, so a group takes no longer than a second or one trial, and now and then they are let in.
    """

    together: Callable[[], AbstractContextManager[None]] = nullcontext
    group: int = 1

    def run(self, queue: TrialQueue, evaluator: Evaluator) -> None:
        """Run all trials of `queue`; fills `nas.trial.Executor`.

        Raises:
            NasError: what an evaluator raised; its trial is not told.
        """
        shown = freed = time.monotonic()
        trial = queue.ask()
        while trial is not None:
            begun = time.monotonic()
            with self.together():
                for _ in range(self.group):
                    _run(queue, trial, evaluator)
                    trial = queue.ask()
                    if trial is None or time.monotonic() - begun > _GROUP_SECONDS:
                        break
            if self.group > 1 and time.monotonic() - freed > _FREE_EVERY:
                time.sleep(_FREE_SECONDS)
                freed = time.monotonic()
            if time.monotonic() - shown > _IDLE_SECONDS:
                queue.idle()
                shown = time.monotonic()


def _run(queue: TrialQueue, trial: Trial, evaluator: Evaluator) -> None:
    outcome = outcome_of(evaluator, trial, lambda epoch, metrics: queue.report(trial, epoch, metrics))
    queue.tell(trial, outcome)
