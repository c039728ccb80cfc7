"""`Descriptor`: genotypes as vectors in which similar networks lie close together, for a model of accuracy."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from nas.space.search_space import Gene
from nas.strategies.costs import Costs, Genotypes

_PLACE = re.compile(r"stages\[(?P<stage>\d+)\](?:\.layers\[(?P<layer>\d+)\])?\.(?P<key>\w+)")
_SIZE_WEIGHT = 0.25  # of MACs and params together, where all genes together weigh 1
_STAGE_WEIGHT = 0.25  # of what the layers of a stage have in common


@dataclass(frozen=True, slots=True)
class Descriptor:
    """Turns genotypes (N, genes) into descriptors (N, features) of mean squared length about 1.

    A descriptor holds which choice each gene makes (and its rank, where choices are numbers), how often the layers
    of each stage make it, and the logarithms of MACs and params. Genes of absent layers count for nothing.
    """

    genes: tuple[Gene, ...]
    costs: Costs
    centre: NDArray[np.float64]  # of log MACs and log params
    spread: NDArray[np.float64]

    @classmethod
    def over(cls, genes: Sequence[Gene], costs: Costs, sample: Genotypes) -> Self:
        """The descriptor whose scale suits the networks of `sample`."""
        sizes = _log_sizes(costs, sample)
        return cls(tuple(genes), costs, sizes.mean(0), np.maximum(sizes.std(0), 1e-6))

    def __call__(self, genotypes: Genotypes) -> NDArray[np.float64]:
        """The descriptors of genotypes."""
        present = presence(self.genes, genotypes)
        own, stage = self._choices(genotypes, present)
        sizes = (_log_sizes(self.costs, genotypes) - self.centre) / self.spread
        weights = (1.0, _STAGE_WEIGHT, _SIZE_WEIGHT)
        blocks = zip((own, stage, sizes / np.sqrt(2)), weights, strict=True)
        return np.concatenate([np.sqrt(weight) * block for block, weight in blocks], axis=1)

    def _choices(
        self, genotypes: Genotypes, present: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What each gene chooses (N, choices), and the mean of it over the layers of a stage (N, shared choices)."""
        columns: list[NDArray[np.float64]] = []
        shared: dict[tuple[str, str], list[NDArray[np.float64]]] = defaultdict(list)
        for index, gene in enumerate(self.genes):
            coded = _codes(gene)[genotypes[:, index]] * present[:, index, None]
            columns.append(coded)
            if (place := _PLACE.fullmatch(gene.name)) and place["layer"]:
                shared[place["stage"], place["key"]].append(coded)
        own = np.concatenate(columns, axis=1) / np.sqrt(len(self.genes))
        means = [np.mean(layers, axis=0) for layers in shared.values() if len(layers) > 1]
        if not means:
            return own, np.empty((len(own), 0))
        return own, np.concatenate(means, axis=1) / np.sqrt(len(means))


def presence(genes: Sequence[Gene], genotypes: Genotypes) -> NDArray[np.bool_]:
    """Whether each gene (N, genes) says something: the genes of a layer beyond its stage's depth do not."""
    depths = {}
    places = [_PLACE.fullmatch(gene.name) for gene in genes]
    for index, (gene, place) in enumerate(zip(genes, places, strict=True)):
        if place and place["key"] == "depth" and place["layer"] is None:
            depths[place["stage"]] = np.array([float(choice) for choice in gene.choices])[genotypes[:, index]]
    present = np.ones(genotypes.shape, np.bool_)
    for index, place in enumerate(places):
        if place and place["key"] != "depth" and place["stage"] in depths:
            present[:, index] = depths[place["stage"]] > int(place["layer"] or 0)
    return present


def _codes(gene: Gene) -> NDArray[np.float64]:
    """A row for each choice: which it is, and its rank among more than two numbers."""
    codes = np.eye(len(gene.choices))
    if len(gene.choices) == 2 or any(isinstance(choice, str) for choice in gene.choices):
        return codes
    ranks = np.argsort(np.argsort([float(choice) for choice in gene.choices]))
    return np.column_stack([codes, ranks / (len(ranks) - 1) - 0.5])


def _log_sizes(costs: Costs, genotypes: Genotypes) -> NDArray[np.float64]:
    return np.log(np.column_stack([costs.macs(genotypes), costs.params(genotypes)]))
