"""`AccuracyPredictor`: an accuracy model joined with its space; one network at a time, or many."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nas.accuracy.features import FeatureMap, Floats, Genotypes, anchor, feature_map
from nas.accuracy.model import AccuracyModel, Range, load_accuracy_model
from nas.architecture import Architecture
from nas.errors import AccuracyError
from nas.space import SearchSpace, load_space

_WIDENING = 10.0  # points for each unit of log MAdds or log params outside the fitted range; see docs/accuracy.md


@dataclass(frozen=True, slots=True)
class Prediction:
    """Accuracies in percent of N networks (N,); a trained network lies between `low` and `high` nine times in ten."""

    accuracy: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class AccuracyPredictor:
    """Predicts the networks of `space`, whatever number of classes they are built for."""

    space: SearchSpace
    model: AccuracyModel
    features: FeatureMap
    stand_ins: tuple[NDArray[np.int64], ...]
    """For each gene and choice the choice that a trained network had in its place; -1: none is known."""
    points: tuple[Floats, ...]
    """For each gene and choice the published effect of it against its stand-in."""

    def predict(self, genotypes: Genotypes) -> Prediction:
        """Predictions for canonical genotypes (N, G).

        A choice that no trained network had counts with its published effect, and the interval widens by the whole
        effect; so it does outside the range of MAdds and params.

        Raises:
            AccuracyError: a choice that nothing is known of.
            SpaceError: a wrong shape or type of genotypes.
        """
        self.features.macs(genotypes[:1])  # refuses a wrong shape before its columns are read
        known, effect = self._known(genotypes)
        macs, params = self.features.sizes(known)
        accuracy = self.model.quadratic(self.features(known, macs, params)) + effect.sum(1)
        outside = _outside(macs, self.model.macs) + _outside(params, self.model.params)
        half = self.model.half_width + np.abs(effect).sum(1) + _WIDENING * outside
        return Prediction(*(np.clip(values, 0.0, 100.0) for values in (accuracy, accuracy - half, accuracy + half)))

    def predict_networks(self, networks: Sequence[Architecture]) -> Prediction:
        """Predictions for networks of the space.

        Raises:
            SpaceError: a network that is not a point of the space.
            AccuracyError: as `predict`.
        """
        classes = self.space.num_classes
        genotypes = [self.space.encode(network.with_num_classes(classes)) for network in networks]
        return self.predict(np.array(genotypes, dtype=np.int64).reshape(len(networks), len(self.space.genes)))

    def _known(self, genotypes: Genotypes) -> tuple[NDArray[np.int64], Floats]:
        """Genotypes that the trained networks cover in place of these, and the effects (N, G) of the difference."""
        known, effect = np.empty(genotypes.shape, np.int64), np.zeros(genotypes.shape)
        for index, gene in enumerate(self.space.genes):
            column = genotypes[:, index]
            known[:, index] = self.stand_ins[index][column]
            effect[:, index] = self.points[index][column]
            if (unknown := np.flatnonzero(known[:, index] < 0)).size:
                raise AccuracyError(
                    f"{gene.name} = {gene.choices[column[unknown[0]]]}: no network that the accuracy model of "
                    f"{self.space.name} was fitted on has it; expected one of "
                    f"{', '.join(map(str, self.model.seen.get(gene.name, ())))}"
                )
        return known, effect


def load_predictor(space: str | Path) -> AccuracyPredictor:
    """The predictor of the space of that name, or of a YAML file, with the accuracy model beside it.

    Raises:
        AccuracyError: the space has no model, or one that was fitted on another version of it.
        SpaceError: no such space.
        SpecError: its file is wrong.
    """
    return make_predictor(load_space(space), load_accuracy_model(space))


def make_predictor(space: SearchSpace, model: AccuracyModel) -> AccuracyPredictor:
    """The model joined with its space; raises AccuracyError where they do not fit."""
    space = space.with_num_classes(model.num_classes)
    genes = {gene.name: gene.choices for gene in space.genes}
    for gene, choices in model.seen.items():
        if gene not in genes or not set(choices) <= set(genes[gene]):
            raise AccuracyError(
                f"the accuracy model was fitted on networks with {gene} = {', '.join(map(str, choices))}, which "
                f"space {space.name} does not have; fit it again with nas space fit-accuracy"
            )
    if model.provenance.get("anchor") not in (None, anchor(space, model.seen)):
        raise AccuracyError(
            f"the accuracy model was fitted on other networks than those of space {space.name}: something that they "
            f"have in common, such as resolution, ops or widths, is different; fit it again with nas space fit-accuracy"
        )
    features = feature_map(space, model.seen)
    if features.count != len(model.quadratic.mean):
        raise AccuracyError(
            f"the accuracy model of {space.name} has {len(model.quadratic.mean)} features; expected {features.count}"
        )
    stand_ins, points = [], []
    for name, choices in genes.items():
        seen = set(model.seen.get(name, ()))
        effects = {effect.choice: effect for effect in model.effects if effect.gene == name}
        borrowed = {c: effects[c] for c in choices if c not in seen and c in effects}
        own = [borrowed[c].instead_of if c in borrowed else c for c in choices]
        stand_ins.append(np.array([choices.index(c) if c in seen else -1 for c in own]))
        points.append(np.array([borrowed[c].points if c in borrowed else 0.0 for c in choices]))
    return AccuracyPredictor(space, model, features, tuple(stand_ins), tuple(points))


def unknown_choices(space: SearchSpace, model: AccuracyModel) -> list[str]:
    """The choices of the space that no network of the model had, and whose effect is not given: `gene = choice`."""
    effects = {(effect.gene, effect.choice) for effect in model.effects}
    return [
        f"{gene.name} = {choice}"
        for gene in space.genes
        for choice in gene.choices
        if choice not in model.seen.get(gene.name, ()) and (gene.name, choice) not in effects
    ]


def _outside(values: Floats, fitted: Range) -> Floats:
    """How far the logarithm of each value lies outside the range; 0 inside."""
    return np.maximum(0.0, np.maximum(np.log(values / fitted.high), np.log(fitted.low / values)))
