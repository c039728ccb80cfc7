"""`Descriptor`: genotypes as vectors in which similar networks lie close together, for a model of accuracy."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Self

import numpy as np
from numpy.typing import NDArray

from nas.space.search_space import Gene
from nas.strategies.costs import Costs, Genotypes

Values = NDArray[np.float64]

_PLACE = re.compile(r"stages\[(?P<stage>\d+)\](?:\.layers\[(?P<layer>\d+)\])?\.(?P<key>\w+)")
_SIZE_WEIGHT = 0.25  # of MACs and params together, where all genes together weigh 1
_STAGE_WEIGHT = 0.25  # of what the layers of a stage have in common


@dataclass(frozen=True, slots=True)
class Descriptor:
    """Turns genotypes (N, genes) into descriptors (N, features) of mean squared length about 1.

    A descriptor holds which choice each gene makes (and its rank, where choices are numbers), the mean of that over
    the layers of each stage, and the logarithms of MACs and params. Genes of absent layers count for nothing.
    """

    genes: tuple[Gene, ...]
    costs: Costs
    codes: tuple[Values, ...]  # of each gene: a row for each choice, and one of zeros if it is absent
    means: Values  # (features of genes, features of stages)
    centre: Values  # of log MACs and log params
    spread: Values

    @classmethod
    def over(cls, genes: Sequence[Gene], costs: Costs, sample: Genotypes) -> Self:
        """The descriptor whose scale suits the networks of `sample`."""
        sizes = _log_sizes(costs, sample)
        codes = tuple(_codes(gene) / np.sqrt(len(genes)) for gene in genes)
        spread = np.maximum(sizes.std(0), 1e-6)
        return cls(tuple(genes), costs, codes, _means(genes, codes), sizes.mean(0), spread)

    def __call__(self, genotypes: Genotypes) -> Values:
        """The descriptors of genotypes."""
        absent = [len(code) - 1 for code in self.codes]
        choices = np.where(presence(self.genes, genotypes), genotypes, absent)
        own = np.concatenate([code[chosen] for code, chosen in zip(self.codes, choices.T, strict=True)], axis=1)
        sizes = (_log_sizes(self.costs, genotypes) - self.centre) / self.spread
        weighted = (own, own @ self.means, np.sqrt(_SIZE_WEIGHT / 2) * sizes)
        return np.concatenate(weighted, axis=1)


def presence(genes: Sequence[Gene], genotypes: Genotypes) -> NDArray[np.bool_]:
    """Whether each gene (N, genes) says something: the genes of a layer beyond its stage's depth do not."""
    places = [_PLACE.fullmatch(gene.name) for gene in genes]
    present = np.ones(genotypes.shape, np.bool_)
    for index, (gene, place) in enumerate(zip(genes, places, strict=True)):
        if place is None or place["key"] != "depth":
            continue
        depths = np.array([float(choice) for choice in gene.choices])[genotypes[:, index]]
        for other, elsewhere in enumerate(places):
            if elsewhere and elsewhere["stage"] == place["stage"] and other != index:
                present[:, other] = depths > int(elsewhere["layer"] or 0)
    return present


def _codes(gene: Gene) -> Values:
    """Points whose distances say which choices differ, and by how many ranks if they are more than two numbers."""
    count = len(gene.choices)
    points = np.eye(count)
    if count > 2 and not any(isinstance(choice, str) for choice in gene.choices):
        ranks = np.argsort(np.argsort([float(choice) for choice in gene.choices]))
        points = np.column_stack([points, ranks / (count - 1)])
    left, lengths, _ = np.linalg.svd(points - points.mean(0), full_matrices=False)
    codes: Values = (left * lengths)[:, : count - 1]  # these few axes hold all distances
    return np.vstack([codes, np.zeros(count - 1)])


def _means(genes: Sequence[Gene], codes: Sequence[Values]) -> Values:
    """The matrix that takes the codes of layers to their means over each stage."""
    ends = list(accumulate((code.shape[1] for code in codes), initial=0))
    shared: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for gene, span in zip(genes, pairwise(ends), strict=True):
        if (place := _PLACE.fullmatch(gene.name)) and place["layer"]:
            shared[place["stage"], place["key"]].append(span)
    blocks = []
    for spans in shared.values():
        if len(spans) > 1:
            width = spans[0][1] - spans[0][0]
            block = np.zeros((ends[-1], width))
            for begin, end in spans:
                block[begin:end] = np.eye(width) / len(spans)
            blocks.append(block)
    if not blocks:
        return np.zeros((ends[-1], 0))
    means: Values = np.concatenate(blocks, axis=1) * np.sqrt(_STAGE_WEIGHT * len(genes) / len(blocks))
    return means


def _log_sizes(costs: Costs, genotypes: Genotypes) -> Values:
    return np.log(np.column_stack([costs.macs(genotypes), costs.params(genotypes)]))
