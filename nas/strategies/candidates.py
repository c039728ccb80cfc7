"""`Candidates`: the networks of a space that are worth a model's opinion, many at a time, all within the budget."""

from typing import final

import numpy as np

from nas.strategies.costs import Genotypes
from nas.strategies.problem import Problem

_COMPLETE = 1 << 13  # genotypes of a space that is looked through completely
_SAMPLE = 1024
_DRAWN = 4096  # genotypes at a time, of which those within the budget are kept
_DRAWS = 16
_CHANGES = 1.5  # genes that a child changes on average, besides those it takes from a second parent


@final
class Candidates:
    """Genotypes (N, genes) within the problem's budget; which ones depends on the generator alone."""

    def __init__(self, problem: Problem, rng: np.random.Generator) -> None:
        self._problem = problem
        self._choices = np.array([len(gene.choices) for gene in problem.space.genes])
        assert problem.costs is not None, "thousands of networks are looked at for each proposal"
        self.costs = problem.costs
        small = problem.space.genotype_count <= _COMPLETE
        self.everything = self._within(np.array(list(problem.space.genotypes()), np.intp)) if small else None
        self.sample = self._sample(rng)

    def bred(self, parents: Genotypes, count: int, rng: np.random.Generator) -> Genotypes:
        """About `count` children, less those over the budget: half have two parents, all differ somewhere."""
        mothers, fathers = (parents[rng.integers(len(parents), size=count)] for _ in range(2))
        crossed = (rng.random((count, 1)) < 0.5) & (rng.random(mothers.shape) < 0.5)
        changed = rng.random(mothers.shape) < _CHANGES / mothers.shape[1]
        changed[np.arange(count), rng.integers(mothers.shape[1], size=count)] = True
        children = np.where(crossed, fathers, mothers)
        children = np.where(changed, rng.integers(self._choices, size=mothers.shape), children)
        return self._within(children)

    def _within(self, genotypes: Genotypes) -> Genotypes:
        if self._problem.explore_over_budget or not len(genotypes):
            return genotypes
        return genotypes[self.costs.latency_ms(genotypes) <= self._problem.budget_ms]

    def _sample(self, rng: np.random.Generator) -> Genotypes:
        """Random networks within the budget: by rejection, and where that yields few, walked to the smallest."""
        if self.everything is not None:
            return self.everything[rng.permutation(len(self.everything))[:_SAMPLE]]
        found = np.empty((0, len(self._choices)), np.intp)
        for _ in range(_DRAWS):
            drawn = rng.integers(self._choices, size=(_DRAWN, len(self._choices)))
            found = np.vstack([found, self._within(drawn)])
            if len(found) >= _SAMPLE:
                return found[:_SAMPLE]
        return np.vstack([found, self._walked(drawn[: _SAMPLE - len(found)], rng)])

    def _walked(self, genotypes: Genotypes, rng: np.random.Generator) -> Genotypes:
        """Genotypes with genes of the smallest network, in random order, until they are within the budget."""
        goal = np.array(self._problem.smallest().genotype)
        walked, rows = genotypes.copy(), np.arange(len(genotypes))
        orders = rng.permuted(np.tile(np.arange(len(goal)), (len(walked), 1)), axis=1)
        for step in range(len(goal) + 1):
            over = self.costs.latency_ms(walked[rows]) > self._problem.budget_ms
            rows = rows[over]
            if not len(rows) or step == len(goal):
                break
            genes = orders[rows, step]
            walked[rows, genes] = goal[genes]
        return np.delete(walked, rows, axis=0)
