"""Search by a model of accuracy that learns from the study's own trials; latency needs no model, it is known."""

from collections.abc import Iterable
from random import Random
from typing import final

import numpy as np
from numpy.typing import NDArray

from nas.errors import SpaceError
from nas.strategies.acquisition import Aims, believing
from nas.strategies.candidates import Candidates
from nas.strategies.costs import Genotypes
from nas.strategies.described import Described, Growing, join
from nas.strategies.descriptors import Descriptor, presence
from nas.strategies.gaussian_process import AccuracyModel, Values, instructive
from nas.strategies.ledger import Ledger
from nas.strategies.problem import Candidate, Problem
from nas.trial import Proposal, Trial, TrialState

_FIRST = 8  # proposals before the model is asked, in a study of 32 trials and more
_LEAST = 3  # accuracies that a model is made of
_LARGE = 0.3  # share of the sample, by MACs, that the first proposals come from
_ELITE = 32  # networks from which others are bred
_FRESH = 256  # of the sample, as parents beside them
_BRED = 512  # children of a generation
_GENERATIONS = 2
_JUDGED = 1024  # networks of largest expected reward whose doubt is looked at, too
_FAILED, _STOPPED = 0.5, 0.25  # which quantile of the others' accuracies stands for theirs
_TRIES = 256  # of the judged that may turn out to be known
_BATCHED_FROM = 500  # proposals from which on a study with many workers gets its proposals in batches
_WORKERS_OF_ONE = 32  # running trials for each proposal of a batch beyond the first; so below it nothing is a batch
_BELIEVED = 300  # running trials, the last ones, that the model takes to come out as expected


