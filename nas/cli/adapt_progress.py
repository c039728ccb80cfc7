"""Progress of `nas adapt` on stderr: a line per trial."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from nas.study import Entry, Listener
from nas.trial import Metrics

_LONG = 3  # epochs, from which on each is shown


class _Lines:
    """How many trials have ended, and of the last one what it gave."""

    def __init__(self, budget_ms: float) -> None:
        self._budget_ms = budget_ms
        self._ids: dict[int, int] = {}  # of trials, by number
        self._running: set[int] = set()
        self._ended = 0

    def started(self, entry: Entry) -> None:
        """A proposal was given to a worker."""
        self._running.add(entry.id)

    def reported(self, entry: Entry, epoch: int, metrics: Metrics) -> None:
        """Of a long training each epoch is shown."""
        epochs = entry.trial.proposal.epochs or 0
        if epochs >= _LONG:
            _say(f"trial:{entry.id} epoch {epoch}/{epochs}: accuracy {metrics['accuracy']:.2%}")

    def ended(self, entry: Entry) -> None:
        """A trial ended; those of an earlier run are counted alone."""
        self._ended += 1
        self._ids[entry.trial.number] = entry.id
        if entry.id not in self._running:
            return
        outcome = entry.trial.outcome
        metrics = outcome.metrics if outcome else {}
        what = outcome.error if outcome and outcome.error else f"accuracy {metrics.get('accuracy', 0):.2%}"
        if "loss_change" in metrics:
            what = f"estimated loss {metrics['loss_change']:+.3f} for {metrics['latency_change_ms']:+.3f} ms"
        elif "accuracy_change" in metrics:
            what += f" ({metrics['accuracy_change']:+.2%} for {metrics['latency_change_ms']:+.3f} ms)"
        number = entry.trial.proposal.parent
        parent = "" if number is None else f" from trial:{self._ids[number]}"
        _say(
            f"trial:{entry.id} {entry.trial.proposal.epochs} epochs{parent}: {what}, {entry.latency_ms:.2f} ms of "
            f"{self._budget_ms:g} ms; {self._ended} trials"
        )

    def tick(self) -> None:
        """Nothing happens without news."""


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextmanager
def adapt_progress(budget_ms: float) -> Iterator[Listener]:
    """A listener that shows the study on stderr."""
    yield _Lines(budget_ms)
