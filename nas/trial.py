"""`Trial` and the protocols between which trials travel: strategies propose, executors run, evaluators train."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, runtime_checkable

from nas.architecture import Architecture

Metrics = Mapping[str, float]
"""Figures by name, as in `{"accuracy": 0.71}`; accuracies are shares from 0 to 1."""

Report = Callable[[int, Metrics], bool]
"""`report(epoch, metrics)` after each epoch, counted from 1; True means: stop here."""


class TrialState(StrEnum):
    """WAITING -> RUNNING -> COMPLETE | STOPPED | FAILED; RUNNING -> WAITING only when a worker is lost."""

    WAITING = "waiting"
    RUNNING = "running"
    COMPLETE = "complete"
    STOPPED = "stopped"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether an outcome is there and will not change."""
        return self in (TrialState.COMPLETE, TrialState.STOPPED, TrialState.FAILED)


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a strategy wants to know: this network, trained so long, from the weights of trial `parent` if given."""

    architecture: Architecture
    epochs: int | None = None  # None: the evaluator's own
    parent: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an evaluation gave: metrics, or the error that ended it. A worker's crash is a value, too."""

    metrics: Metrics = field(default_factory=dict)
    error: str | None = None
    stopped: bool = False  # ended early on request; the metrics are those of its last epoch

    @property
    def state(self) -> TrialState:
        """The state that a trial with this outcome ends in."""
        if self.error is not None:
            return TrialState.FAILED
        return TrialState.STOPPED if self.stopped else TrialState.COMPLETE


@dataclass(frozen=True, slots=True)
class Trial:
    """One proposal and what became of it.

    `number` counts from 0 within the study, in the order of asking. `asked_after` is how many outcomes the
    strategy had heard when it proposed this trial, and `told` the place of this trial's own outcome in that
    order (from 0); with both, a stopped study is replayed to the same decisions.
    """

    number: int
    proposal: Proposal
    asked_after: int
    state: TrialState = TrialState.WAITING
    outcome: Outcome | None = None
    told: int | None = None
    seed: int = 0

    @property
    def accuracy(self) -> float | None:
        """Held-out accuracy from 0 to 1, if the trial completed."""
        if self.state is not TrialState.COMPLETE or self.outcome is None:
            return None
        return self.outcome.metrics.get("accuracy")


class Strategy(Protocol):
    """Decides what to try next. A function of its seed and of the outcomes in the order they came."""

    @property
    def finished(self) -> bool:
        """Whether it will never propose again."""
        ...

    def ask(self) -> Proposal | None:
        """The next proposal; None: tell me more first (state unchanged)."""
        ...

    def tell(self, trial: Trial) -> None:
        """Hear of a trial that ended, whatever its state.

        It may be one that another study proposed, before the first `ask`: a network of the same space, which is not
        proposed again.
        """
        ...


@runtime_checkable
class Recalling(Protocol):
    """A strategy that can be brought where it was without finding its earlier proposals anew."""

    def recall(self, proposal: Proposal) -> bool:
        """Become what `ask` would have made of the strategy if it had returned this proposal.

        False: `ask` cannot have returned it, and the strategy is of no more use.
        """
        ...


class Evaluator(Protocol):
    """Judges one network. Picklable; runs in a worker; its exceptions become failed trials."""

    def evaluate(self, trial: Trial, report: Report) -> Outcome:
        """Train and measure; call `report` after each epoch and stop early when it returns True.

        Raises:
            NasError: no trial can be judged until the user has mended something (a full disk, absent data): the
                search ends, and this trial waits for the next.
        """
        ...


@runtime_checkable
class Sharing(Protocol):
    """An evaluator all of whose trials need the same things; on a cluster these are put on each node once."""

    def shared(self) -> Callable[[], object]:
        """What is called in each worker before its first trial; picklable, and holds the things.

        Raises:
            NasError: they cannot be had.
        """
        ...


class TrialQueue(Protocol):
    """What an executor pulls from and pushes to (a study); called from one thread only."""

    def ask(self) -> Trial | None:
        """The next trial, already recorded as RUNNING; None: nothing to do until more is told."""
        ...

    def placed(self, trial: Trial, host: str, pid: int) -> None:
        """Have it recorded which process the trial was given to; for those who ask who works on what."""
        ...

    def report(self, trial: Trial, epoch: int, metrics: Metrics) -> bool:
        """Record one epoch; True: the trial should stop here."""
        ...

    def tell(self, trial: Trial, outcome: Outcome) -> None:
        """Record how the trial ended."""
        ...

    def lost(self, trial: Trial, reason: str) -> None:
        """The worker vanished without an outcome; the trial goes back to WAITING, or fails when lost too often."""
        ...

    def idle(self) -> None:
        """Called about once a second while the executor waits: heartbeat, progress, where trials run."""
        ...


class Executor(Protocol):
    """Runs trials on workers until the queue has no more and none is running."""

    def run(self, queue: TrialQueue, evaluator: Evaluator) -> None:
        """Raises KeyboardInterrupt after its workers have been ended cleanly."""
        ...
