"""The two statements worth a name: all of a trial, and the Pareto front."""

import math
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from nas.store.schema import IS_COMPLETE, architectures, studies, trials

STORED = (
    sa.select(
        trials,
        studies.c.name.label("study"),
        architectures.c.json,
        architectures.c.params,
        architectures.c.macs,
        architectures.c.peak_activation_bytes,
    )
    .join_from(trials, studies, trials.c.study_id == studies.c.id)
    .join(architectures, trials.c.architecture_id == architectures.c.id)
)
"""Rows for `nas.store.rows.stored_trial`."""


def front(
    study_ids: Sequence[int] | None,
    target: str | None,
    max_latency_ms: float | None,
    limits: dict[str, int | None],
) -> sa.Select[Any]:
    """The Pareto front of accuracy (up) and latency (down), fastest first.

    Each step of the recursion goes on in `ix_trials_front` where the one before stopped, to the next lower accuracy
    at a smaller latency: one pass over the index, whatever the length of the front. Of equal points the first
    recorded one stands for all. `limits` are upper bounds of columns of `architectures`.
    """
    seed = sa.select(
        sa.literal(0).label("id"), sa.literal(math.inf).label("accuracy"), sa.literal(math.inf).label("latency_ms")
    )
    step = seed.cte("front", recursive=True)
    better = sa.select(trials.c.id).where(
        IS_COMPLETE, trials.c.accuracy < step.c.accuracy, trials.c.latency_ms < step.c.latency_ms
    )
    if study_ids is not None:
        # The sum hides the column from ix_trials_state, which a planner would take and then sort at each step.
        better = better.where((trials.c.study_id + 0).in_(study_ids))
    if target is not None:
        better = better.where(trials.c.target == target)
    if max_latency_ms is not None:
        better = better.where(trials.c.latency_ms <= max_latency_ms)
    bounds = [architectures.c[name] <= limit for name, limit in limits.items() if limit is not None]
    if bounds:  # not a join, which a planner could begin at the architectures
        better = better.where(sa.exists().where(architectures.c.id == trials.c.architecture_id, *bounds))
    best = better.order_by(trials.c.accuracy.desc(), trials.c.latency_ms, trials.c.id).limit(1).correlate(step)
    found = trials.alias("found")
    step = step.union_all(
        sa.select(found.c.id, found.c.accuracy, found.c.latency_ms).join_from(
            step, found, found.c.id == best.scalar_subquery()
        )
    )
    return STORED.join(step, trials.c.id == step.c.id).order_by(trials.c.latency_ms)
