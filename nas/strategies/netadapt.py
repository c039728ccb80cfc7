"""NetAdapt: cut one width after the other, always where it costs least accuracy, until the budget is met.

Yang et al., NetAdapt, 1804.03230, algorithm 1; the other rule is that of MobileNetV3, 1905.02244, section 4.2.
"""

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import final

from nas.architecture import Architecture
from nas.network.widths import Width
from nas.strategies.cuts import Cut, Cutter, Widths
from nas.strategies.netadapt_settings import RULES, NetAdaptSettings
from nas.strategies.reachable import require_reachable
from nas.strategies.step_cuts import StepCuts
from nas.trial import Proposal, Trial, TrialState


@dataclass(frozen=True, slots=True)
class Step:
    """A network that was chosen; the first one is the seed. `holder` is the trial whose weights it has or inherits."""

    number: int
    architecture: Architecture
    latency_ms: float
    accuracy: float
    holder: int
    cut: Width | None = None
    channels: int | None = None  # that were left of the width
    others: int = 0  # widths that were cut with it
    proposals: int = 0  # among which it was chosen
    widths: Widths = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A proposal on its way; `cut` is None for the seed and the last training."""

    proposal: Proposal
    cut: Cut | None = None


@final
class NetAdapt:
    """Fills `nas.trial.Strategy`; its proposals name the trial whose weights they inherit.

    The first proposal is the seed. Those of an iteration may run at the same time; the next iteration begins when all
    have been told. A proposal that failed takes no part; when all have failed, the strategy is finished and
    `failure` says why.

    `latency_ms` predicts. With `measured_ms` the seed and the winner of each iteration are measured, and of cuts made
    together the first ones that should meet the budget, before they are trained: their errors correct the predictions
    that follow, and what meets the budget is what was measured.

    Raises:
        BudgetError: the seed with all widths at one step misses the budget; the message has its latency, measured
            where that is possible.
    """

    def __init__(
        self,
        seed: Architecture,
        settings: NetAdaptSettings,
        latency_ms: Callable[[Architecture], float],
        target: str = "the target",
        measured_ms: Callable[[Architecture], float] | None = None,
    ) -> None:
        self._settings = settings
        self._cutter = Cutter(seed, latency_ms, RULES[settings.rule].kinds, settings.step)
        self._cuts = StepCuts(self._cutter, settings, latency_ms, measured_ms)
        require_reachable(self._cutter, settings, target, measured_ms or latency_ms)
        self._queue = deque([_Asked(Proposal(seed, settings.seed_epochs))])
        self._running: dict[int, _Asked] = {}  # by trial number
        self._heard: dict[int, Trial] = {}
        self._count = 0  # proposals asked for
        self._round = 0
        self._entered = 0  # proposals of this iteration
        self._ending = False
        self._path: list[Step] = []
        self._tried: set[Architecture] = set()  # cuts of the last network of the path that were judged by accuracy
        self._taken_back: list[Step] = []  # of them, those that had won and are faster than the budget asks for
        self.final: Trial | None = None  # the last training
        self.failure: str | None = None

    @property
    def path(self) -> tuple[Step, ...]:
        """The seed and the winner of each iteration so far."""
        return tuple(self._path)

    @property
    def finished(self) -> bool:
        """Whether the budget is met and the last training done, or nothing more can be done."""
        return self.failure is not None or self.final is not None or (self._ending and not self._settings.final_epochs)

    @property
    def needed(self) -> frozenset[int]:
        """Trials whose weights may still be asked for, or are worth keeping: of the path, and of what is compared."""
        waiting = [*self._running.values(), *self._queue]
        parents = {asked.proposal.parent for asked in waiting if asked.proposal.parent is not None}
        last = {self.final.number} if self.final else set()
        holders = {step.holder for step in (*self._path, *self._taken_back)}
        return frozenset(holders | self._running.keys() | parents | last)

    def base(self, number: int) -> Step | None:
        """The network of which the running trial `number` is a cut; None for the seed and the last training."""
        asked = self._running.get(number)
        return self._path[-1] if asked is not None and asked.cut is not None else None

    def ask(self) -> Proposal | None:
        """The next proposal; None: finished, or the others of the iteration have to be told first."""
        if not self._queue:
            return None
        asked = self._running[self._count] = self._queue.popleft()
        self._count += 1
        return asked.proposal

    def tell(self, trial: Trial) -> None:
        """Hear of a trial; after the last one of a round it is decided who goes on, or who has won."""
        self._heard[trial.number] = trial
        if self._queue or self._heard.keys() != self._running.keys():
            return
        told = [(self._running[number].cut, self._heard[number]) for number in sorted(self._heard)]
        self._running, self._heard = {}, {}
        if self._ending:
            self.final = trial
        elif all(not _valid(heard) for _, heard in told):
            self.failure = _all_failed(len(self._path), [heard for _, heard in told])
        elif not self._path:
            self._begin(trial)
        else:
            self._decide([(cut, heard) for cut, heard in told if cut is not None and _valid(heard)])

    def _begin(self, trial: Trial) -> None:
        """The seed was judged."""
        seed = self._cutter.seed
        self._path.append(Step(trial.number, seed, self._cuts.latency.push(seed), _accuracy(trial), trial.number))
        self._iterate()

    def _iterate(self) -> None:
        """Propose the next iteration, or the last training."""
        base, settings = self._path[-1], self._settings
        if self._cuts.meets(base.latency_ms):
            self._ending = True
            if settings.final_epochs:
                parent = None if settings.from_scratch else base.holder
                self._queue.append(_Asked(Proposal(base.architecture, settings.final_epochs, parent)))
            return
        cuts = self._cuts.single(base.architecture, base.widths, len(self._path) - 1, not self._taken_back)
        if not self._cuts.combines:
            cuts = self._untried(cuts)
        if not cuts and self._taken_back:
            self._restore()
            return
        if not cuts:
            self.failure = (
                f"no single width of the network of trial {base.number} can be cut to make it faster than "
                f"{base.latency_ms:.4g} ms; {settings.budget_ms:g} ms are not reached"
            )
        self._round, self._entered = 0, len(cuts)
        self._propose([(cut, base.holder) for cut in cuts])

    def _propose(self, cuts: Sequence[tuple[Cut, int]]) -> None:
        epochs = self._settings.rounds[self._round].epochs
        self._queue.extend(_Asked(Proposal(cut.architecture, epochs, parent), cut) for cut, parent in cuts)

    def _decide(self, told: list[tuple[Cut, Trial]]) -> None:
        """After a round: the next round of the best, or the winner and the next iteration."""
        base = self._path[-1]
        self._round += 1
        if self._round == 1 and self._cuts.combines:
            judged = [(cut, trial.outcome.metrics["loss_change"]) for cut, trial in told if trial.outcome is not None]
            if cuts := self._untried(self._cuts.together(base.architecture, base.widths, judged)):
                self._propose([(cut, base.holder) for cut in cuts])
            else:
                self._restore()
            return
        ranked = sorted(told, key=lambda pair: self._merit(*pair), reverse=True)
        if self._round < len(self._settings.rounds):
            count = self._settings.rounds[self._round].count
            self._propose([(cut, _holder(trial, base)) for cut, trial in ranked[:count]])
            return
        cut, trial = ranked[0]
        self._path.append(
            Step(
                trial.number,
                cut.architecture,
                self._cuts.latency.push(cut.architecture),
                _accuracy(trial),
                _holder(trial, base),
                cut.width,
                cut.channels,
                cut.others,
                self._entered,
                cut.widths,
            )
        )
        if self._cuts.retries and self._cuts.wastes(self._path[-1].latency_ms):
            self._cuts.retries -= 1
            self._taken_back.append(self._path.pop())
            self._cuts.latency.pop()
        else:
            self._tried, self._taken_back = set(), []
        self._iterate()

    def _untried(self, cuts: Sequence[Cut]) -> list[Cut]:
        """Those that are no network that was tried before the last one was taken back."""
        found = [cut for cut in cuts if cut.architecture not in self._tried]
        self._tried |= {cut.architecture for cut in found}
        return found

    def _restore(self) -> None:
        """There is no cut that uses more of the budget: go on with the most accurate one that was taken back."""
        best = max(self._taken_back, key=lambda step: step.accuracy)
        self._path.append(best)
        self._cuts.latency.push(best.architecture)
        self._cuts.retries, self._taken_back = 0, []
        self._iterate()

    def _merit(self, cut: Cut, trial: Trial) -> tuple[float, float]:
        """Larger is better; of equal ones the faster.

        Netadapt takes the most accurate by its loss on the held-out images: on so few it tells more than the share
        of them that is right.
        """
        assert trial.outcome is not None
        base, metrics = self._path[-1], trial.outcome.metrics
        estimate = metrics.get("loss_change")
        if self._settings.rule == "mobilenet_v3":
            change = _accuracy(trial) - base.accuracy if estimate is None else -estimate
            merit = change / (self._cutter.latency_ms(base.architecture) - cut.latency_ms)
        elif estimate is None:
            merit = -metrics["loss"] if "loss" in metrics else _accuracy(trial)
        else:
            merit = -estimate
        return merit, -cut.latency_ms


def _holder(trial: Trial, base: Step) -> int:
    """Whose weights the network that `trial` judged has: those of its own training, or what it inherited from."""
    return trial.number if trial.proposal.epochs else base.holder


def _valid(trial: Trial) -> bool:
    """Whether it has a finite accuracy, or an estimate in its place."""
    if trial.state is not TrialState.COMPLETE or trial.outcome is None:
        return False
    judged = trial.outcome.metrics.get("accuracy", trial.outcome.metrics.get("loss_change", math.nan))
    return math.isfinite(judged)


def _accuracy(trial: Trial) -> float:
    assert trial.accuracy is not None
    return trial.accuracy


def _all_failed(iteration: int, trials: Sequence[Trial]) -> str:
    errors = [trial.outcome.error for trial in trials if trial.outcome and trial.outcome.error]
    what = f"all {len(trials)} proposals of iteration {iteration} failed" if iteration else "the seed failed"
    return f"{what}: {errors[-1] if errors else 'no accuracy'}"
