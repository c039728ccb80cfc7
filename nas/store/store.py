"""`Store`: the one database of studies, networks and trials. What a method has written is durable when it returns."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from nas.errors import StoreError, StudyError
from nas.store import owners, queries, rows
from nas.store.database import Database
from nas.store.records import Sizes, StoredTrial, StudyRecord
from nas.store.rows import Row
from nas.store.schema import architectures, epochs, studies, trials
from nas.trial import Metrics, Outcome, Trial, TrialState

__all__ = ["Sizes", "Store", "StoredTrial", "StudyRecord"]

_INSERT: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}  # both know ON CONFLICT


class Store:
    """A trial database; a context manager that closes itself.

    Every method raises `StoreError` when the database fails (a full disk, a damaged file, a lost connection), and
    `StudyError` when it is given the name of a study that does not exist.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._study_ids: dict[str, int] = {}  # studies are neither renamed nor deleted
        insert = _INSERT[database.engine.dialect.name]
        self._add_architecture = insert(architectures).on_conflict_do_nothing()
        report = insert(epochs)
        self._report = report.on_conflict_do_update(
            index_elements=[epochs.c.trial_id, epochs.c.epoch], set_={"metrics": report.excluded.metrics}
        )

    @classmethod
    def open(cls, url: str | Path) -> Self:
        """A file of SQLite, or an SQLAlchemy URL; folder and tables are made where absent, an old schema is upgraded.

        Raises:
            StoreError: not a database, a damaged one, another program's, or one of a newer version.
        """
        return cls(Database(url))

    def close(self) -> None:
        """End all connections."""
        self._database.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # Studies

    def create_study(self, name: str, settings: Mapping[str, Any]) -> StudyRecord:
        """Raises StudyError if the name is taken."""
        record = StudyRecord(name, dict(settings), rows.now())
        row = {"name": name, "settings": record.settings, "created_at": record.created_at}
        with self._database.write() as connection:
            if _study_row(connection, name) is not None:
                raise StudyError(f"study {name!r} exists already in {self._database.place}")
            connection.execute(sa.insert(studies), row)
        return record

    def study(self, name: str) -> StudyRecord | None:
        """The study of that name, if there is one."""
        with self._database.read() as connection:
            row = _study_row(connection, name)
        return None if row is None else _study_record(row)

    def studies(self) -> list[StudyRecord]:
        """All studies, the oldest first."""
        with self._database.read() as connection:
            found = connection.execute(sa.select(studies).order_by(studies.c.id)).all()
        return [_study_record(row) for row in found]

    def study_summary(self, name: str) -> dict[TrialState, int]:
        """How many trials are in each state; counted in an index, without reading a trial."""
        with self._database.read() as connection:
            mine = trials.c.study_id == self._study_id(connection, name)
            counts = sa.select(trials.c.state, sa.func.count()).where(mine).group_by(trials.c.state)
            found = {TrialState(state): count for state, count in connection.execute(counts)}
        return {state: found.get(state, 0) for state in TrialState}

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
            self._study_id(connection, name)
            row = _study_row(connection, name, lock=True)
            assert row is not None
            other = row.owner not in (None, owner)
            if other and (owners.is_alive(row.owner) or row.lease_until > rows.now()) and not is_dead(row.owner):
                raise StudyError(
                    f"study {name!r} is driven by {owners.describe(row.owner)} since "
                    f"{row.owner_since:%Y-%m-%d %H:%M} UTC; wait for it, end it, or begin another study"
                )
            since = row.owner_since if row.owner == owner else rows.now()
            _set_lease(
                connection,
                name,
                owner=owner,
                owner_since=since,
                lease_until=rows.now() + timedelta(seconds=lease_seconds),
            )

    def heartbeat(self, name: str, owner: str, lease_seconds: float) -> None:
        """Prolong the lease of `owner`.

        Raises:
            StudyError: the study has another driver by now, so that this one has to stop.
        """
        with self._database.write() as connection:
            row = _study_row(connection, name, lock=True)
            if row is None or row.owner != owner:
                holder = "nobody" if row is None or row.owner is None else owners.describe(row.owner)
                raise StudyError(f"study {name!r} is no longer driven by this process, but by {holder}")
            _set_lease(connection, name, lease_until=rows.now() + timedelta(seconds=lease_seconds))

    def release(self, name: str, owner: str) -> None:
        """Put what still runs back to WAITING and give the study up; without effect if `owner` does not hold it."""
        with self._database.write() as connection:
            row = _study_row(connection, name, lock=True)
            if row is not None and row.owner == owner:
                _postpone(connection, row.id)
                _set_lease(connection, name, owner=None, owner_since=None, lease_until=None)

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
    ) -> int:
        """Record a trial that begins now; returns its id. A network that the database knows is not written again.

        Raises:
            StoreError: the study has a trial of that number.
        """
        network = rows.architecture_row(trial.proposal.architecture, sizes)
        latency = {"latency_ms": latency_ms, "target": target, "latency_version": latency_version}
        row = {**rows.trial_row(trial), **latency, "versions": dict(versions)}
        with self._database.write() as connection:
            connection.execute(self._add_architecture, network)
            row["study_id"] = self._study_id(connection, study)
            try:
                key = connection.execute(sa.insert(trials), row).inserted_primary_key
            except sa.exc.IntegrityError as error:
                raise StoreError(f"trial {trial.number} of study {study!r} is recorded already") from error
            assert key is not None
            return int(key.id)

    def report(self, study: str, number: int, epoch: int, metrics: Metrics) -> None:
        """Record the metrics of one epoch of a running trial."""
        with self._database.write() as connection:
            row = self._require_state(connection, study, number, TrialState.RUNNING)
            connection.execute(self._report, {"trial_id": row.id, "epoch": epoch, "metrics": rows.plain(metrics)})

    def finish(self, study: str, number: int, outcome: Outcome, told: int) -> None:
        """RUNNING -> COMPLETE, STOPPED or FAILED, once.

        Raises:
            StoreError: the trial is not running; what it was before is kept.
        """
        with self._database.write() as connection:
            row = self._require_state(connection, study, number, TrialState.RUNNING)
            _update(connection, row.id, rows.end_row(outcome, told))

    def requeue(self, study: str, number: int, reason: str, max_lost: int = 3) -> TrialState:
        """RUNNING -> WAITING because its worker vanished; FAILED with `reason` when that happened `max_lost` times.

        A trial that fails here is told next: its `told` follows the largest of the study. Epochs of a
        trial that waits again are forgotten.

        Raises:
            StoreError: the trial is not running.
        """
        with self._database.write() as connection:
            row = self._require_state(connection, study, number, TrialState.RUNNING)
            lost = row.lost + 1
            if lost >= max_lost:
                heard = sa.select(sa.func.max(trials.c.told)).where(trials.c.study_id == row.study_id)
                last = connection.execute(heard).scalar()
                end = rows.end_row(Outcome(error=reason), told=0 if last is None else last + 1)
                _update(connection, row.id, {"lost": lost, **end})
                return TrialState.FAILED
            _wait(connection, row.id, lost)
            return TrialState.WAITING

    def postpone(self, study: str) -> None:
        """RUNNING -> WAITING for all trials of a study whose search ended before them; none of them is to blame."""
        with self._database.write() as connection:
            _postpone(connection, self._study_id(connection, study))

    def start(self, study: str, number: int) -> None:
        """WAITING -> RUNNING, on this host from now on.

        Raises:
            StoreError: the trial is not waiting.
        """
        with self._database.write() as connection:
            row = self._require_state(connection, study, number, TrialState.WAITING)
            _update(connection, row.id, {"state": TrialState.RUNNING, **rows.start_row()})

    # Trials, read

    def trials(
        self, study: str | None = None, *, states: Collection[TrialState] | None = None, last: int | None = None
    ) -> list[StoredTrial]:
        """Trials by number (of all studies: in the order in which they were recorded); at most the `last` ones."""
        order = trials.c.id if study is None else trials.c.number
        with self._database.read() as connection:
            query = queries.STORED
            if study is not None:
                query = query.where(trials.c.study_id == self._study_id(connection, study))
            if states is not None:
                query = query.where(trials.c.state.in_(states))
            query = query.order_by(order) if last is None else query.order_by(order.desc()).limit(last)
            found = [rows.stored_trial(row) for row in connection.execute(query)]
        return found if last is None else found[::-1]

    def trial(self, id: int) -> StoredTrial | None:
        """The trial that the command line calls `trial:ID`, if there is one."""
        with self._database.read() as connection:
            row = connection.execute(queries.STORED.where(trials.c.id == id)).one_or_none()
            return None if row is None else rows.stored_trial(row)

    def epochs(self, id: int) -> list[tuple[int, Metrics]]:
        """Epochs and their metrics, in order, of the trial with that id."""
        query = sa.select(epochs.c.epoch, epochs.c.metrics).where(epochs.c.trial_id == id).order_by(epochs.c.epoch)
        with self._database.read() as connection:
            return [(row.epoch, row.metrics) for row in connection.execute(query)]

    def front(
        self,
        studies: Sequence[str] | None = None,
        *,
        target: str | None = None,
        max_latency_ms: float | None = None,
        max_params: int | None = None,
        max_peak_activation_bytes: int | None = None,
    ) -> list[StoredTrial]:
        """The Pareto front (accuracy up, latency down) of complete trials within the limits, fastest first.

        Trials without a latency take no part. Latencies of different targets are compared as they are: give
        `target` where the studies have several. Of equal points the first one recorded stands for all.
        """
        limits = {"params": max_params, "peak_activation_bytes": max_peak_activation_bytes}
        with self._database.read() as connection:
            ids = None if studies is None else [self._study_id(connection, name) for name in studies]
            query = queries.front(ids, target, max_latency_ms, limits)
            return [rows.stored_trial(row) for row in connection.execute(query)]

    def _study_id(self, connection: sa.Connection, name: str) -> int:
        if name not in self._study_ids:
            row = _study_row(connection, name)
            if row is None:
                known = connection.execute(sa.select(studies.c.name).order_by(studies.c.id.desc()).limit(5)).scalars()
                expected = f"expected one of {', '.join(known)}" if known else "it has no study yet"
                raise StudyError(f"no study {name!r} in {self._database.place}; {expected}")
            self._study_ids[name] = row.id
        return self._study_ids[name]

    def _require_state(self, connection: sa.Connection, study: str, number: int, state: TrialState) -> Row:
        columns = (trials.c.id, trials.c.study_id, trials.c.state, trials.c.lost)
        mine = (trials.c.study_id == self._study_id(connection, study)) & (trials.c.number == number)
        row = connection.execute(sa.select(*columns).where(mine).with_for_update()).one_or_none()
        if row is None:
            raise StoreError(f"study {study!r} has no trial {number}")
        if row.state != state:
            raise StoreError(f"trial {number} of study {study!r} is {row.state}; expected {state}")
        return row


