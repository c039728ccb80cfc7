"""What is read of trials: some, one, its epochs, the lines of the view, the best. Each inside the transaction given."""

from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa

from nas.store import queries, rows
from nas.store.records import StoredTrial
from nas.store.rows import Row
from nas.store.schema import epochs, trials, view
from nas.trial import Metrics, TrialState


def trials_of(
    connection: sa.Connection, study_id: int | None, states: Collection[TrialState] | None, last: int | None
) -> list[StoredTrial]:
    """See `Store.trials`."""
    order = trials.c.id if study_id is None else trials.c.number
    query = queries.stored()
    if study_id is not None:
        query = query.where(trials.c.study_id == study_id)
    if states is not None:
        query = query.where(trials.c.state.in_(states))
    query = query.order_by(order) if last is None else query.order_by(order.desc()).limit(last)
    found = _all(connection, query)
    return found if last is None else found[::-1]


def every(connection: sa.Connection, query: sa.Select[Any]) -> list[Row]:
    """All rows of the query."""
    return list(connection.execute(query))


def one(connection: sa.Connection, query: sa.Select[Any]) -> StoredTrial | None:
    """The trial of a query of `queries.stored`, if there is one."""
    row = connection.execute(query).one_or_none()
    return None if row is None else rows.stored_trial(row)


def epochs_of(connection: sa.Connection, id: int) -> list[tuple[int, Metrics]]:
    """See `Store.epochs`."""
    query = sa.select(epochs.c.epoch, epochs.c.metrics).where(epochs.c.trial_id == id).order_by(epochs.c.epoch)
    return [(row.epoch, row.metrics) for row in connection.execute(query)]


def lines(connection: sa.Connection, names: Sequence[str] | None, after: int, count: int) -> list[dict[str, Any]]:
    """Up to `count` lines of the view behind the trial `after`, of these studies or all."""
    query = sa.select(view).where(view.c.trial > after).order_by(view.c.trial).limit(count)
    if names is not None:
        query = query.where(view.c.study.in_(names))
    return [dict(row._mapping) for row in connection.execute(query)]


def front(connection: sa.Connection, scope: queries.Scope) -> list[StoredTrial]:
    """The front of accuracy and latency, fastest first."""
    return _all(connection, queries.front(scope))


def most_accurate(connection: sa.Connection, scope: queries.Scope, count: int) -> list[StoredTrial]:
    """See `Store.most_accurate`."""
    query = queries.stored().where(*scope.conditions(trials.c.latency_ms), trials.c.accuracy.is_not(None))
    return _all(connection, query.order_by(trials.c.accuracy.desc(), trials.c.latency_ms, trials.c.id).limit(count))


def _all(connection: sa.Connection, query: sa.Select[Any]) -> list[StoredTrial]:
    return [rows.stored_trial(row) for row in connection.execute(query)]
