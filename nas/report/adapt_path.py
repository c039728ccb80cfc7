"""NetAdapt's path, read from what its trials recorded: which networks were chosen, and among what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nas.store.records import StoredTrial

_DIGITS = 9  # of an accuracy or a latency that two trials tell of the same network


@dataclass(frozen=True, slots=True)
class Iteration:
    """Proposals that were cut from the same network, the trial at place `base`; all are places in a list of trials.

    `chosen` is the place of the proposal that the next iteration was cut from, None if there is none yet.
    """

    base: int
    proposals: tuple[int, ...]
    chosen: int | None


def read_path(trials: Sequence[StoredTrial], settings: Mapping[str, Any]) -> list[Iteration]:
    """The iterations of an adapt study, in order; `trials` are all of its trials by number, `settings` its own.

    A proposal records by how much its accuracy and latency differ from those of the network that it was cut from. So
    the network of an iteration is known by both figures, and the winner of the one before by having them.
    """
    groups: dict[tuple[float, float], list[int]] = {}
    for place, stored in enumerate(trials):
        if (figures := _base(stored)) is not None:
            groups.setdefault(figures, []).append(place)
    found: list[Iteration] = []
    bases = list(groups)
    base = next((p for p, stored in enumerate(trials) if _own(stored) == bases[0]), None) if bases else None
    for index, figures in enumerate(bases):
        if base is None:
            break
        wanted = bases[index + 1] if index + 1 < len(bases) else None
        proposals = groups[figures]
        if wanted is not None:
            chosen = next((p for p in reversed(proposals) if _own(trials[p]) == wanted), None)
        else:
            chosen = _last(trials, proposals, settings)
        found.append(Iteration(base, tuple(proposals), chosen))
        base = chosen
    return found


def _last(trials: Sequence[StoredTrial], proposals: Sequence[int], settings: Mapping[str, Any]) -> int | None:
    """The winner of the last iteration: what was trained at the end or, without such a training, the rule's choice."""
    last = trials[-1]
    if _base(last) is None and last.trial.accuracy is not None:
        network = last.trial.proposal.architecture
        return next((p for p in reversed(proposals) if trials[p].trial.proposal.architecture == network), None)
    if settings.get("final_epochs") or not all(stored.trial.state.ended for stored in trials):
        return None
    final_round = [p for p in proposals if trials[p].trial.proposal.epochs == last.trial.proposal.epochs]
    best = max(final_round, key=lambda place: _merit(trials[place], settings))
    latency_ms = trials[best].latency_ms
    return best if latency_ms is not None and latency_ms <= settings["budget_ms"] else None


def _merit(stored: StoredTrial, settings: Mapping[str, Any]) -> float:
    """Larger is better, as in `nas.strategies.netadapt`."""
    assert stored.trial.outcome is not None
    metrics = stored.trial.outcome.metrics
    if settings.get("rule") == "mobilenet_v3":
        return -metrics["accuracy_change"] / metrics["latency_change_ms"]
    return metrics["accuracy"]


def _own(stored: StoredTrial) -> tuple[float, float] | None:
    accuracy, latency_ms = stored.trial.accuracy, stored.latency_ms
    if accuracy is None or latency_ms is None:
        return None
    return round(accuracy, _DIGITS), round(latency_ms, _DIGITS)


def _base(stored: StoredTrial) -> tuple[float, float] | None:
    """Accuracy and latency of the network that the proposal was cut from."""
    accuracy, latency_ms = stored.trial.accuracy, stored.latency_ms
    metrics = stored.trial.outcome.metrics if stored.trial.outcome else {}
    if accuracy is None or latency_ms is None or "latency_change_ms" not in metrics:
        return None
    changes = metrics["accuracy_change"], metrics["latency_change_ms"]
    return round(accuracy - changes[0], _DIGITS), round(latency_ms - changes[1], _DIGITS)
