"""`Store`: the one database of studies, networks and trials. What a method has written is durable when it returns."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from nas.architecture import Architecture
from nas.errors import StoreError
from nas.storage import open_folder
from nas.store import fronts, leases, owners, queries, reading, registry, rows, transitions
from nas.store.database import Database
from nas.store.records import FRONT_OBJECTIVES, Limits, Objective, Predictor, Sizes, StoredTrial, StudyRecord
from nas.store.schema import latencies, trials
from nas.trial import Metrics, Outcome, Trial, TrialState

__all__ = ["Objective", "Predictor", "Sizes", "Store", "StoredTrial", "StudyRecord"]

_CHUNK = 1000  # networks, or lines of an export, in memory at once


class Store:
    """A trial database; a context manager that closes itself.

    Every method raises `StoreError` when the database fails (a full disk, a damaged file, a lost connection), and
    `StudyError` when it is given the name of a study that does not exist.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._study_ids: dict[str, int] = {}  # studies are neither renamed nor deleted

    @classmethod
    def open(cls, url: str | Path) -> Self:
        """A file of SQLite, or an SQLAlchemy URL; folder and tables are made where absent, an old schema is upgraded.

        Raises:
            StoreError: not a database, a damaged one, another program's, or one of a newer version.
        """
        return cls(Database(url))

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
        with self._database.write() as connection:
            registry.begin(connection, record, self._database.place)
        return record

    def study(self, name: str) -> StudyRecord | None:
        """The study of that name, if there is one."""
        with self._database.read() as connection:
            return registry.find(connection, name)

    def studies(self) -> list[StudyRecord]:
        """All studies, the oldest first."""
        with self._database.read() as connection:
            return registry.every(connection)

    def study_summary(self, name: str) -> dict[TrialState, int]:
        """How many trials are in each state; counted in an index, without reading a trial."""
        with self._database.read() as connection:
            return registry.counts(connection, self._study_id(connection, name))

    # The lease: one driver per study

    def claim(
        self, name: str, owner: str, lease_seconds: float, is_dead: Callable[[str], bool] = owners.is_dead
    ) -> None:
        """Make `owner` (see `owners.this_process`) the driver of a study until its lease ends.

        Raises:
            StudyError: another driver's lease has not ended, and `is_dead` does not know that the driver has; or the
                other driver is a process of this host that still is there, if only suspended.
        """
        with self._database.write() as connection:
            leases.claim(connection, self._study_id(connection, name), owner, lease_seconds, is_dead)

    def heartbeat(self, name: str, owner: str, lease_seconds: float) -> None:
        """Prolong the lease of `owner`.

        Raises:
            StudyError: the study has another driver by now, so that this one has to stop.
        """
        with self._database.write() as connection:
            leases.prolong(connection, self._study_id(connection, name), owner, lease_seconds)

    def release(self, name: str, owner: str) -> None:
        """Put what still runs back to WAITING and give the study up; without effect if `owner` does not hold it."""
        with self._database.write() as connection:
            study_id = self._study_id(connection, name)
            if leases.end(connection, study_id, owner):
                transitions.postpone(connection, study_id)

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
        with self._database.write(durable=False) as connection:
            row["study_id"] = self._study_id(connection, study)
            try:
                return transitions.add(connection, trial.proposal.architecture, sizes, row)
            except sa.exc.IntegrityError as error:
                raise StoreError(f"trial {trial.number} of study {study!r} is recorded already") from error

    def report(self, study: str, number: int, epoch: int, metrics: Metrics) -> None:
        """Record the metrics of one epoch of a running trial, as durably as the trial itself."""
        with self._database.write(durable=False) as connection:
            transitions.report(connection, self._study_id(connection, study), number, epoch, metrics)

    def finish(self, study: str, number: int, outcome: Outcome, told: int) -> None:
        """RUNNING -> COMPLETE, STOPPED or FAILED, once.

        Raises:
            StoreError: the trial is not running; what it was before is kept.
        """
        with self._database.write() as connection:
            transitions.finish(connection, self._study_id(connection, study), number, outcome, told)

    def requeue(self, study: str, number: int, reason: str, max_lost: int = 3) -> TrialState:
        """RUNNING -> WAITING because its worker vanished; FAILED with `reason` when that happened `max_lost` times.

        A trial that fails here is told next: its `told` follows the largest of the study. Epochs of a
        trial that waits again are forgotten.

        Raises:
            StoreError: the trial is not running.
        """
        with self._database.write() as connection:
            return transitions.requeue(connection, self._study_id(connection, study), number, reason, max_lost)

    def postpone(self, study: str) -> None:
        """RUNNING -> WAITING for all trials of a study whose search ended before them; none of them is to blame."""
        with self._database.write() as connection:
            transitions.postpone(connection, self._study_id(connection, study))

    def start(self, study: str, number: int, versions: Mapping[str, str]) -> None:
        """WAITING -> RUNNING, on this host and with this software from now on.

        Raises:
            StoreError: the trial is not waiting.
        """
        with self._database.write(durable=False) as connection:
            transitions.start(connection, self._study_id(connection, study), number, versions)

    def rescore(
        self, names: Sequence[str], predictor: Predictor, latency_ms: Callable[[Architecture], float]
    ) -> Iterator[int]:
        """Record what another latency model says of the networks of these studies' complete trials; trains nothing.

        Networks that the model was asked about before are not asked again. Yields how many were, step by step.
        """
        key = {"target": predictor.target, "latency_version": predictor.version}
        last, done = "", 0
        while True:
            with self._database.read() as connection:
                ids = [self._study_id(connection, name) for name in names]
                found = connection.execute(queries.unscored(predictor, ids, last, _CHUNK)).all()
            if not found:
                return
            new = [
                {"architecture_id": row.id, "latency_ms": latency_ms(rows.architecture(row.network)), **key}
                for row in found
            ]
            with self._database.write() as connection:
                transitions.insert_new(connection, latencies, new)
            last, done = found[-1].id, done + len(new)
            yield done

    # Trials, read

    def trials(
        self, study: str | None = None, *, states: Collection[TrialState] | None = None, last: int | None = None
    ) -> list[StoredTrial]:
        """Trials by number (of all studies: in the order in which they were recorded); at most the `last` ones."""
        with self._database.read() as connection:
            study_id = None if study is None else self._study_id(connection, study)
            return reading.trials_of(connection, study_id, states, last)

    def trial(self, id: int) -> StoredTrial | None:
        """The trial that the command line calls `trial:ID`, if there is one."""
        with self._database.read() as connection:
            return reading.one(connection, queries.stored().where(trials.c.id == id))

    def epochs(self, id: int) -> list[tuple[int, Metrics]]:
        """Epochs and their metrics, in order, of the trial with that id."""
        with self._database.read() as connection:
            return reading.epochs_of(connection, id)

    def reusable(self, fidelity: str, architecture: Architecture, epochs: int | None) -> StoredTrial | None:
        """The first trial of any study that trained this network, from scratch, at this fidelity, if there is one."""
        with self._database.read() as connection:
            return reading.one(connection, queries.reusable(fidelity, architecture.id, epochs))

    def lines(self, names: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """The view `nas_trials` (docs/store.md), line by line in the order of recording, of these studies or all."""
        last = 0
        while True:
            with self._database.read() as connection:
                for name in names or ():
                    self._study_id(connection, name)
                found = reading.lines(connection, names, last, _CHUNK)
            if not found:
                return
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
        with self._database.read() as connection:
            ids = None if names is None else [self._study_id(connection, name) for name in names]
            scope = queries.Scope(ids, target, Limits(max_latency_ms, max_params, max_peak_activation_bytes))
            if tuple(objectives) == FRONT_OBJECTIVES and predictor is None:
                return reading.front(connection, scope)
            return fronts.front(connection, scope, objectives, predictor)

    def most_accurate(self, name: str, count: int, max_latency_ms: float | None = None) -> list[StoredTrial]:
        """Up to `count` complete trials within the limit, the most accurate first, of equal ones the faster."""
        with self._database.read() as connection:
            scope = queries.Scope([self._study_id(connection, name)], None, Limits(max_latency_ms))
            return reading.most_accurate(connection, scope, count)

    def points(self, names: Sequence[str], predictor: Predictor | None = None) -> NDArray[np.float64]:
        """Accuracy and latency in ms, (N, 2), of all complete trials of these studies that have both."""
        with self._database.read() as connection:
            ids = [self._study_id(connection, name) for name in names]
            scope = queries.Scope(ids, None, Limits())
            return fronts.points(connection, scope, FRONT_OBJECTIVES, predictor)[1]

    def _study_id(self, connection: sa.Connection, name: str) -> int:
        if name not in self._study_ids:
            self._study_ids[name] = registry.id_of(connection, name, self._database.place)
        return self._study_ids[name]
