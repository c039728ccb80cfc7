"""`fit_accuracy`: an accuracy model from networks that were trained, with its error on networks it has not seen."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.accuracy.features import Floats, anchor, feature_map, seen_choices
from nas.accuracy.model import COVERAGE, AccuracyModel, Effect, Range
from nas.accuracy.ridge import Quadratic, fit_quadratic
from nas.accuracy.score import score
from nas.errors import AccuracyError
from nas.space import SearchSpace

FEWEST = 20
"""Different networks; with fewer, neither errors nor interval could be estimated."""

_PENALTIES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
_FOLDS = 10
_HELD_OUT = 5  # every fifth network, by its id
RULE = f"networks whose id, read as a hexadecimal number, is a multiple of {_HELD_OUT}"


@dataclass(frozen=True, slots=True)
class TrainedNetworks:
    """Canonical genotypes (N, G) and accuracies (N,) in percent; a network may have been trained more than once."""

    genotypes: NDArray[np.int64]
    accuracies: Floats
    ids: tuple[str, ...]  # of the architectures

    def __len__(self) -> int:
        return len(self.ids)

    def part(self, rows: NDArray[np.bool_]) -> "TrainedNetworks":
        """The rows where the mask (N,) is true."""
        ids = tuple(i for i, chosen in zip(self.ids, rows.tolist(), strict=True) if chosen)
        return TrainedNetworks(self.genotypes[rows], self.accuracies[rows], ids)


@dataclass(frozen=True, slots=True)
class _Fit:
    """A fit to all of some networks, and its errors (N,) on each of them while that was left out."""

    quadratic: Quadratic
    predicted: Floats  # cross-validated, (N,)
    penalty: float

    def half_width(self, trained: TrainedNetworks) -> float:
        """Half of an interval that holds a new network's accuracy with probability `COVERAGE` (split-conformal)."""
        errors = np.sort(np.abs(self.predicted - trained.accuracies))
        return float(errors[min(len(errors), ceil((len(errors) + 1) * COVERAGE - 1e-9)) - 1])


def fit_accuracy(
    space: SearchSpace,
    trained: TrainedNetworks,
    *,
    predicts: str,
    effects: Sequence[Effect] = (),
    provenance: Mapping[str, Any] | None = None,
) -> AccuracyModel:
    """The model of all the networks; its errors are those of a fit to four fifths, and of cross-validation.

    Raises:
        AccuracyError: too few different networks, or networks that all have one accuracy.
    """
    _require_enough(trained)
    seen = seen_choices(space, trained.genotypes)
    features = feature_map(space, seen)
    macs, params = features.sizes(trained.genotypes)
    matrix = features(trained.genotypes, macs, params)
    fit = _fit(matrix, trained)
    return AccuracyModel(
        space=space.name,
        predicts=predicts,
        num_classes=space.num_classes,
        networks=len(set(trained.ids)),
        seen=seen,
        macs=Range(float(macs.min()), float(macs.max())),
        params=Range(float(params.min()), float(params.max())),
        quadratic=fit.quadratic,
        half_width=fit.half_width(trained),
        effects=tuple(effects),
        error={
            "held_out": {"rule": RULE, **_held_out(matrix, trained)},
            "cross_validation": {"folds": _FOLDS, **score(fit.predicted, trained.accuracies)},
            "repeated_training": _repeats(trained),
        },
        provenance={
            **(provenance or {}),
            "trainings": len(trained),
            "penalty": fit.penalty,
            "anchor": anchor(space, seen),
        },
    )


def held_out(trained: TrainedNetworks) -> NDArray[np.bool_]:
    """The rows (N,) that the fixed rule holds out; all trainings of one network stand on one side."""
    return np.array([int(id, 16) % _HELD_OUT == 0 for id in trained.ids])


def _held_out(matrix: Floats, trained: TrainedNetworks) -> dict[str, Any]:
    """The error of a fit to the other networks, which chose its penalty and its interval without the held-out ones."""
    out = held_out(trained)
    if not out.any():
        return {"networks": 0}
    rest = trained.part(~out)
    fit = _fit(matrix[~out], rest)
    return score(fit.quadratic(matrix[out]), trained.accuracies[out], fit.half_width(rest))


def _fit(matrix: Floats, trained: TrainedNetworks) -> _Fit:
    """The fit with the penalty of the least cross-validated squared error."""
    predicted = np.empty((len(_PENALTIES), len(trained)))
    for out in _folds(trained):
        fits = fit_quadratic(matrix[~out], trained.accuracies[~out], _PENALTIES)
        for row, fit in enumerate(fits):
            predicted[row, out] = fit(matrix[out])
    best = int(((predicted - trained.accuracies) ** 2).mean(1).argmin())
    (quadratic,) = fit_quadratic(matrix, trained.accuracies, _PENALTIES[best : best + 1])
    return _Fit(quadratic, predicted[best], _PENALTIES[best])


def _folds(trained: TrainedNetworks) -> Iterator[NDArray[np.bool_]]:
    """Masks (N,) of what each fold leaves out; all trainings of one network in one fold."""
    order = {id: index for index, id in enumerate(sorted(set(trained.ids), key=lambda id: id[::-1]))}
    fold = np.array([order[id] % _FOLDS for id in trained.ids])
    for index in range(_FOLDS):
        yield fold == index


def _repeats(trained: TrainedNetworks) -> dict[str, Any]:
    """Differences of two trainings of one network: what no model can go below by much."""
    first: dict[str, float] = {}
    differences = []
    for id, accuracy in zip(trained.ids, trained.accuracies.tolist(), strict=True):
        if id in first:
            differences.append(abs(accuracy - first[id]))
        first.setdefault(id, accuracy)
    if not differences:
        return {"pairs": 0}
    mean, median = np.mean(differences), np.median(differences)
    return {"pairs": len(differences), "mean_difference": round(float(mean), 4), "median": round(float(median), 4)}


def _require_enough(trained: TrainedNetworks) -> None:
    if (different := len(set(trained.ids))) < FEWEST:
        raise AccuracyError(f"{different} different trained networks; expected at least {FEWEST}")
    if np.ptp(trained.accuracies) == 0:
        raise AccuracyError(f"all networks have the accuracy {trained.accuracies[0]:g}; expected different ones")
