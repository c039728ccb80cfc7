"""What a study rests on, which of it has changed since, and the fork: a new study that starts from the old trials."""

import json
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

from nas import __version__
from nas.architecture import Architecture
from nas.errors import SpaceError, StudyError
from nas.space.files import space_version
from nas.store.records import changed_versions
from nas.store.store import Predictor, Sizes, Store, StoredTrial, StudyRecord
from nas.strategies.problem import Problem
from nas.training.data import data_content
from nas.trial import Trial, TrialState

MODEL, SUPERNET = "accuracy_model", "supernet"
"""Versions of what judges all networks of a study: accuracies by different ones cannot be compared."""

_TABLE = "latency table"
_TRAINING_PACKAGES = ("nas", "torch")  # other versions of these may train the same network to another accuracy


def basis(space: str, latency_version: str) -> dict[str, str]:
    """Versions of what decides which networks a study tries; recorded when it begins.

    Raises:
        SpaceError: there is no such space.
    """
    return {"space": space_version(space), _TABLE: latency_version, "nas": __version__}


def changes(record: StudyRecord, now: Mapping[str, str]) -> list[str]:
    """What is not as it was when the study began, in words; studies of the first versions recorded the table alone."""
    then: Mapping[str, Any] = record.basis or {_TABLE: record.settings.get("latency_version")}
    return changed_versions(then, now)


def require_unchanged(record: StudyRecord, now: Mapping[str, str]) -> None:
    """Refuse to mix trials that were decided on by different rules.

    Raises:
        StudyError: one of them, such as the space or nas, is another than when the study began.
    """
    if changed := changes(record, now):
        raise StudyError(
            f"study {record.name!r} was begun with another {' and another '.join(changed)}; --fork begins a new study "
            f"from its trials, --study NAME one from nothing"
        )


def fork_names(store: Store, name: str, now: Mapping[str, str]) -> tuple[str, str]:
    """The study to go on with, and the one whose trials it starts from if it does not exist yet.

    The forks of "x" are "x-2", "x-3" and so on; the first of all for which nothing has changed goes on. A study that
    has such a name, but was no fork, is passed over.

    Raises:
        StudyError: there is no study of that name.
    """
    if store.study(name) is None:
        raise StudyError(f"--fork: there is no study {name!r} to start from; begin it without --fork")
    old, new = name, name
    for number in count(2):
        record = store.study(new)
        if record is None:
            break
        if new == name or record.fork_of == old:
            if not changes(record, now):
                break
            old = new
        new = f"{name}-{number}"
    return new, old


def fork(  # noqa: PLR0913 - the new study, and what its trials are made of
    store: Store,
    old: str,
    new: str,
    settings: Mapping[str, Any],
    *,
    basis: Mapping[str, str],
    fidelity: str | None,
    judged_by: Mapping[str, str],
    problem: Problem,
    predictor: Predictor,
    latency_ms: Callable[[Architecture], float],
) -> StudyRecord:
    """Begin the study `new` with the complete trials of `old` that its space and budget admit.

    All or nothing is recorded. Latencies are the predictor's of today, as `latency_ms` gives them; accuracies are
    those that were measured then, whatever has changed since. Figures by another accuracy model or another supernet
    than those of `judged_by` stay behind: they could not be compared with new ones, and are cheap to make again.
    """
    with store.batch():
        complete = store.trials(old, states=[TrialState.COMPLETE])
        alike = [s for s in complete if all(s.versions.get(key) == judged_by.get(key) for key in (MODEL, SUPERNET))]
        heirs = [stored for stored in alike if _admitted(problem, stored)]
        record = store.create_study(new, settings, fidelity, basis=basis, fork_of=old, inherited=len(heirs))
        for number, stored in enumerate(heirs):
            _inherit(store, new, number, stored, (latency_ms(stored.trial.proposal.architecture), predictor))
    return record


def _inherit(store: Store, study: str, number: int, stored: StoredTrial, latency: tuple[float, Predictor]) -> None:
    """Record a trial of another study as this one's `number`, told when all before it had been."""
    assert stored.trial.outcome is not None
    trial = Trial(number, stored.trial.proposal, number, TrialState.RUNNING, seed=stored.trial.seed)
    sizes = Sizes(stored.params, stored.macs, stored.peak_activation_bytes)
    milliseconds, predictor = latency
    of = (predictor.target, predictor.version, stored.versions)
    store.add_trial(study, trial, sizes, milliseconds, *of, source=stored.source or stored.id)
    store.finish(study, number, stored.trial.outcome, told=number)


def _admitted(problem: Problem, stored: StoredTrial) -> bool:
    """Whether the trial, trained from scratch, is of a network that the problem would let a strategy propose."""
    proposal = stored.trial.proposal
    if proposal.parent is not None or stored.trial.accuracy is None:
        return False
    try:
        genotype = problem.space.encode(proposal.architecture)
    except SpaceError:
        return False
    return problem.admits(problem.candidate(genotype))


def fidelity(data: str, evaluator: str, training: object, versions: Mapping[str, str]) -> str:
    """What two trainings of one network have in common if one accuracy can stand for both.

    `training` is plain data, `versions` those of all software. Raises DataError for a folder of images that is none.
    """
    counted = {name: version for name, version in versions.items() if name in _TRAINING_PACKAGES}
    what = {"data": data_content(data), "evaluator": evaluator, "training": training, "versions": counted}
    return json.dumps(what, sort_keys=True)
