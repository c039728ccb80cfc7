"""What comes out of the store, as frozen data; importing it needs no database library."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from nas.trial import Trial


@dataclass(frozen=True, slots=True)
class StudyRecord:
    """A study as it was created; `settings` is plain JSON data (space, target, budget_ms, strategy, seed ...)."""

    name: str
    settings: Mapping[str, Any]
    created_at: datetime  # UTC


@dataclass(frozen=True, slots=True)
class Sizes:
    """What an architecture costs on every device; computed by the caller from its layers."""

    params: int
    macs: int
    peak_activation_bytes: int


@dataclass(frozen=True, slots=True)
class StoredTrial:
    """A trial and what only the store knows of it. `trial:ID` on the command line is its `id`."""

    study: str
    trial: Trial
    latency_ms: float | None
    target: str | None  # the device that `latency_ms` speaks of
    params: int
    macs: int
    peak_activation_bytes: int
    started_at: datetime | None  # UTC, of the last start
    ended_at: datetime | None
    host: str
    pid: int
    versions: Mapping[str, str]  # of the software that ran it
    lost: int  # how often its worker vanished
    id: int  # unique over all studies of the database
    latency_version: str | None = None  # of the latency model

    @property
    def evaluator(self) -> str:
        """What judged the network; databases from before there were several say nothing, and mean the proxy."""
        return self.versions.get("evaluator", "proxy")

    @property
    def predicted(self) -> bool:
        """Whether the accuracy is a prediction: nothing was trained."""
        return self.evaluator == "predictor"
