"""`FeatureMap`: genotypes as numbers that a linear model can read: which choice each gene has, MAdds and params."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.layers import total_macs, total_params
from nas.space import SearchSpace
from nas.space.batch import BatchSum, batch_sum
from nas.space.spec import Scalar

Floats = NDArray[np.float64]
Genotypes = NDArray[np.integer]

Seen = Mapping[str, tuple[Scalar, ...]]
"""For each gene the choices that some trained network had, in the order of the space."""


@dataclass(frozen=True, slots=True)
class FeatureMap:
    """Features (N, F) of canonical genotypes (N, G).

    A column of 0 and 1 for each choice that was seen but the first of its gene; then the logarithms of MAdds and of
    params.
    """

    columns: tuple[tuple[int, int], ...]  # (gene, choice)
    macs: BatchSum
    params: BatchSum

    @property
    def count(self) -> int:
        """F."""
        return len(self.columns) + 2

    def sizes(self, genotypes: Genotypes) -> tuple[Floats, Floats]:
        """MAdds (N,) and params (N,)."""
        return self.macs(genotypes), self.params(genotypes)

    def __call__(self, genotypes: Genotypes, macs: Floats, params: Floats) -> Floats:
        """The features, given what `sizes` says of the same genotypes."""
        features = np.empty((len(genotypes), self.count))
        for column, (gene, choice) in enumerate(self.columns):
            features[:, column] = genotypes[:, gene] == choice
        features[:, -2:] = np.log(np.column_stack([macs, params]))
        return features


def feature_map(space: SearchSpace, seen: Seen) -> FeatureMap:
    """The features of networks of `space` that tell the choices in `seen` apart."""
    columns = [
        (index, gene.choices.index(choice))
        for index, gene in enumerate(space.genes)
        for choice in seen.get(gene.name, ())[1:]
    ]
    return FeatureMap(tuple(columns), batch_sum(space, total_macs), batch_sum(space, total_params))


def anchor(space: SearchSpace, seen: Seen) -> str:
    """Id of the network that makes each gene's first seen choice: another one where what networks share is another."""
    return space.decode(tuple(gene.choices.index(seen.get(gene.name, gene.choices)[0]) for gene in space.genes)).id


def seen_choices(space: SearchSpace, genotypes: Genotypes) -> dict[str, tuple[Scalar, ...]]:
    """The choices that occur in genotypes (N, G)."""
    return {
        gene.name: tuple(gene.choices[choice] for choice in np.unique(genotypes[:, index]).tolist())
        for index, gene in enumerate(space.genes)
    }


def as_array(genotypes: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """Genotypes as an array (N, G)."""
    return np.array(genotypes, dtype=np.int64)