def _study_row(connection: sa.Connection, name: str, lock: bool = False) -> Row | None:
    """The row; `lock` keeps other writers from it until the transaction ends (SQLite has one writer anyway)."""
    query = sa.select(studies).where(studies.c.name == name)
    return connection.execute(query.with_for_update() if lock else query).one_or_none()


def _study_record(row: Row) -> StudyRecord:
    return StudyRecord(row.name, row.settings, row.created_at)


def _set_lease(connection: sa.Connection, name: str, **values: Any) -> None:
    connection.execute(sa.update(studies).where(studies.c.name == name).values(**values))


def _update(connection: sa.Connection, trial_id: int, values: dict[str, Any]) -> None:
    connection.execute(sa.update(trials).where(trials.c.id == trial_id), values)


def _postpone(connection: sa.Connection, study_id: int) -> None:
    running = (trials.c.study_id == study_id) & (trials.c.state == TrialState.RUNNING)
    for row in connection.execute(sa.select(trials.c.id, trials.c.lost).where(running)).all():
        _wait(connection, row.id, row.lost)


def _wait(connection: sa.Connection, trial_id: int, lost: int) -> None:
    """Back to WAITING, without the epochs of the run that came to nothing."""
    connection.execute(sa.delete(epochs).where(epochs.c.trial_id == trial_id))
    _update(connection, trial_id, {"state": TrialState.WAITING, "lost": lost})
