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

    A proposal records by how much its latency differs from that of the network that it was cut from and, if it was
    judged and not just estimated, its accuracy. So proposals of one iteration follow one another with the same base,
    and the base is the last trial before them with its figures.
    """
    groups: list[list[int]] = []
    for place, stored in enumerate(trials):
        base_ms = _base_ms(stored)
        if base_ms is None:
            continue
        if groups and _base_ms(trials[groups[-1][-1]]) == base_ms:
            groups[-1].append(place)
        else:
            groups.append([place])
    bases = [_base(trials, group) for group in groups]
    chosen = [base if base in group else None for group, base in zip(groups, bases[1:], strict=False)]
    if groups:
        chosen.append(_last(trials, groups[-1], settings))
    steps = zip(groups, bases, chosen, strict=True)
    return [Iteration(base, tuple(group), winner) for group, base, winner in steps if base is not None]


def _base(trials: Sequence[StoredTrial], group: Sequence[int]) -> int | None:
    """The last trial before the group that was judged and has the figures of the group's base."""
    base_ms = _base_ms(trials[group[0]])
    accuracies = {accuracy for place in group if (accuracy := _base_accuracy(trials[place])) is not None}
    for place in range(group[0] - 1, -1, -1):
        accuracy = trials[place].trial.accuracy
        if accuracy is None or _rounded(trials[place].latency_ms) != base_ms:
            continue
        if not accuracies or _rounded(accuracy) in accuracies:
            return place
    return None


def _last(trials: Sequence[StoredTrial], group: Sequence[int], settings: Mapping[str, Any]) -> int | None:
    """The winner of the last iteration: what was trained at the end or, without such a training, the rule's choice."""
    last = trials[-1]
    judged = [place for place in group if trials[place].trial.accuracy is not None]
    if _base_ms(last) is None and last.trial.accuracy is not None:
        network = last.trial.proposal.architecture
        return next((p for p in reversed(judged) if trials[p].trial.proposal.architecture == network), None)
    if settings.get("final_epochs") or not judged or not all(stored.trial.state.ended for stored in trials):
        return None
    final_round = [p for p in judged if trials[p].trial.proposal.epochs == last.trial.proposal.epochs]
    best = max(final_round or judged, key=lambda place: _merit(trials[place], settings))
    latency_ms = trials[best].latency_ms
    return best if latency_ms is not None and latency_ms <= settings["budget_ms"] else None


def _merit(stored: StoredTrial, settings: Mapping[str, Any]) -> tuple[float, float]:
    """Larger is better, as in `nas.strategies.netadapt`."""
    assert stored.trial.outcome is not None
    metrics = stored.trial.outcome.metrics
    if settings.get("rule") == "mobilenet_v3":
        merit = -metrics["accuracy_change"] / metrics["latency_change_ms"]
    else:
        merit = -metrics["loss"] if "loss" in metrics else metrics["accuracy"]
    return merit, -(stored.latency_ms or 0.0)


def _base_ms(stored: StoredTrial) -> float | None:
    """Latency of the network that the proposal was cut from; None for the seed, the last training, and failures."""
    metrics = stored.trial.outcome.metrics if stored.trial.outcome else {}
    if stored.latency_ms is None or "latency_change_ms" not in metrics:
        return None
    return _rounded(stored.latency_ms - metrics["latency_change_ms"])


def _base_accuracy(stored: StoredTrial) -> float | None:
    metrics = stored.trial.outcome.metrics if stored.trial.outcome else {}
    accuracy = stored.trial.accuracy
    return None if accuracy is None else _rounded(accuracy - metrics["accuracy_change"])


def _rounded(figure: float | None) -> float | None:
    return None if figure is None else round(figure, _DIGITS)
