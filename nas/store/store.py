"""`Store`: the one database of studies, networks and trials. What a method has written is durable when it returns."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from nas.architecture import Architecture
from nas.errors import StoreError
from nas.storage import open_folder
from nas.store import fronts, leases, owners, queries, reading, registry, rows, transitions
from nas.store.activity import Activity, activity
from nas.store.database import Database
from nas.store.records import FRONT_OBJECTIVES, Limits, Objective, Place, Predictor, Sizes, StoredTrial, StudyRecord
from nas.store.schema import latencies, trials
from nas.store.url import StoreUrl
from nas.trial import Metrics, Outcome, Trial, TrialState

__all__ = ["Objective", "Predictor", "Sizes", "Store", "StoredTrial", "StudyRecord"]

_CHUNK = 1000  # networks, or lines of an export, in memory at once

T = TypeVar("T")


class Store:
    """A trial database; a context manager that closes itself.

    Every method raises `StoreError` when the database fails (a full disk, a damaged file, a server that stays away),
    and `StudyError` when it is given the name of a study that does not exist. When a server is restarted or out of
    reach for a while, methods wait for it (`nas.store.retry`); then they raise `StudyError` if another driver took a
    study over that this one drives.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._study_ids: dict[str, int] = {}  # studies are neither renamed nor deleted
        self._claims: dict[str, tuple[str, float]] = {}  # studies driven through this store: owner, lease in seconds
        database.before_repeat = self._hold_claims

    @classmethod
    def open(cls, url: str | Path) -> Self:
        """A file of SQLite, or an SQLAlchemy URL; folder and tables are made where absent, an old schema is upgraded.

        Raises:
            StoreError: not a database, a damaged one, another program's, or one of a newer version.
        """
        return cls(Database(url))

    @classmethod
    def open_existing(cls, url: str | Path) -> Self:
        """The same, but a file that is not there is an error, too."""
        StoreUrl.parse(url).require_there()
        return cls.open(url)

    def close(self) -> None:
        """End all connections."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def weights_folder(self, study: str) -> Path:
        """Where the weights of a study lie: beside the file of the database, or in runs/ if it has none.

        A study that was begun with a storage of its own has them there, in a folder of its name.
        """
        record = self.study(study)
        if record is not None and (storage := record.settings.get("storage")):
            return open_folder(storage) / study
        return (self._database.folder or Path("runs")) / study

    @contextmanager
    def batch(self) -> Iterator[None]:
        """All that is written inside becomes durable together when the block ends, or is taken back by its exception.

        One wait for the disk, however many trials: for outcomes that are cheap to have again.
        """
        try:
            with self._database.batch():
                yield
        except BaseException:
            self._study_ids.clear()  # of studies that may have been taken back
            raise

    # Studies

    def create_study(  # noqa: PLR0913 - all that a record has
        self,
        name: str,
        settings: Mapping[str, Any],
        fidelity: str | None = None,
        *,
        basis: Mapping[str, str] | None = None,
        fork_of: str | None = None,
        inherited: int = 0,
    ) -> StudyRecord:
        """Begin a study; the arguments are those of `StudyRecord`. Raises StudyError if the name is taken."""
        record = StudyRecord(name, dict(settings), rows.now(), fidelity, basis, fork_of, inherited)
        self._database.transact(lambda connection: registry.begin(connection, record, self._database.place))
        return record

    def study(self, name: str) -> StudyRecord | None:
        """The study of that name, if there is one."""
        return self._database.query(lambda connection: registry.find(connection, name))

    def studies(self) -> list[StudyRecord]:
        """All studies, the oldest first."""
        return self._database.query(registry.every)

    def study_summary(self, name: str) -> dict[TrialState, int]:
        """How many trials are in each state; counted in an index, without reading a trial."""
        return self._read_study(name, registry.counts)

    def activity(self, name: str) -> Activity:
        """How far the study is and who works on it, now."""
        return self._read_study(name, activity)

    # The lease: one driver per study

    def claim(
        self, name: str, owner: str, lease_seconds: float, is_dead: Callable[[str], bool] = owners.is_dead
    ) -> None:
        """Make `owner` (see `owners.this_process`) the driver of a study until its lease ends.

        Raises:
            StudyError: another driver's lease has not ended, and `is_dead` does not know that the driver has; or the
                other driver is a process of this host that still is there, if only suspended.
        """
        self._write_study(name, lambda connection, of: leases.claim(connection, of, owner, lease_seconds, is_dead))
        self._claims[name] = (owner, lease_seconds)

    def heartbeat(self, name: str, owner: str, lease_seconds: float) -> None:
        """Prolong the lease of `owner`.

        Raises:
            StudyError: the study has another driver by now, so that this one has to stop.
        """
        self._write_study(name, lambda connection, of: leases.prolong(connection, of, owner, lease_seconds))

    def release(self, name: str, owner: str) -> None:
        """Put what still runs back to WAITING and give the study up; without effect if `owner` does not hold it."""

        def end(connection: sa.Connection, of: int) -> None:
            if leases.end(connection, of, owner):
                transitions.postpone(connection, of)

        self._claims.pop(name, None)
        self._write_study(name, end)

    def _hold_claims(self, connection: sa.Connection) -> None:
        """After an outage: go on only with studies that no other driver has taken over meanwhile."""
        self._study_ids.clear()  # of studies that may have been taken back
        for name, (owner, lease_seconds) in self._claims.items():
            leases.prolong(connection, self._study_id(connection, name), owner, lease_seconds)

    # Trials, written

    def add_trial(  # noqa: PLR0913, PLR0917  # one argument for each source that a row has
        self,
        study: str,
        trial: Trial,
        sizes: Sizes,
        latency_ms: float | None,
        target: str | None,
        latency_version: str | None,
        versions: Mapping[str, str],
        source: int | None = None,
    ) -> int:
        """Record a trial that begins now; returns its id. A network that the database knows is not written again.

        `source` is the id of the trial whose outcome this one is going to reuse. A power cut may take the trial back
        until the next outcome of the database is recorded; its strategy would then propose it again.

        Raises:
            StoreError: the study has a trial of that number.
        """
        latency = {"latency_ms": latency_ms, "target": target, "latency_version": latency_version}
        row = {**rows.trial_row(trial, versions), **latency, "source_id": source}

        def add(connection: sa.Connection, of: int) -> int:
            row["study_id"] = of
            try:
                row["id"] = transitions.add(connection, trial.proposal.architecture, sizes, row)
            except sa.exc.IntegrityError as error:
                raise StoreError(f"trial {trial.number} of study {study!r} is recorded already") from error
            return int(row["id"])  # the same when a batch is repeated

        return self._write_trials(study, add, durable=False)

    def report(self, study: str, number: int, epoch: int, metrics: Metrics) -> None:
        """Record the metrics of one epoch of a running trial, as durably as the trial itself."""
        self._write_trials(
            study, lambda connection, of: transitions.report(connection, of, number, epoch, metrics), durable=False
        )

    def place(self, study: str, places: Mapping[int, Place]) -> None:
        """Record which processes run running trials, by number, as durably as the trials themselves."""

        def put(connection: sa.Connection, of: int) -> None:
            for number, place in places.items():
                transitions.put(connection, of, number, place)

        self._write_trials(study, put, durable=False)

    def finish(self, study: str, number: int, outcome: Outcome, told: int, place: Place | None = None) -> None:
        """RUNNING -> COMPLETE, STOPPED or FAILED, once; at `place`, if that was not recorded before.

        Raises:
            StoreError: the trial is not running; what it was before is kept.
        """
        self._write_trials(
            study, lambda connection, of: transitions.finish(connection, of, number, outcome, told, place)
        )

    def requeue(
        self, study: str, number: int, reason: str, max_lost: int = 3, place: Place | None = None
    ) -> TrialState:
        """RUNNING -> WAITING because its worker vanished; FAILED with `reason` when that happened `max_lost` times.

        One that fails did so at `place`, if that was not recorded before, and is told next: its `told` follows the
        largest of the study. Epochs of a trial that waits again are forgotten.

        Raises:
            StoreError: the trial is not running.
        """
        return self._write_trials(
            study, lambda connection, of: transitions.requeue(connection, of, number, reason, max_lost, place)
        )

    def postpone(self, study: str) -> None:
        """RUNNING -> WAITING for all trials of a study whose search ended before them; none of them is to blame."""
        self._write_trials(study, transitions.postpone)

    def start(self, study: str, number: int, versions: Mapping[str, str]) -> None:
        """WAITING -> RUNNING, on this host and with this software from now on.

        Raises:
            StoreError: the trial is not waiting.
        """
        self._write_trials(
            study, lambda connection, of: transitions.start(connection, of, number, versions), durable=False
        )

    def rescore(
        self, names: Sequence[str], predictor: Predictor, latency_ms: Callable[[Architecture], float]
    ) -> Iterator[int]:
        """Record what another latency model says of the networks of these studies' complete trials; trains nothing.

        Networks that the model was asked about before are not asked again. Yields how many were, step by step.
        """
        key = {"target": predictor.target, "latency_version": predictor.version}
        last, done = "", 0
        while True:
            query = queries.unscored(predictor, self._ids(names), last, _CHUNK)
            found = self._database.query(partial(reading.every, query=query))
            if not found:
                return
            new = [
                {"architecture_id": row.id, "latency_ms": latency_ms(rows.architecture(row.network)), **key}
                for row in found
            ]
            self._database.transact(partial(transitions.insert_new, table=latencies, values=new))
            last, done = found[-1].id, done + len(new)
            yield done

    # Trials, read

    def trials(
        self, study: str | None = None, *, states: Collection[TrialState] | None = None, last: int | None = None
    ) -> list[StoredTrial]:
        """Trials by number (of all studies: in the order in which they were recorded); at most the `last` ones."""
        if study is None:
            return self._database.query(lambda connection: reading.trials_of(connection, None, states, last))
        return self._read_study(study, lambda connection, of: reading.trials_of(connection, of, states, last))

    def trial(self, id: int) -> StoredTrial | None:
        """The trial that the command line calls `trial:ID`, if there is one."""
        query = queries.stored().where(trials.c.id == id)
        return self._database.query(lambda connection: reading.one(connection, query))

    def epochs(self, id: int) -> list[tuple[int, Metrics]]:
        """Epochs and their metrics, in order, of the trial with that id."""
        return self._database.query(lambda connection: reading.epochs_of(connection, id))

    def reusable(self, fidelity: str, architecture: Architecture, epochs: int | None) -> StoredTrial | None:
        """The first trial of any study that trained this network, from scratch, at this fidelity, if there is one."""
        query = queries.reusable(fidelity, architecture.id, epochs)
        return self._database.query(lambda connection: reading.one(connection, query))

    def lines(self, names: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """The view `nas_trials` (docs/store.md), line by line in the order of recording, of these studies or all."""
        self._ids(names or ())
        last = 0
        while found := self._database.query(partial(reading.lines, names=names, after=last, count=_CHUNK)):
            yield from found
            last = found[-1]["trial"]

    def front(  # noqa: PLR0913 - limits of several kinds
        self,
        names: Sequence[str] | None = None,
        *,
        target: str | None = None,
        max_latency_ms: float | None = None,
        max_params: int | None = None,
        max_peak_activation_bytes: int | None = None,
        objectives: Sequence[Objective] = FRONT_OBJECTIVES,
        predictor: Predictor | None = None,
    ) -> list[StoredTrial]:
        """The Pareto front of complete trials within the limits, fastest first.

        Latencies are those that the trials were proposed with, or those of `predictor`, of networks that it has
        rescored. Trials that lack an objective take no part. Latencies of different targets are compared as
        they are: give `target` where the studies have several. Of equal points the first one recorded stands for all.
        """
        ids = None if names is None else self._ids(names)
        scope = queries.Scope(ids, target, Limits(max_latency_ms, max_params, max_peak_activation_bytes))
        if tuple(objectives) == FRONT_OBJECTIVES and predictor is None:
            return self._database.query(lambda connection: reading.front(connection, scope))
        return self._database.query(lambda connection: fronts.front(connection, scope, objectives, predictor))

    def most_accurate(self, name: str, count: int, max_latency_ms: float | None = None) -> list[StoredTrial]:
        """Up to `count` complete trials within the limit, the most accurate first, of equal ones the faster."""
        scope = queries.Scope(self._ids([name]), None, Limits(max_latency_ms))
        return self._database.query(lambda connection: reading.most_accurate(connection, scope, count))

    def points(self, names: Sequence[str], predictor: Predictor | None = None) -> NDArray[np.float64]:
        """Accuracy and latency in ms, (N, 2), of all complete trials of these studies that have both."""
        scope = queries.Scope(self._ids(names), None, Limits())
        return self._database.query(lambda connection: fronts.points(connection, scope, FRONT_OBJECTIVES, predictor))[1]

    def _write_study(self, study: str, work: Callable[[sa.Connection, int], T], *, durable: bool = True) -> T:
        """One transaction of `work`, which is given its connection and the study's id."""
        return self._database.transact(
            lambda connection: work(connection, self._study_id(connection, study)), durable=durable
        )

    def _write_trials(self, study: str, work: Callable[[sa.Connection, int], T], *, durable: bool = True) -> T:
        """As `_write_study`, of a study that no other driver has taken over, if it was claimed here."""
        owner, _ = self._claims.get(study, (None, None))

        def checked(connection: sa.Connection, of: int) -> T:
            if owner is not None:
                leases.require(connection, of, owner)
            return work(connection, of)

        return self._write_study(study, checked, durable=durable)

    def _read_study(self, name: str, work: Callable[[sa.Connection, int], T]) -> T:
        """What `work` reads, which is given a connection and the study's id."""
        return self._database.query(lambda connection: work(connection, self._study_id(connection, name)))

    def _ids(self, names: Sequence[str]) -> list[int]:
        return self._database.query(lambda connection: [self._study_id(connection, name) for name in names])

    def _study_id(self, connection: sa.Connection, name: str) -> int:
        if name not in self._study_ids:
            self._study_ids[name] = registry.id_of(connection, name, self._database.place)
        return self._study_ids[name]
