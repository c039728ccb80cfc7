"""`Study`: joins a strategy and the store, so that a search can be stopped anywhere and goes on as it would have."""

import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from platform import python_version
from random import Random
from typing import Protocol

from nas import __version__
from nas.architecture import Architecture
from nas.errors import StoreError, StudyError
from nas.layers import lower, peak_activation_bytes, total_macs, total_params
from nas.stopping import SuccessiveHalving
from nas.store.owners import this_process
from nas.store.records import Place, Sizes, StoredTrial, changed_versions
from nas.store.store import Store
from nas.trial import Metrics, Outcome, Proposal, Recalling, Strategy, Trial, TrialState

LEASE_SECONDS = 60.0  # after which another process may take over a study whose driver fell silent
_HEARTBEAT_SECONDS = 10.0
_PLACING_SECONDS = 1.0  # between two writes of places; of trials that ended meanwhile they are written with the end
_ASKED_EVERY, _ASKED = 20, 20  # recorded proposals that a replay finds anew to compare: these, and so many at the end
_RECORDED_PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "optuna")


@dataclass(frozen=True, slots=True)
class Entry:
    """A trial as a listener hears of it; people know it as trial:`id`."""

    id: int
    trial: Trial
    latency_ms: float
    source: int | None = None  # id of the trial whose outcome was just reused: nothing was trained


class Listener(Protocol):
    """Hears what happens in a study, to show it."""

    def started(self, entry: Entry) -> None:
        """A trial was given to a worker."""
        ...

    def reported(self, entry: Entry, epoch: int, metrics: Metrics) -> None:
        """An epoch ended."""
        ...

    def ended(self, entry: Entry) -> None:
        """A trial has its outcome; also called for the trials that were there when the study was resumed."""
        ...

    def tick(self) -> None:
        """Called about once a second."""
        ...


@dataclass(frozen=True, slots=True)
class Target:
    """The device that the study's networks are for, as far as a study needs it."""

    name: str
    version: str  # of the latency model
    latency_ms: Callable[[Architecture], float]


