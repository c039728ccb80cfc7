"""What of a trimming is recorded beside its outcomes, and which weights are kept."""

from dataclasses import replace
from pathlib import Path

from nas.begun import Milliseconds
from nas.evaluators.proxy import trial_weights
from nas.strategies.netadapt import NetAdapt
from nas.study import Entry, Listener, Study
from nas.trial import Metrics, Outcome, Trial


class WithChanges:
    """A study that records with each proposal how accuracy and latency differ from the network it was cut from."""

    def __init__(self, study: Study, strategy: NetAdapt, latency_ms: Milliseconds) -> None:
        self._study, self._strategy, self._latency_ms = study, strategy, latency_ms
        self.ask, self.report, self.lost, self.idle = study.ask, study.report, study.lost, study.idle
        self.placed = study.placed

    def tell(self, trial: Trial, outcome: Outcome) -> None:
        """See `nas.trial.TrialQueue.tell`."""
        self._study.tell(trial, replace(outcome, metrics={**outcome.metrics, **self._changes(trial, outcome)}))

    def _changes(self, trial: Trial, outcome: Outcome) -> Metrics:
        base = self._strategy.base(trial.number)
        if base is None or outcome.error is not None:
            return {}
        change_ms = {
            "latency_change_ms": self._latency_ms(trial.proposal.architecture) - self._latency_ms(base.architecture)
        }
        if "accuracy" not in outcome.metrics:
            return change_ms
        return {"accuracy_change": outcome.metrics["accuracy"] - base.accuracy, **change_ms}


class Tidy:
    """A listener that removes the weights of proposals that have lost, and passes everything on."""

    def __init__(self, listener: Listener, strategy: NetAdapt, folder: Path) -> None:
        self._listener, self._strategy, self._folder = listener, strategy, folder
        self._ended: set[int] = set()
        self.started, self.reported, self.tick = listener.started, listener.reported, listener.tick

    def ended(self, entry: Entry) -> None:
        """See `nas.study.Listener.ended`."""
        self._listener.ended(entry)
        self._ended.add(entry.trial.number)
        for number in self._ended - self._strategy.needed:
            trial_weights(self._folder, number).unlink(missing_ok=True)
            self._ended.discard(number)
