"""What can happen to a trial: begin, report, end, be lost, wait, start again. Each inside the transaction given."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from nas.architecture import Architecture
from nas.errors import StoreError
from nas.store import rows
from nas.store.records import Place, Sizes
from nas.store.rows import Row
from nas.store.schema import architectures, epochs, latencies, studies, trials
from nas.trial import Metrics, Outcome, TrialState

# Built once, for building a statement takes as long as running it.
_INSERT: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}  # both know ON CONFLICT
_INSERT_NEW = {
    (name, table.name): insert(table).on_conflict_do_nothing()
    for name, insert in _INSERT.items()
    for table in (architectures, latencies)
}
_REPORT = {
    name: (statement := insert(epochs)).on_conflict_do_update(
        index_elements=[epochs.c.trial_id, epochs.c.epoch], set_={"metrics": statement.excluded.metrics}
    )
    for name, insert in _INSERT.items()
}
_MINE = (trials.c.study_id == sa.bindparam("of_study")) & (trials.c.number == sa.bindparam("of_number"))
_FIND = sa.select(trials.c.id, trials.c.state, trials.c.lost).where(_MINE).with_for_update()
_ADD = sa.insert(trials)
# A sequence may fall back behind an id that it gave away, if its server was killed in the same moment.
_SEQUENCE = sa.func.pg_get_serial_sequence("trials", "id")
_PASS = sa.select(sa.func.setval(_SEQUENCE, sa.func.greatest(sa.bindparam("id"), sa.func.nextval(_SEQUENCE))))
_FINISH = sa.update(trials).where(_MINE, trials.c.state == TrialState.RUNNING)


def insert_new(connection: sa.Connection, table: sa.Table, values: list[dict[str, Any]]) -> None:
    """Insert those rows whose keys are not there yet."""
    connection.execute(_INSERT_NEW[connection.dialect.name, table.name], values)


def add(connection: sa.Connection, architecture: Architecture, sizes: Sizes, row: Mapping[str, Any]) -> int:
    """Insert a trial, and its network if it is new; returns the trial's id, which is that of the row if it has one.

    Raises:
        sqlalchemy.exc.IntegrityError: the study has a trial of that number.
    """
    insert_new(connection, architectures, [rows.architecture_row(architecture, sizes)])
    if "id" in row and connection.dialect.name == "postgresql":
        connection.execute(_PASS, {"id": row["id"]})
    key = connection.execute(_ADD, dict(row)).inserted_primary_key
    assert key is not None
    return int(key.id)


def report(connection: sa.Connection, study_id: int, number: int, epoch: int, metrics: Metrics) -> None:
    """Record an epoch of a running trial, in place of what was reported of it before."""
    trial = _require(connection, study_id, number, TrialState.RUNNING)
    values = {"trial_id": trial.id, "epoch": epoch, "metrics": rows.plain(metrics)}
    connection.execute(_REPORT[connection.dialect.name], values)


def put(connection: sa.Connection, study_id: int, number: int, place: Place) -> None:
    """Record where a trial runs."""
    trial = _require(connection, study_id, number, TrialState.RUNNING)
    _update(connection, trial.id, rows.place_row(place))


def finish(  # noqa: PLR0913, PLR0917  # all that is known of an end
    connection: sa.Connection, study_id: int, number: int, outcome: Outcome, told: int, place: Place | None
) -> None:
    """RUNNING -> COMPLETE, STOPPED or FAILED."""
    values = _ended(outcome, told, place) | {"of_study": study_id, "of_number": number}
    if connection.execute(_FINISH, values).rowcount == 0:
        _require(connection, study_id, number, TrialState.RUNNING)
        raise AssertionError("a running trial that cannot be finished")


def start(connection: sa.Connection, study_id: int, number: int, versions: Mapping[str, str]) -> None:
    """WAITING -> RUNNING, here and now, with this software."""
    trial = _require(connection, study_id, number, TrialState.WAITING)
    _update(connection, trial.id, {"state": TrialState.RUNNING, **rows.start_row(versions)})


def requeue(  # noqa: PLR0913, PLR0917  # all that is known of a loss
    connection: sa.Connection, study_id: int, number: int, reason: str, max_lost: int, place: Place | None
) -> TrialState:
    """RUNNING -> WAITING, or FAILED when that happened `max_lost` times, told after all others of the study."""
    trial = _require(connection, study_id, number, TrialState.RUNNING)
    lost = trial.lost + 1
    if lost < max_lost:
        _wait(connection, trial.id, lost)
        return TrialState.WAITING
    last = connection.execute(sa.select(sa.func.max(trials.c.told)).where(trials.c.study_id == study_id)).scalar()
    end = _ended(Outcome(error=reason), 0 if last is None else last + 1, place)
    _update(connection, trial.id, {"lost": lost, **end})
    return TrialState.FAILED


def postpone(connection: sa.Connection, study_id: int) -> None:
    """RUNNING -> WAITING for all trials of the study; none of them is to blame."""
    running = (trials.c.study_id == study_id) & (trials.c.state == TrialState.RUNNING)
    for trial in connection.execute(sa.select(trials.c.id, trials.c.lost).where(running)).all():
        _wait(connection, trial.id, trial.lost)


def _require(connection: sa.Connection, study_id: int, number: int, state: TrialState) -> Row:
    """The trial, kept from other writers until the transaction ends, if it is in that state."""
    trial = connection.execute(_FIND, {"of_study": study_id, "of_number": number}).one_or_none()
    if trial is not None and trial.state == state:
        return trial
    study = connection.execute(sa.select(studies.c.name).where(studies.c.id == study_id)).scalar()
    if trial is None:
        raise StoreError(f"study {study!r} has no trial {number}")
    raise StoreError(f"trial {number} of study {study!r} is {trial.state}; expected {state}")


def _ended(outcome: Outcome, told: int, place: Place | None) -> dict[str, Any]:
    """The columns that an end changes; those of its place if it was not recorded before."""
    return rows.end_row(outcome, told) | ({} if place is None else rows.place_row(place))


def _update(connection: sa.Connection, trial_id: int, values: dict[str, Any]) -> None:
    connection.execute(sa.update(trials).where(trials.c.id == trial_id), values)


def _wait(connection: sa.Connection, trial_id: int, lost: int) -> None:
    """Back to WAITING, without the epochs of the run that came to nothing."""
    connection.execute(sa.delete(epochs).where(epochs.c.trial_id == trial_id))
    _update(connection, trial_id, {"state": TrialState.WAITING, "lost": lost})
