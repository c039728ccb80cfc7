"""The lease of a study: one process drives it, until it ends, gives it up, or falls silent for too long.

Each function runs inside the transaction of its connection.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from nas.errors import StudyError
from nas.store import owners, rows
from nas.store.rows import Row
from nas.store.schema import studies

_SERVER_TIME = sa.select(sa.func.clock_timestamp())


def claim(
    connection: sa.Connection, study_id: int, owner: str, lease_seconds: float, is_dead: Callable[[str], bool]
) -> None:
    """Make `owner` the driver; see `Store.claim`."""
    row, now = _locked(connection, study_id), clock(connection)
    other = row.owner not in (None, owner)
    if other and (owners.is_alive(row.owner) or row.lease_until > now) and not is_dead(row.owner):
        raise StudyError(
            f"study {row.name!r} is driven by {_holder(row, now)}; wait for it, end it, or begin another study"
        )
    since = row.owner_since if row.owner == owner else now
    _set(connection, study_id, owner=owner, owner_since=since, **_beat(now, lease_seconds))


def prolong(connection: sa.Connection, study_id: int, owner: str, lease_seconds: float) -> None:
    """Let the lease of `owner` begin anew; see `Store.heartbeat`."""
    _require(_locked(connection, study_id), owner)
    _set(connection, study_id, **_beat(clock(connection), lease_seconds))


def require(connection: sa.Connection, study_id: int, owner: str) -> None:
    """Raise a StudyError unless `owner` is the driver, and lets nobody else be it until the transaction ends."""
    held = sa.select(studies.c.name, studies.c.owner).where(studies.c.id == study_id).with_for_update(read=True)
    _require(connection.execute(held).one(), owner)


def end(connection: sa.Connection, study_id: int, owner: str) -> bool:
    """Give the study up; False, and without effect, if `owner` does not hold it."""
    if _locked(connection, study_id).owner != owner:
        return False
    _set(connection, study_id, owner=None, owner_since=None, heartbeat_at=None, lease_until=None)
    return True


def _locked(connection: sa.Connection, study_id: int) -> Row:
    """The study, kept from other writers until the transaction ends (SQLite has one writer anyway)."""
    return connection.execute(sa.select(studies).where(studies.c.id == study_id).with_for_update()).one()


def _require(row: Row, owner: str) -> None:
    if row.owner != owner:
        holder = "nobody" if row.owner is None else owners.describe(row.owner)
        raise StudyError(f"study {row.name!r} is no longer driven by this process, but by {holder}")


def _set(connection: sa.Connection, study_id: int, **values: Any) -> None:
    connection.execute(sa.update(studies).where(studies.c.id == study_id).values(**values))


def clock(connection: sa.Connection) -> datetime:
    """The time by which leases are judged: the server's where there is one, for the clocks of hosts differ."""
    if connection.dialect.name != "postgresql":
        return rows.now()
    now: datetime = connection.execute(_SERVER_TIME).scalar_one()
    return now.astimezone(UTC)


def _beat(now: datetime, lease_seconds: float) -> dict[str, datetime]:
    return {"heartbeat_at": now, "lease_until": now + timedelta(seconds=lease_seconds)}


def _holder(row: Row, now: datetime) -> str:
    """Who drives the study: host, process, since when, and how long ago it last said so."""
    words = f"{owners.describe(row.owner)} since {row.owner_since:%Y-%m-%d %H:%M} UTC"
    if row.heartbeat_at is None:  # an nas from before heartbeats were recorded
        return words
    return f"{words}, last heartbeat {(now - row.heartbeat_at).total_seconds():.0f} s ago"
