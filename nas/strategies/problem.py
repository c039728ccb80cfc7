"""`Problem`: what a search is about, and which networks of the space keep to its budget."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from random import Random
from typing import TYPE_CHECKING

from nas.architecture import Architecture
from nas.errors import BudgetError, SpaceError
from nas.reward import Reward
from nas.space import Genotype, SearchSpace

if TYPE_CHECKING:  # importing it means importing numpy
    from nas.strategies.costs import Costs

_REJECTIONS = 32  # samples over budget before one is walked towards the smallest network
_CACHED = 1 << 15  # candidates kept, about 10 KB each at most
_STARTS = 4  # of the search for the smallest network


@dataclass(frozen=True, slots=True)
class Candidate:
    """A point of the space with its network and predicted latency."""

    genotype: Genotype
    architecture: Architecture
    latency_ms: float


@dataclass(frozen=True)
class Problem:
    """Find the network of `space` with the largest reward whose latency is at most `budget_ms`.

    With `front`, which names costs, every network counts that is the most accurate of those that cost no more.
    `explore_over_budget` lets strategies try slower networks, too. `target` names the device in messages. `costs`
    answers for many networks at a time, as `latency_ms` does for one; `surrogate` needs it.
    """

    space: SearchSpace
    latency_ms: Callable[[Architecture], float]
    budget_ms: float
    reward: Reward
    explore_over_budget: bool = False
    target: str = "the target"
    costs: "Costs | None" = None
    front: tuple[str, ...] = ()

    @cached_property
    def candidate(self) -> Callable[[Genotype], Candidate]:
        """`candidate(genotype)`, remembered for genotypes that come again."""
        return lru_cache(_CACHED)(self._candidate)

    def _candidate(self, genotype: Genotype) -> Candidate:
        architecture = self.space.decode(genotype)
        return Candidate(genotype, architecture, self.latency_ms(architecture))

    def admits(self, candidate: Candidate) -> bool:
        """Whether the candidate may be tried."""
        return self.explore_over_budget or candidate.latency_ms <= self.budget_ms

    def smallest(self) -> Candidate:
        """The fastest network that coordinate descent over the genes finds from several fixed starts.

        A latency that is a sum over layers depends on few genes at a time, so this is exact or very near;
        it is computed once, in some hundred to thousand estimates.
        """
        return self._smallest

    @cached_property
    def _smallest(self) -> Candidate:
        rng = Random(0)
        genes = self.space.genes
        starts = [tuple(0 for _ in genes), tuple(len(gene.choices) - 1 for gene in genes)]
        starts += [self.space.sample(rng) for _ in range(_STARTS - len(starts))]
        return min((self._descend(self.candidate(start)) for start in starts), key=lambda found: found.latency_ms)

    def _descend(self, best: Candidate) -> Candidate:
        """Follow the fastest neighbour gene by gene until no gene can be improved."""
        while True:
            before = best.latency_ms
            for gene in range(len(self.space.genes)):
                others = (self.candidate(genotype) for genotype in self._variants(best.genotype, gene))
                best = min((best, *others), key=lambda candidate: candidate.latency_ms)
            if best.latency_ms >= before:
                return best

    def mutate(self, candidate: Candidate, rng: Random) -> Candidate:
        """Another network that differs in one gene; a random one where a single gene makes no difference."""
        try:
            return self.candidate(self.space.mutate(candidate.genotype, rng))
        except SpaceError:
            return self.sample(rng)

    def neighbours(self, candidate: Candidate) -> Iterator[Candidate]:
        """All candidates that differ in one gene."""
        for gene in range(len(self.space.genes)):
            yield from (self.candidate(genotype) for genotype in self._variants(candidate.genotype, gene))

    def _variants(self, genotype: Genotype, gene: int) -> Iterator[Genotype]:
        for choice in range(len(self.space.genes[gene].choices)):
            if choice != genotype[gene]:
                yield (*genotype[:gene], choice, *genotype[gene + 1 :])

    def require_reachable(self) -> None:
        """Make sure that there is something to search.

        Raises:
            BudgetError: not even the smallest network is within the budget.
        """
        fastest = self.smallest()
        if fastest.latency_ms > self.budget_ms:
            raise BudgetError(
                f"no network of space {self.space.name} meets {self.budget_ms:g} ms on {self.target}; "
                f"the fastest found takes {fastest.latency_ms:.3g} ms"
            )

    def sample(self, rng: Random) -> Candidate:
        """A random network that may be tried: by rejection, or after some rejections by `repair`; always ends.

        Raises:
            BudgetError: there is none.
        """
        for _ in range(_REJECTIONS):
            candidate = self.candidate(self.space.sample(rng))
            if self.admits(candidate):
                return candidate
        return self.repair(candidate, rng)

    def repair(self, candidate: Candidate, rng: Random) -> Candidate:
        """The candidate with genes of the smallest network, in random order, until it may be tried.

        Raises:
            BudgetError: not even the smallest network may be.
        """
        if self.admits(candidate):
            return candidate
        self.require_reachable()
        genotype, goal = list(candidate.genotype), self.smallest().genotype
        for gene in rng.sample(range(len(goal)), len(goal)):
            if genotype[gene] != goal[gene]:
                genotype[gene] = goal[gene]
                candidate = self.candidate(tuple(genotype))
                if self.admits(candidate):
                    break
        return candidate
