"""The lease of a study: one process drives it, until it ends, gives it up, or falls silent for too long.

Each function runs inside the transaction of its connection.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from nas.errors import StudyError
from nas.store import owners, rows
from nas.store.rows import Row
from nas.store.schema import studies


def claim(
    connection: sa.Connection, study_id: int, owner: str, lease_seconds: float, is_dead: Callable[[str], bool]
) -> None:
    """Make `owner` the driver; see `Store.claim`."""
    row = _locked(connection, study_id)
    other = row.owner not in (None, owner)
    if other and (owners.is_alive(row.owner) or row.lease_until > rows.now()) and not is_dead(row.owner):
        raise StudyError(
            f"study {row.name!r} is driven by {owners.describe(row.owner)} since "
            f"{row.owner_since:%Y-%m-%d %H:%M} UTC; wait for it, end it, or begin another study"
        )
    since = row.owner_since if row.owner == owner else rows.now()
    _set(connection, study_id, owner=owner, owner_since=since, lease_until=_from_now(lease_seconds))


def prolong(connection: sa.Connection, study_id: int, owner: str, lease_seconds: float) -> None:
    """Let the lease of `owner` begin anew; see `Store.heartbeat`."""
    row = _locked(connection, study_id)
    if row.owner != owner:
        holder = "nobody" if row.owner is None else owners.describe(row.owner)
        raise StudyError(f"study {row.name!r} is no longer driven by this process, but by {holder}")
    _set(connection, study_id, lease_until=_from_now(lease_seconds))


def end(connection: sa.Connection, study_id: int, owner: str) -> bool:
    """Give the study up; False, and without effect, if `owner` does not hold it."""
    if _locked(connection, study_id).owner != owner:
        return False
    _set(connection, study_id, owner=None, owner_since=None, lease_until=None)
    return True


def _locked(connection: sa.Connection, study_id: int) -> Row:
    """The study, kept from other writers until the transaction ends (SQLite has one writer anyway)."""
    return connection.execute(sa.select(studies).where(studies.c.id == study_id).with_for_update()).one()


def _set(connection: sa.Connection, study_id: int, **values: Any) -> None:
    connection.execute(sa.update(studies).where(studies.c.id == study_id).values(**values))


def _from_now(seconds: float) -> Any:
    return rows.now() + timedelta(seconds=seconds)
