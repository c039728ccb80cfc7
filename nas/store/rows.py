"""Trials as rows and rows as trials, each the inverse of the other."""

import math
import os
import socket
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from nas.architecture import Architecture
from nas.store.records import Place, Sizes, StoredTrial
from nas.trial import Metrics, Outcome, Proposal, Trial, TrialState

_HOST = socket.gethostname()

Row = sa.Row[*tuple[Any, ...]]
"""A row whose columns the type checker does not know."""


def architecture_row(architecture: Architecture, sizes: Sizes) -> dict[str, Any]:
    """For `architectures`."""
    return {
        "id": architecture.id,
        "network": zlib.compress(architecture.to_json().encode()),
        "params": sizes.params,
        "macs": sizes.macs,
        "peak_activation_bytes": sizes.peak_activation_bytes,
    }


def trial_row(trial: Trial, versions: Mapping[str, str]) -> dict[str, Any]:
    """For `trials`, of a trial that begins now; the study and the latency are still to come."""
    return {
        "number": trial.number,
        "architecture_id": trial.proposal.architecture.id,
        "state": trial.state,
        "epochs": trial.proposal.epochs,
        "parent": trial.proposal.parent,
        "asked_after": trial.asked_after,
        "seed": trial.seed,
        "lost": 0,
        **start_row(versions),
    }


def start_row(versions: Mapping[str, str]) -> dict[str, Any]:
    """The columns that say where, when and with what software a trial began."""
    return {"started_at": now(), **place_row(Place(_HOST, os.getpid())), "versions": dict(versions)}


def place_row(place: Place) -> dict[str, Any]:
    """The columns that say which process a trial was given to."""
    return {"host": place.host, "pid": place.pid}


def end_row(outcome: Outcome, told: int) -> dict[str, Any]:
    """The columns that change when a trial ends."""
    metrics = plain(outcome.metrics)
    accuracy = metrics.get("accuracy", math.nan)
    return {
        "state": outcome.state,
        "accuracy": None if math.isnan(accuracy) else accuracy,  # PostgreSQL takes NaN for the largest of numbers
        "metrics": metrics,
        "error": None if outcome.error is None else _printable(outcome.error),
        "stopped": outcome.stopped,
        "told": told,
        "ended_at": now(),
    }


def plain(metrics: Metrics) -> dict[str, float]:
    """Without numpy's and torch's number types."""
    return {name: float(value) for name, value in metrics.items()}


def now() -> datetime:
    """Aware, in UTC."""
    return datetime.now(UTC)


def stored_trial(row: Row) -> StoredTrial:
    """The inverse of what `Store.add_trial` and `Store.finish` wrote."""
    return StoredTrial(
        study=row.study,
        trial=_trial(row),
        latency_ms=row.latency_ms,
        target=row.target,
        params=row.params,
        macs=row.macs,
        peak_activation_bytes=row.peak_activation_bytes,
        started_at=row.started_at,
        ended_at=row.ended_at,
        host=row.host,
        pid=row.pid,
        versions=row.versions,
        lost=row.lost,
        id=row.id,
        latency_version=row.latency_version,
        source=row.source_id,
    )


def _trial(row: Row) -> Trial:
    outcome = None if row.metrics is None else Outcome(row.metrics, row.error, row.stopped)
    return Trial(
        number=row.number,
        proposal=Proposal(architecture(row.network), row.epochs, row.parent),
        asked_after=row.asked_after,
        state=TrialState(row.state),
        outcome=outcome,
        told=row.told,
        seed=row.seed,
    )


@lru_cache(maxsize=1024)
def architecture(network: bytes) -> Architecture:
    """The inverse of what `architecture_row` packed. Frozen, so that the trials of one network share it."""
    return Architecture.from_json(zlib.decompress(network).decode())


def _printable(text: str) -> str:
    """No database takes half of a surrogate pair, nor PostgreSQL a zero, and last words must not end the search."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", r"\x00")
