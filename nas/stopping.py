"""`SuccessiveHalving`: which trainings end early because others were further at the same epoch."""

from collections.abc import Iterable
from statistics import median
from typing import final

from nas.trial import Metrics, Trial, TrialState

_PEERS = 4  # trials that a rung needs before it judges
_LEARNT = 0.5  # of the accuracy that trainings end with: a rung short of it says little about who will be best


@final
class SuccessiveHalving:
    """Ends a training at a half, a quarter, an eighth ... of its epochs if it is in the worse half of those before it.

    This is ASHA in its stopping form (1810.05934, section 3.3; eta = 2), with two changes. A trial is compared only
    with trials that have ended, not with those that run beside it: so a decision follows from the outcomes that a
    study had heard and the trial's own accuracy, and an interrupted study decides as it would have. And a rung judges
    only where trainings have learnt something: where their median is at least half of that of the completed ones.
    """

    def __init__(self, epochs: int) -> None:
        self._rungs: dict[int, list[float]] = {rung: [] for rung in rungs(epochs)}
        self._running: dict[int, dict[int, float]] = {}  # accuracies at rungs, by number of the trial
        self._completed: list[float] = []  # accuracies at the end

    def stops(self, trial: Trial, epoch: int, metrics: Metrics) -> bool:
        """Hear of an epoch, counted from 1; whether the trial should end with it."""
        if epoch not in self._rungs or "accuracy" not in metrics:
            return False
        self._running.setdefault(trial.number, {})[epoch] = metrics["accuracy"]
        earlier = self._rungs[epoch]
        if len(earlier) < _PEERS or not self._completed:
            return False
        middle = median(earlier)
        return metrics["accuracy"] < middle and middle >= _LEARNT * median(self._completed)

    def forget(self, trial: Trial) -> None:
        """What was heard of a run that was lost: the trial begins again."""
        self._running.pop(trial.number, None)

    def ended(self, trial: Trial) -> None:
        """Compare later trials with this one, unless it has failed."""
        accuracies = self._running.pop(trial.number, {})
        if trial.accuracy is not None:
            self._completed.append(trial.accuracy)
        if trial.state is not TrialState.FAILED:
            for epoch, accuracy in accuracies.items():
                self._rungs[epoch].append(accuracy)

    def recall(self, trial: Trial, epochs: Iterable[tuple[int, Metrics]]) -> None:
        """Hear of a trial that ended earlier, with its epochs."""
        for epoch, metrics in epochs:
            self.stops(trial, epoch, metrics)
        self.ended(trial)


def rungs(epochs: int) -> tuple[int, ...]:
    """The epochs at which trainings are compared.

    >>> rungs(8), rungs(3), rungs(1)
    ((1, 2, 4), (1,), ())
    """
    return () if epochs < 2 else (*rungs(epochs // 2), epochs // 2)