@final
class Surrogate:
    """Proposes the network within the budget whose training promises the largest gain in reward.

    The first few networks are random among the larger ones within the budget. Then a Gaussian process of accuracy
    is fitted to what was told, a network that is still training is taken to come out as expected (so that
    several workers do not ask for the same thing), and of all networks of a small space, or of those bred from the
    best of a large one, the one with the largest expected improvement is proposed. What a failed trial would have
    reached is taken to be the median of the others, and what one that was stopped early, their lower quartile: it was
    in their worse half.

    From 500 proposals on, and for 32 workers and more, proposals are made several at a time, one for each 32 running
    trials and one more: each as it would follow the others of its batch, but from candidates bred once for all.

    With several objectives the gain is that of the front's hypervolume up to the budget, in accuracy.
    """

    def __init__(self, problem: Problem, *, seed: int, trials: int) -> None:
        self._problem = problem
        self._ledger = Ledger(problem)
        self._seed = seed
        self._first = min(_FIRST, max(4, trials // 4))
        self._candidates = Candidates(problem, self._rng())
        self._describe = Descriptor.over(problem.space.genes, self._candidates.costs, self._candidates.sample)
        everything = self._candidates.everything
        self._sample = self._described(self._candidates.sample if everything is None else everything)
        self._aims = Aims.over(self._sample.costs, self._highest())
        self._model = AccuracyModel()
        self._running: dict[str, Candidate] = {}  # by architecture id, in the order of proposing
        self._told = Growing(self._sample.only(slice(0)))
        self._accuracies: list[float] = []  # NaN: none
        self._heard = 0  # of them, those that are there
        self._batch: list[NDArray[np.intp]] = []  # genotypes to be proposed before the model is asked again
        self._quantiles: list[float] = []  # of the others' accuracies, which stands for one that is not there
        self._seen: set[bytes] = set()  # keys of what was proposed

    @property
    def finished(self) -> bool:
        """Whether there is no network left to propose."""
        return self._ledger.finished

    def ask(self) -> Proposal | None:
        """The next proposal; None: finished."""
        if self.finished:
            return None
        candidate = self._next() if self._learnt else self._first_of(self._new(self._large()[:_TRIES]))
        if candidate is None and (drawn := self._ledger.fresh(Random(f"{self._seed}/{len(self._ledger)}"))):
            candidate = self._first_of(self._rows([drawn]))
        return self._propose(candidate)

    def recall(self, proposal: Proposal) -> bool:
        """Take up an earlier proposal: all that finding it would have left behind is what the model learnt on the way.

        Everything else that a proposal depends on follows from the seed, the proposals and the outcomes. Only the
        rest of a batch has to be found anew.
        """
        if self._batch or self._batch_size > 1:
            return self.ask() == proposal
        try:
            candidate = self._problem.candidate(self._problem.space.encode(proposal.architecture))
        except SpaceError:
            return False
        if self.finished or not self._ledger.admits(candidate):
            return False
        if self._learnt and self._model.is_due(len(self._told)):
            self._learn()
        return self._propose(candidate) == proposal

    def tell(self, trial: Trial) -> None:
        """Take up the outcome; the model hears of it when it is asked next."""
        candidate = self._ledger.candidate(trial)
        self._running.pop(candidate.architecture.id, None)  # another study's trial was not under way here
        self._quantiles.append(_STOPPED if trial.state is TrialState.STOPPED else _FAILED)
        accuracy = None if self._ledger.reward(trial) is None else trial.accuracy
        self._accuracies.append(np.nan if accuracy is None else accuracy)
        self._heard += accuracy is not None
        self._told.append(self._described(self._rows([candidate])))

    @property
    def _learnt(self) -> bool:
        """Whether the model has enough to go by."""
        return self._heard >= _LEAST and len(self._ledger) >= self._first

    @property
    def _batch_size(self) -> int:
        """How many proposals the model is asked for at a time."""
        return 1 if len(self._ledger) < _BATCHED_FROM else 1 + len(self._running) // _WORKERS_OF_ONE

    def _propose(self, candidate: Candidate | None) -> Proposal | None:
        if candidate is not None:
            self._running[candidate.architecture.id] = candidate
            self._seen.update(self._keys(self._rows([candidate])))
        return self._ledger.propose(candidate)

    def _rng(self) -> np.random.Generator:
        """A generator of its own for each proposal, so that none depends on how another was found."""
        return np.random.default_rng(Random(f"{self._seed}/{len(self._ledger)}/candidates").getrandbits(64))

    def _first_of(self, genotypes: Genotypes) -> Candidate | None:
        """The first of the genotypes that may be proposed."""
        for row in genotypes[:_TRIES]:
            candidate = self._problem.candidate(self._problem.space.canonical(tuple(map(int, row))))
            if self._ledger.admits(candidate):
                return candidate
        return None

    def _new(self, genotypes: Genotypes) -> Genotypes:
        """Those that were not proposed, as far as their keys tell: far sooner than by making networks of them."""
        return genotypes[[key not in self._seen for key in self._keys(genotypes)]]

    def _large(self) -> Genotypes:
        """Some of the larger networks of the sample; any where a budget says nothing about size."""
        sample, rng = self._candidates.sample, self._rng()
        if not self._problem.explore_over_budget and not self._problem.front:
            macs = self._candidates.costs.macs(sample)
            sample = sample[macs >= np.quantile(macs, 1 - _LARGE)]
        return sample[rng.permutation(len(sample))]

    def _next(self) -> Candidate | None:
        """The next of the batch that is under way, or the first of a new one."""
        while self._batch:
            if (candidate := self._first_of(self._batch.pop(0)[None])) is not None:
                return candidate
        size = self._batch_size
        promising = self._promising(size)
        if size > 1:
            self._batch = list(promising[1:size])
        return self._first_of(promising)

    def _promising(self, together: int) -> Genotypes:
        """Candidates by expected improvement, the largest first; `together` first ones that are to be tried at once."""
        known = self._learn()
        best = self._aims.best(known.costs, known.rewards(self._model))
        pool = self._pool(known, best)
        pool = pool.only([key not in self._seen for key in self._keys(pool.genotypes)])
        shortlist = pool if len(pool.genotypes) <= _JUDGED else pool.only(self._order(pool, best)[:_JUDGED])
        if together > 1:
            return self._apart(shortlist.only(self._order(shortlist, best)[: _JUDGED // 2]), best, together)
        expected, doubt = self._model.mean_and_std(shortlist.descriptors)
        rewards = shortlist.offsets + shortlist.slopes * expected
        gain = self._aims.gain(shortlist.costs, rewards, doubt * shortlist.slopes, best)
        return shortlist.genotypes[np.argsort(-gain, kind="stable")]

    def _apart(self, shortlist: Described, best: Values, count: int) -> Genotypes:
        """The `count` candidates to try at once: each the most promising if those before it came out as expected."""
        expected, covariance, noise = self._model.mean_and_covariance(shortlist.descriptors)
        rewards = shortlist.offsets + shortlist.slopes * expected
        chosen = believing(
            lambda doubt: self._aims.gain(shortlist.costs, rewards, doubt * shortlist.slopes, best),
            covariance,
            noise,
            min(count, len(expected)),
        )
        return shortlist.genotypes[chosen]

    def _learn(self) -> Described:
        """Fit the model to what was told, or the instructive part of it, which is given."""
        accuracies = self._known_accuracies()
        chosen = instructive(accuracies)
        known = self._told.only(chosen)
        running = self._describe(self._rows(list(self._running.values())[-_BELIEVED:]))
        self._model.fit(known.descriptors, accuracies[chosen], running)
        return known

    def _known_accuracies(self) -> Values:
        """Of what was told (N,); of trials without an accuracy, what stands for it."""
        accuracies = np.array(self._accuracies)
        missing = np.isnan(accuracies)
        if missing.any():
            accuracies[missing] = np.quantile(accuracies[~missing], np.array(self._quantiles)[missing])
        return accuracies

    def _pool(self, known: Described, best: Values) -> Described:
        """The networks among which the choice is: all of a small space, or those bred from the best known ones."""
        if self._candidates.everything is not None:
            return self._sample
        rng = self._rng()
        pool = join([known, self._sample.only(rng.permutation(len(self._sample.genotypes))[:_FRESH])])
        for _ in range(_GENERATIONS):
            elite = pool.only(self._order(pool, best)[:_ELITE])
            pool = join([elite, self._described(self._candidates.bred(elite.genotypes, _BRED, rng))])
        return pool

    def _order(self, pool: Described, best: Values) -> NDArray[np.intp]:
        """The networks by how far they are expected to be ahead, the farthest first."""
        return np.argsort(-self._aims.promise(pool.costs, pool.rewards(self._model), best), kind="stable")

    def _described(self, genotypes: Genotypes) -> Described:
        problem, costs = self._problem, self._candidates.costs
        latencies = costs.latency_ms(genotypes)
        wanted = np.array([costs.of(name)(genotypes) for name in problem.front]).reshape(-1, len(genotypes)).T
        if problem.front:  # accuracy is an objective of its own, latency another
            none, all_right = np.zeros_like(latencies), np.ones_like(latencies)
        else:
            none, all_right = (
                np.array([problem.reward(accuracy, latency_ms) for latency_ms in latencies.tolist()])
                for accuracy in (0.0, 1.0)
            )
        return Described(genotypes, self._describe(genotypes), wanted, none, all_right - none)

    def _highest(self) -> Values:
        """Up to which costs the front is wanted: latency up to the budget, others as the sample has them."""
        highest: Values = self._sample.costs.max(0, initial=0.0)
        if not self._problem.explore_over_budget:
            highest = np.where([cost == "latency" for cost in self._problem.front], self._problem.budget_ms, highest)
        return highest

    def _keys(self, genotypes: Genotypes) -> list[bytes]:
        """One for each genotype; equal if they differ in genes of absent layers alone."""
        present = presence(self._problem.space.genes, genotypes)
        return [row.tobytes() for row in np.where(present, genotypes, -1)]

    def _rows(self, candidates: Iterable[Candidate]) -> Genotypes:
        rows = [candidate.genotype for candidate in candidates]
        return np.array(rows, np.intp).reshape(len(rows), len(self._problem.space.genes))
