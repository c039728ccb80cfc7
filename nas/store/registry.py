"""The studies of a database: begin one, find them, count their trials. Each inside the transaction given."""

from dataclasses import asdict, fields

import sqlalchemy as sa

from nas.errors import StudyError
from nas.store.records import StudyRecord
from nas.store.rows import Row
from nas.store.schema import studies, trials
from nas.trial import TrialState

_SHOWN = 5  # studies that a message names


def begin(connection: sa.Connection, record: StudyRecord, place: str) -> None:
    """Add a study. Raises StudyError if the name is taken."""
    if _row(connection, record.name) is not None:
        raise StudyError(f"study {record.name!r} exists already in {place}")
    connection.execute(sa.insert(studies), asdict(record))


def find(connection: sa.Connection, name: str) -> StudyRecord | None:
    """The study of that name, if there is one."""
    row = _row(connection, name)
    return None if row is None else _record(row)


def every(connection: sa.Connection) -> list[StudyRecord]:
    """All studies, the oldest first."""
    return [_record(row) for row in connection.execute(sa.select(studies).order_by(studies.c.id))]


def id_of(connection: sa.Connection, name: str, place: str) -> int:
    """The key of the study. Raises StudyError if there is none of that name."""
    row = _row(connection, name)
    if row is None:
        latest = sa.select(studies.c.name).order_by(studies.c.id.desc()).limit(_SHOWN + 1)
        known = connection.execute(latest).scalars().all()
        more = " ..." if len(known) > _SHOWN else ""
        expected = f"expected one of {', '.join(known[:_SHOWN])}{more}" if known else "it has no study yet"
        raise StudyError(f"no study {name!r} in {place}; {expected}")
    return int(row.id)


def counts(connection: sa.Connection, study_id: int) -> dict[TrialState, int]:
    """How many trials of the study are in each state; counted in an index, without reading a trial."""
    query = sa.select(trials.c.state, sa.func.count()).where(trials.c.study_id == study_id).group_by(trials.c.state)
    found = {TrialState(state): count for state, count in connection.execute(query)}
    return {state: found.get(state, 0) for state in TrialState}


def _row(connection: sa.Connection, name: str) -> Row | None:
    return connection.execute(sa.select(studies).where(studies.c.name == name)).one_or_none()


def _record(row: Row) -> StudyRecord:
    return StudyRecord(**{field.name: getattr(row, field.name) for field in fields(StudyRecord)})
