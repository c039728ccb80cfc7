"""What comes out of the store, as frozen data; importing it needs no database library."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from nas.trial import Trial


@dataclass(frozen=True, slots=True)
class StudyRecord:
    """A study as it was created; `settings` is plain JSON data (space, target, budget_ms, strategy, seed ...)."""

    name: str
    settings: Mapping[str, Any]
    created_at: datetime  # UTC
    fidelity: str | None = None  # studies of one fidelity train the same network to the same accuracy, but for noise
    basis: Mapping[str, str] | None = None  # versions of what decides which networks are tried
    fork_of: str | None = None  # the study whose trials this one started from
    inherited: int = 0  # how many those were


@dataclass(frozen=True, slots=True)
class Sizes:
    """What an architecture costs on every device; computed by the caller from its layers."""

    params: int
    macs: int
    peak_activation_bytes: int


@dataclass(frozen=True, slots=True)
class Place:
    """The process that a trial was given to."""

    host: str
    pid: int


COLUMNS = (
    "trial", "study", "number", "state", "accuracy", "latency_ms", "target", "latency_version", "macs", "params",
    "peak_activation_bytes", "architecture", "epochs", "seed", "parent", "source", "lost", "error", "started_at",
    "ended_at", "host", "evaluator",
)  # fmt: skip
"""Of the view `nas_trials` (docs/store.md) and of what is exported."""


@dataclass(frozen=True, slots=True)
class Predictor:
    """Which latency model a latency is of."""

    target: str
    version: str


Objective = Literal["accuracy", "latency_ms", "params", "macs", "peak_activation_bytes"]
"""What a front compares; accuracy is to be large, all else small."""

OBJECTIVES: Mapping[str, Objective] = {
    "accuracy": "accuracy",
    "latency": "latency_ms",
    "params": "params",
    "macs": "macs",
    "memory": "peak_activation_bytes",
}
"""By the names that people give them."""

FRONT_OBJECTIVES: tuple[Objective, ...] = ("accuracy", "latency_ms")
"""Those of a front where nothing else is said."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper bounds on what a front may hold."""

    latency_ms: float | None = None
    params: int | None = None
    peak_activation_bytes: int | None = None


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
    source: int | None = None  # id of the trial, perhaps of another study, whose outcome was reused

    @property
    def evaluator(self) -> str:
        """What judged the network; databases from before there were several say nothing, and mean the proxy."""
        return self.versions.get("evaluator", "proxy")

    @property
    def predicted(self) -> bool:
        """Whether the accuracy is a prediction: nothing was trained."""
        return self.evaluator == "predictor"


def changed_versions(then: Mapping[str, str | None], now: Mapping[str, str]) -> list[str]:
    """Which versions are other ones now, in words; of what was not recorded then, nothing can be said.

    >>> changed_versions({"nas": "1", "torch": "2"}, {"nas": "1", "torch": "3", "numpy": "4"})
    ['torch (2, now 3)']
    """
    return [f"{what} ({then[what]}, now {now[what]})" for what in now if then.get(what) not in (None, now[what])]