class Study:
    """The trials of one search, asked of `strategy` and recorded in `store`; a `nas.trial.TrialQueue`.

    A study is opened by `Study.open`, which replays the recorded trials to a fresh strategy: the strategy is a
    function of its seed and of the outcomes in their order, so its next proposal is what it would have been.
    """

    def __init__(  # noqa: PLR0913 - what a study joins
        self,
        name: str,
        *,
        store: Store,
        strategy: Strategy,
        target: Target,
        trials: int,
        seed: int,
        listener: Listener,
        stopping: SuccessiveHalving | None = None,
        fidelity: str | None = None,
        inherited: int = 0,
        judged_by: Mapping[str, str] | None = None,
    ) -> None:
        """Outcomes are reused from studies of the same `fidelity`, if one is given (`nas.store.records.StudyRecord`).

        The first `inherited` trials are those of the study that this one is a fork of: the strategy hears of them
        before it is asked for the first time. `judged_by` names the evaluator and what it depends on; it is recorded
        with the versions of each trial.
        """
        self.name = name
        self._store, self._strategy, self._target = store, strategy, target
        self._trials, self._seed, self._listener = trials, seed, listener
        self._stopping = stopping
        self._fidelity, self._inherited = fidelity, inherited
        self._owner = this_process()
        self._last_beat = time.monotonic()
        self._places: dict[int, Place] = {}  # by number, of running trials; still to be recorded
        self._last_placing = -math.inf
        self._versions = {**software_versions(), **(judged_by or {})}
        self._asked = 0
        self._told = 0
        self._waiting: deque[Trial] = deque()
        self._ids: dict[int, int] = {}  # by number

    # Life

    def __enter__(self) -> "Study":
        """Claim the study, requeue what a dead driver left behind, and replay.

        Raises:
            StudyError: another process drives it, or the replay takes another way than the record.
        """
        self._store.claim(self.name, self._owner, LEASE_SECONDS)
        try:
            self._store.postpone(self.name)  # what runs while nobody drives the study has lost its driver
            self._replay(self._store.trials(self.name))
        except BaseException:
            self._store.release(self.name, self._owner)
            raise
        return self

    def __exit__(self, *error: object) -> None:
        """Put what still runs back into the queue and give the study up, unless another process has taken it over."""
        with suppress(StoreError) if any(error) else nullcontext():  # what went wrong first is what counts
            self._store.release(self.name, self._owner)

    def _replay(self, recorded: list[StoredTrial]) -> None:
        self._ids = {stored.trial.number: stored.id for stored in recorded}
        outcomes = sorted((s for s in recorded if s.trial.told is not None), key=_told)
        for stored in recorded:
            self._tell_until(stored.trial.asked_after, outcomes)
            if stored.trial.number >= self._inherited and not self._repeats(stored.trial, len(recorded)):
                raise self._astray(stored)
            self._asked += 1
            self._beat()
        self._tell_until(len(outcomes), outcomes)
        self._waiting.extend(s.trial for s in recorded if s.trial.state is TrialState.WAITING)

    def _repeats(self, trial: Trial, recorded: int) -> bool:
        """Whether the strategy comes to the recorded proposal again; one that can recall it is asked now and then."""
        if isinstance(self._strategy, Recalling) and trial.number % _ASKED_EVERY and trial.number < recorded - _ASKED:
            return self._strategy.recall(trial.proposal)
        return self._strategy.ask() == trial.proposal

    def _astray(self, stored: StoredTrial) -> StudyError:
        """What to say of a trial that is not proposed again. A fork is no help: what it goes by has not changed."""
        changed = changed_versions(stored.versions, self._versions)
        causes = f"changed since: {', '.join(changed)}" if changed else "the data, the code or a package changed since"
        return StudyError(
            f"study {self.name!r}: trial {stored.trial.number} would now be another network; {causes}. Go on with what "
            f"it was begun with, or begin another study by --study NAME"
        )

    def _tell_until(self, count: int, outcomes: list[StoredTrial]) -> None:
        for stored in outcomes[self._told : count]:
            self._strategy.tell(stored.trial)
            if self._stopping is not None:
                self._stopping.recall(stored.trial, self._store.epochs(stored.id))
            self._listener.ended(self._entry(stored.trial))
        self._told = max(self._told, count)

    # What the executor calls

    def ask(self) -> Trial | None:
        """The next trial, recorded as RUNNING: one that waits for another worker first, then a new proposal.

        Proposals whose outcome is known from another study are recorded with it, and told, on the way.
        """
        if self._waiting:
            trial = replace(self._waiting.popleft(), state=TrialState.RUNNING)
            self._store.start(self.name, trial.number, self._versions)
            self._listener.started(self._entry(trial))
            return trial
        while self._asked < self._trials and (proposal := self._strategy.ask()) is not None:
            trial, source = self._begun(proposal), self._source(proposal)
            if source is None:
                self._record(trial, self._versions)
                self._listener.started(self._entry(trial))
                return trial
            self._reuse(trial, source)
            self._beat()
        return None

    def _begun(self, proposal: Proposal) -> Trial:
        seed = Random(f"{self._seed}/{self._asked}").getrandbits(31)
        return Trial(self._asked, proposal, asked_after=self._told, state=TrialState.RUNNING, seed=seed)

    def _source(self, proposal: Proposal) -> StoredTrial | None:
        if self._fidelity is None or proposal.parent is not None:  # inherited weights make it another training
            return None
        return self._store.reusable(self._fidelity, proposal.architecture, proposal.epochs)

    def _record(self, trial: Trial, versions: Mapping[str, str], source: int | None = None) -> None:
        network, target = trial.proposal.architecture, self._target
        latency = (target.latency_ms(network), target.name, target.version)
        self._ids[trial.number] = self._store.add_trial(
            self.name, trial, sizes(network), *latency, versions, source=source
        )
        self._asked += 1

    def _reuse(self, trial: Trial, source: StoredTrial) -> None:
        outcome = source.trial.outcome
        assert outcome is not None
        with self._store.batch():
            self._record(trial, source.versions, source.id)
            self._store.finish(self.name, trial.number, outcome, self._told)
        self._hear(replace(trial, state=outcome.state, outcome=outcome, told=self._told), source.id)

    def placed(self, trial: Trial, host: str, pid: int) -> None:
        """Have it recorded where the trial runs: by the next `idle`, or with its outcome if that is first."""
        self._places[trial.number] = Place(host, pid)

    def report(self, trial: Trial, epoch: int, metrics: Metrics) -> bool:
        """Record one epoch; True: the trial should stop with it."""
        self._store.report(self.name, trial.number, epoch, metrics)
        self._listener.reported(self._entry(trial), epoch, metrics)
        return self._stopping is not None and self._stopping.stops(trial, epoch, metrics)

    def tell(self, trial: Trial, outcome: Outcome) -> None:
        """Record the outcome durably, then let the strategy hear it."""
        self._store.finish(self.name, trial.number, outcome, self._told, self._places.pop(trial.number, None))
        self._hear(replace(trial, state=outcome.state, outcome=outcome, told=self._told))

    def lost(self, trial: Trial, reason: str) -> None:
        """Queue the trial of a dead worker again; after three losses it has failed."""
        place = self._places.pop(trial.number, None)
        if self._stopping is not None:
            self._stopping.forget(trial)
        if self._store.requeue(self.name, trial.number, reason, place=place) is TrialState.WAITING:
            self._waiting.append(replace(trial, state=TrialState.WAITING))
            return
        failed = Outcome(error=reason)
        self._hear(replace(trial, state=TrialState.FAILED, outcome=failed, told=self._told))

    def _hear(self, trial: Trial, source: int | None = None) -> None:
        self._told += 1
        self._strategy.tell(trial)
        if self._stopping is not None:
            self._stopping.ended(trial)
        self._listener.ended(self._entry(trial, source))

    def _entry(self, trial: Trial, source: int | None = None) -> Entry:
        return Entry(self._ids[trial.number], trial, self._target.latency_ms(trial.proposal.architecture), source)

    def idle(self) -> None:
        """Now and then prolong the lease and record where trials run."""
        self._listener.tick()
        self._beat()
        if self._places and time.monotonic() - self._last_placing > _PLACING_SECONDS:
            self._store.place(self.name, self._places)
            self._places, self._last_placing = {}, time.monotonic()

    def _beat(self) -> None:
        if time.monotonic() - self._last_beat > _HEARTBEAT_SECONDS:
            self._store.heartbeat(self.name, self._owner, LEASE_SECONDS)
            self._last_beat = time.monotonic()


def sizes(architecture: Architecture) -> Sizes:
    """What the network costs on every device."""
    layers = lower(architecture)
    return Sizes(total_params(layers), total_macs(layers), peak_activation_bytes(layers))


def software_versions() -> Mapping[str, str]:
    """Versions that a trial's result may depend on; nothing is imported for them."""
    found = {"nas": __version__, "python": python_version()}
    for package in _RECORDED_PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _told(stored: StoredTrial) -> int:
    assert stored.trial.told is not None
    return stored.trial.told
