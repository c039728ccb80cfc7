"""The statements worth a name: all of a trial, the front in one ordered pass, and points for fronts of other kinds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from nas.store.records import Limits, Objective, Predictor
from nas.store.schema import IS_COMPLETE, architectures, latencies, studies, trials
from nas.trial import TrialState

_RESCORED = {"target": latencies.c.target, "latency_version": latencies.c.latency_version}


def stored(predictor: Predictor | None = None) -> sa.Select[Any]:
    """Rows for `nas.store.rows.stored_trial`; of a `predictor`, those alone that it has rescored."""
    latency = {} if predictor is None else {"latency_ms": latencies.c.latency_ms, **_RESCORED}
    query = (
        sa.select(
            *(latency.get(column.name, column) for column in trials.c),
            studies.c.name.label("study"),
            architectures.c.network,
            architectures.c.params,
            architectures.c.macs,
            architectures.c.peak_activation_bytes,
        )
        .join_from(trials, studies, trials.c.study_id == studies.c.id)
        .join(architectures, trials.c.architecture_id == architectures.c.id)
    )
    return query if predictor is None else query.join(latencies, _by(predictor))


def _by(predictor: Predictor) -> sa.ColumnElement[bool]:
    # An expression, so that SQLite cannot begin at the latencies and look up every trial in their order.
    return (
        (latencies.c.architecture_id == trials.c.architecture_id + "")
        & (latencies.c.target == predictor.target)
        & (latencies.c.latency_version == predictor.version)
    )


@dataclass(frozen=True, slots=True)
class Scope:
    """Which trials a front is of: complete ones, of these studies and this target if given, within the limits."""

    study_ids: Sequence[int] | None
    target: str | None
    limits: Limits

    def conditions(self, latency_ms: sa.ColumnElement[float], complete: Any = IS_COMPLETE) -> list[Any]:
        """For a query of `trials`."""
        found: list[Any] = [complete]
        if self.study_ids is not None:
            # The sum hides the column from ix_trials_state, which a planner would take and then sort at each step.
            found.append((trials.c.study_id + 0).in_(self.study_ids))
        if self.target is not None:
            found.append(trials.c.target == self.target)
        if self.limits.latency_ms is not None:
            found.append(latency_ms <= self.limits.latency_ms)
        sizes = {"params": self.limits.params, "peak_activation_bytes": self.limits.peak_activation_bytes}
        sized = architectures.alias("sized")  # of its own, for the query around may join the architectures, too
        bounds = [sized.c[name] <= limit for name, limit in sizes.items() if limit is not None]
        if bounds:  # not a join, which a planner could begin at the architectures
            found.append(sa.exists().where(sized.c.id == trials.c.architecture_id, *bounds))
        return found


def front(scope: Scope) -> sa.Select[Any]:
    """The Pareto front of accuracy (up) and latency (down), fastest first.

    Each step of the recursion goes on in `ix_trials_front` where the one before stopped, to the next lower accuracy
    at a smaller latency: one pass over the index, whatever the length of the front. Of equal points the first
    recorded one stands for all.
    """
    seed = sa.select(
        sa.literal(0).label("id"), sa.literal(math.inf).label("accuracy"), sa.literal(math.inf).label("latency_ms")
    )
    step = seed.cte("front", recursive=True)
    better = sa.select(trials.c.id).where(
        *scope.conditions(trials.c.latency_ms),
        trials.c.accuracy < step.c.accuracy,
        trials.c.latency_ms < step.c.latency_ms,
    )
    best = better.order_by(trials.c.accuracy.desc(), trials.c.latency_ms, trials.c.id).limit(1).correlate(step)
    found = trials.alias("found")
    step = step.union_all(
        sa.select(found.c.id, found.c.accuracy, found.c.latency_ms).join_from(
            step, found, found.c.id == best.scalar_subquery()
        )
    )
    return stored().join(step, trials.c.id == step.c.id).order_by(trials.c.latency_ms)


def points(scope: Scope, objectives: Sequence[Objective], predictor: Predictor | None) -> sa.Select[Any]:
    """Id and objectives, all known, of every trial of the scope; latencies are the predictor's if one is given."""
    latency_ms = trials.c.latency_ms if predictor is None else latencies.c.latency_ms
    own: dict[str, Any] = {"accuracy": trials.c.accuracy, "latency_ms": latency_ms}
    columns = [own[name] if name in own else architectures.c[name] for name in objectives]
    # Hidden in an expression, so that SQLite cannot take ix_trials_front: its order, that of accuracy, would make a
    # million further look-ups random ones. In the order of recording, new networks lie beside one another.
    complete = (trials.c.state + "") == TrialState.COMPLETE
    query = sa.select(trials.c.id, *columns).where(*scope.conditions(latency_ms, complete))
    query = query.where(*(column.is_not(None) for column in columns))
    query = query.select_from(trials if predictor is None else trials.join(latencies, _by(predictor)))
    if not own.keys() >= set(objectives):
        query = query.join(architectures, architectures.c.id == trials.c.architecture_id)
    return query


def unscored(predictor: Predictor, study_ids: Sequence[int], after: str, count: int) -> sa.Select[Any]:
    """Up to `count` networks (id, network) behind the id `after` with complete trials whose latency is not known."""
    # Hidden in expressions, or SQLite would look for each network among all complete trials of the studies.
    complete, of_these = (trials.c.state + "") == TrialState.COMPLETE, (trials.c.study_id + 0).in_(study_ids)
    tried = sa.exists().where(trials.c.architecture_id == architectures.c.id, complete, of_these)
    known = sa.exists().where(
        latencies.c.architecture_id == architectures.c.id,
        latencies.c.target == predictor.target,
        latencies.c.latency_version == predictor.version,
    )
    query = sa.select(architectures.c.id, architectures.c.network).where(architectures.c.id > after, ~known, tried)
    return query.order_by(architectures.c.id).limit(count)


def reusable(fidelity: str, architecture_id: str, epochs: int | None) -> sa.Select[Any]:
    """The first trial that was trained, from scratch, for this network at this fidelity."""
    same = (
        trials.c.architecture_id == architecture_id,
        trials.c.epochs.is_(None) if epochs is None else trials.c.epochs == epochs,
        trials.c.parent.is_(None),
        trials.c.source_id.is_(None),
        studies.c.fidelity == fidelity,
        IS_COMPLETE,
    )
    return stored().where(*same).order_by(trials.c.id).limit(1)
