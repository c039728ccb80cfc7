"""`Ranking`: where accuracy can be asked of many networks at once, ask of very many and try the best of them."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import final

import numpy as np
from numpy.typing import NDArray

from nas.space import Genotype, SearchSpace
from nas.strategies.ledger import Ledger
from nas.strategies.problem import Problem
from nas.trial import Proposal, Trial

Genotypes = NDArray[np.int64]
Floats = NDArray[np.float64]

_BANDS = 16  # of latency, from the fastest network to the budget
_PER_BAND = 50  # elites, at least
_GENERATIONS = 100
_MUTATIONS = 1.5  # genes of a child, on average
_GROWTH = 4  # of the number of elites, where more trials follow than were planned
_CHECKED = 64


@dataclass(frozen=True, slots=True)
class Oracle:
    """What is known of networks (N, G) without trying them: (N,) accuracies, and (N,) milliseconds."""

    accuracy: Callable[[Genotypes], Floats]
    latency_ms: Callable[[Genotypes], Floats]


@final
class Ranking:
    """Evolves elites for each of several bands of latency; proposes the best of each band, then the second best, ...

    Some hundred thousand networks are asked of the oracle before the first proposal; what it says is taken for true, so
    outcomes change nothing. When the elites of `trials` trials have run out, random networks follow; where more trials
    follow than those, elites are sought again, as for four times as many.
    """

    def __init__(self, problem: Problem, oracle: Oracle, *, seed: int, trials: int) -> None:
        self._problem, self._oracle = problem, oracle
        self._ledger = Ledger(problem)
        self._seed, self._trials = seed, trials
        self._rng = Random(seed)
        self._queue: deque[Genotype] | None = None

    @property
    def finished(self) -> bool:
        """Whether there is no network left to propose."""
        return self._ledger.finished

    def ask(self) -> Proposal | None:
        """The next proposal; None: finished."""
        if self.finished:
            return None
        if self._queue is None or len(self._ledger) >= self._trials:
            while len(self._ledger) >= self._trials:
                self._trials *= _GROWTH
            self._queue = deque(self._elites())
        while self._queue:
            candidate = self._problem.candidate(self._queue.popleft())
            if self._ledger.admits(candidate):
                return self._ledger.propose(candidate)
        return self._ledger.propose(self._ledger.fresh(self._rng))

    def tell(self, trial: Trial) -> None:
        """Nothing is learned, for the oracle knew before; but what another study tried is not proposed again."""
        self._ledger.candidate(trial)

    def _elites(self) -> list[Genotype]:
        """The best of every band, the slowest band first; then the second best, and so on."""
        rng = np.random.default_rng(self._seed)
        sizes = np.array([len(gene.choices) for gene in self._problem.space.genes])
        fastest_ms = self._problem.smallest().latency_ms
        limits = np.linspace(fastest_ms, self._problem.budget_ms, _bands(self._trials) + 1)[1:]
        elites = max(_PER_BAND, -(-self._trials // len(limits)))
        pool = rng.integers(0, sizes, (4 * _PER_BAND * len(limits), len(sizes)))
        pool[0] = self._problem.smallest().genotype
        for _ in range(_GENERATIONS):
            bands = self._banded(pool, limits, elites)
            parents = np.concatenate([pool[band] for band in bands])
            pool = np.unique(np.concatenate([parents, _children(parents, sizes, rng)]), axis=0)
        bands = self._banded(pool, limits, elites)
        ranks = range(max(len(band) for band in bands))
        return [tuple(pool[band[rank]].tolist()) for rank in ranks for band in bands[::-1] if rank < len(band)]

    def _banded(self, pool: Genotypes, limits: Floats, elites: int) -> list[NDArray[np.intp]]:
        """For each band the places in `pool` of its best networks, the most accurate first."""
        latency_ms = self._oracle.latency_ms(pool)
        order = np.argsort(-self._oracle.accuracy(pool).round(9), kind="stable")
        band = np.searchsorted(limits, latency_ms[order])  # the first limit that is not below; len(limits): over budget
        return [order[band == index][:elites] for index in range(len(limits))]


def has_one_genotype_each(space: SearchSpace) -> bool:
    """Whether every genotype is canonical, as far as some random ones tell; an oracle may read others wrongly."""
    rng = Random(0)
    drawn = [tuple(rng.randrange(len(gene.choices)) for gene in space.genes) for _ in range(_CHECKED)]
    return all(space.canonical(genotype) == genotype for genotype in drawn)


def _bands(trials: int) -> int:
    return min(_BANDS, max(1, trials // 10))


def _children(parents: Genotypes, sizes: NDArray[np.int64], rng: np.random.Generator) -> Genotypes:
    """As many children: half of them mixed of two parents gene by gene, all with a few mutations."""
    mothers, fathers = (parents[rng.integers(0, len(parents), len(parents))] for _ in range(2))
    mixed = (rng.random(mothers.shape) < 0.5) & (rng.random((len(mothers), 1)) < 0.5)
    children = np.where(mixed, fathers, mothers)
    mutated = rng.random(children.shape) < _MUTATIONS / len(sizes)
    return np.where(mutated, rng.integers(0, sizes, children.shape), children)
