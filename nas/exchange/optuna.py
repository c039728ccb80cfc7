"""Trials as studies of Optuna, in an SQLite file that optuna-dashboard and Optuna's own analyses open."""

import sqlite3
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, create_trial
from optuna.trial import TrialState as OptunaState

from nas.architecture import Architecture
from nas.errors import SpaceError, StoreError
from nas.space import SearchSpace
from nas.store.records import StoredTrial
from nas.trial import TrialState

_STATES = {
    TrialState.WAITING: OptunaState.WAITING,
    TrialState.RUNNING: OptunaState.RUNNING,
    TrialState.COMPLETE: OptunaState.COMPLETE,
    TrialState.STOPPED: OptunaState.PRUNED,
    TrialState.FAILED: OptunaState.FAIL,
}


@dataclass(frozen=True, slots=True)
class StudyToExport:
    """A study with its trials; `space` gives the choices that are shown as parameters, None: none are shown."""

    name: str
    space: SearchSpace | None
    settings: Mapping[str, Any]
    trials: Sequence[StoredTrial]


def write_optuna(studies: Sequence[StudyToExport], path: Path) -> int:
    """Write a new storage file with a study for each; accuracy is to be large, latency in ms small.

    Returns how many trials show no parameters, because their networks are no points of the space.

    Raises:
        StoreError: the file cannot be written.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        return _write(studies, path)
    except Exception as error:  # Optuna's own, or one of what it writes with
        if not isinstance(cause := getattr(error, "orig", error.__cause__), sqlite3.Error):
            raise
        raise StoreError(f"{path}: {cause}") from None


def _write(studies: Sequence[StudyToExport], path: Path) -> int:
    storage = RDBStorage("sqlite://", engine_kwargs={"creator": lambda: _connect(path)})
    bare = 0
    try:
        for study in studies:
            made = optuna.create_study(storage=storage, study_name=study.name, directions=["maximize", "minimize"])
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                made.set_metric_names(["accuracy", "latency_ms"])
            for key, value in study.settings.items():
                made.set_user_attr(key, value)
            for stored in study.trials:
                trial = _frozen(stored, study.space)
                bare += not trial.params
                made.add_trial(trial)
    finally:
        storage.engine.dispose()
    return bare


def _connect(path: Path) -> sqlite3.Connection:
    """To a file of which nobody knows yet: it is made anew if the machine fails, so nothing waits for the disk."""
    connection = sqlite3.connect(path, check_same_thread=False)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA journal_mode = MEMORY")
    return connection


def _frozen(stored: StoredTrial, space: SearchSpace | None) -> FrozenTrial:
    state, values = _STATES[stored.trial.state], None
    if state is OptunaState.COMPLETE:
        if stored.trial.accuracy is None or stored.latency_ms is None:
            state = OptunaState.FAIL
        else:
            values = [stored.trial.accuracy, stored.latency_ms]
    params, distributions = _choices(stored.trial.proposal.architecture, space)
    trial = create_trial(
        state=state, values=values, params=params, distributions=distributions, user_attrs=_attributes(stored)
    )
    trial.datetime_start = None if state is OptunaState.WAITING else _local(stored.started_at)
    trial.datetime_complete = _local(stored.ended_at)
    return trial


def _choices(
    architecture: Architecture, space: SearchSpace | None
) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
    """The network's choice for each gene, as text; nothing for a network that is no point of the space."""
    if space is None:
        return {}, {}
    try:
        genotype = space.with_num_classes(architecture.num_classes).encode(architecture)
    except SpaceError:
        return {}, {}
    distributions: dict[str, BaseDistribution] = {
        gene.name: CategoricalDistribution([str(choice) for choice in gene.choices]) for gene in space.genes
    }
    return {gene.name: str(gene.choices[c]) for gene, c in zip(space.genes, genotype, strict=True)}, distributions


def _attributes(stored: StoredTrial) -> dict[str, Any]:
    return {
        "trial": stored.id,
        "architecture": stored.trial.proposal.architecture.id,
        "target": stored.target,
        "params": stored.params,
        "macs": stored.macs,
        "peak_activation_bytes": stored.peak_activation_bytes,
        "source": stored.source,
        "error": None if stored.trial.outcome is None else stored.trial.outcome.error,
    }


def _local(time: datetime | None) -> datetime | None:
    """As Optuna keeps times: local, without a zone."""
    return None if time is None else time.astimezone().replace(tzinfo=None)
