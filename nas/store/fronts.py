"""Fronts of any objectives, computed from arrays; that of accuracy and latency is computed in SQL (`queries.front`)."""

from collections.abc import Sequence

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from nas import pareto
from nas.store import queries, rows
from nas.store.records import Objective, Predictor, StoredTrial
from nas.store.schema import trials

_CHUNK = 1000  # ids in one statement


def front(
    connection: sa.Connection, scope: queries.Scope, objectives: Sequence[Objective], predictor: Predictor | None
) -> list[StoredTrial]:
    """The trials of the scope that no other dominates; of equal points the first one recorded. Fastest first."""
    ids, values = points(connection, scope, objectives, predictor)
    signs = np.array([-1.0 if name == "accuracy" else 1.0 for name in objectives])
    best = np.flatnonzero(pareto.on_front(values * signs))
    best = best[np.argsort(ids[best])]
    _, first = np.unique(values[best], axis=0, return_index=True)
    chosen = ids[best[first]].tolist()
    found = [
        rows.stored_trial(row)
        for start in range(0, len(chosen), _CHUNK)
        for row in connection.execute(queries.stored(predictor).where(trials.c.id.in_(chosen[start : start + _CHUNK])))
    ]
    return sorted(found, key=lambda s: (np.inf if s.latency_ms is None else s.latency_ms, s.id))


def points(
    connection: sa.Connection, scope: queries.Scope, objectives: Sequence[Objective], predictor: Predictor | None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Ids (N,) and objectives (N, M) of all trials of the scope."""
    rows = connection.execute(queries.points(scope, objectives, predictor))
    kind = np.dtype([("id", np.int64), *((name, np.float64) for name in objectives)])
    table = np.fromiter(map(tuple, rows), kind)  # of tuples: of SQLAlchemy's rows numpy takes 14 s for a million
    return table["id"], np.column_stack([table[name] for name in objectives])
