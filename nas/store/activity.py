"""How far a study is and who works on it, read from its rows alone: any host that reaches the database can ask."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from nas.store import leases, owners, registry
from nas.store.rows import Row
from nas.store.schema import studies, trials
from nas.trial import TrialState

RECENT = timedelta(minutes=10)
_LAST = 2000  # trials that are looked at for what is recent; a study may have a million

_REUSED = sa.select(sa.func.count()).where(trials.c.study_id == sa.bindparam("study"), trials.c.source_id.is_not(None))


@dataclass(frozen=True, slots=True)
class Driver:
    """The process that holds a study."""

    host: str
    pid: int
    since: datetime
    heartbeat_at: datetime | None
    lease_until: datetime


@dataclass(frozen=True, slots=True)
class Worker:
    """A process that runs trials of the study, or ended one within `RECENT`."""

    host: str
    pid: int
    running: tuple[int, ...]  # ids of trials
    ended: int  # of the recent trials
    seen_at: datetime  # when it last began or ended a trial


@dataclass(frozen=True, slots=True)
class Activity:
    """A study at the time `at`, which is the server's where there is one."""

    at: datetime
    created_at: datetime
    counts: Mapping[TrialState, int]
    reused: int  # of the ended trials: those whose outcome is another study's
    driver: Driver | None  # None: nobody holds it, or its holder fell silent and the lease ended
    workers: tuple[Worker, ...]
    recent_per_hour: float | None  # of the last trials that ended within `RECENT`
    last_end: datetime | None

    @property
    def ended(self) -> int:
        """Trials that have an outcome."""
        return sum(count for state, count in self.counts.items() if state.ended)

    @property
    def per_hour(self) -> float | None:
        """Outcomes of its own in an hour, from its beginning to the last of them, whatever happened between."""
        if self.last_end is None or self.last_end <= self.created_at:
            return None
        return (self.ended - self.reused) / (self.last_end - self.created_at).total_seconds() * 3600

    def estimated_end(self, planned: int) -> datetime | None:
        """When so many trials will have ended at the recent pace; None if it has no driver, or no pace is known."""
        left = planned - self.ended
        if self.driver is None or not self.recent_per_hour or left <= 0:
            return None
        return self.at + timedelta(hours=left / self.recent_per_hour)


def activity(connection: sa.Connection, study_id: int) -> Activity:
    """See `Store.activity`."""
    study = connection.execute(sa.select(studies).where(studies.c.id == study_id)).one()
    at = leases.clock(connection)
    query = sa.select(
        trials.c.id, trials.c.state, trials.c.started_at, trials.c.ended_at, trials.c.host, trials.c.pid
    ).where(trials.c.study_id == study_id, trials.c.source_id.is_(None))
    last = connection.execute(query.order_by(trials.c.id.desc()).limit(_LAST)).all()
    ends = sorted(row.ended_at for row in last if row.ended_at is not None)
    return Activity(
        at=at,
        created_at=study.created_at,
        counts=registry.counts(connection, study_id),
        reused=connection.execute(_REUSED, {"study": study_id}).scalar_one(),
        driver=_driver(study, at),
        workers=_workers(last, at),
        recent_per_hour=_pace(ends, at),
        last_end=ends[-1] if ends else None,
    )


def _driver(study: Row, at: datetime) -> Driver | None:
    if study.owner is None or study.lease_until < at:
        return None
    host, pid = owners.host_and_pid(study.owner)
    return Driver(host, pid, study.owner_since, study.heartbeat_at, study.lease_until)


def _workers(last: Sequence[Row], at: datetime) -> tuple[Worker, ...]:
    mine = defaultdict[tuple[str, int], list[Row]](list)
    for row in last:
        if row.state == TrialState.RUNNING or (row.ended_at is not None and row.ended_at > at - RECENT):
            mine[row.host, row.pid].append(row)
    return tuple(_worker(*key, mine[key]) for key in sorted(mine))


def _worker(host: str, pid: int, found: Sequence[Row]) -> Worker:
    running = tuple(sorted(row.id for row in found if row.state == TrialState.RUNNING))
    seen_at = max(row.ended_at or row.started_at for row in found)
    return Worker(host, pid, running, len(found) - len(running), seen_at)


def _pace(ends: Sequence[datetime], at: datetime) -> float | None:
    """Ends in an hour: those of the last `RECENT` or, if there are no others, those since the first."""
    recent = [end for end in ends if end > at - RECENT]
    if not recent:
        return None
    # When the very first one began is not known, so it only starts the clock.
    begun, counted = (at - RECENT, len(recent)) if len(recent) < len(ends) else (recent[0], len(recent) - 1)
    seconds = (at - begun).total_seconds()
    return counted / seconds * 3600 if counted and seconds > 0 else None
