"""`StepCuts`: which cuts of a network make NetAdapt's next step, one width at a time or several together."""

from collections.abc import Callable, Sequence
from typing import final

from nas.architecture import Architecture
from nas.strategies.combine import Option, combinations
from nas.strategies.cuts import Cut, Cutter, Widths
from nas.strategies.netadapt_settings import RULES, NetAdaptSettings
from nas.strategies.path_latency import PathLatency

_HALVINGS = 10  # of a step that no single width can make
_ABOVE, _BELOW = 0.01, 0.03  # of the budget, by which what was measured may miss it
_PARTS = (0.125, 0.25, 0.5)  # of a step, by single cuts that are made together
_RETRIES = 4  # of last cuts that were faster than expected by more than that
_LEAST_STEP = 0.25  # of the first one: steps that decay for ever would end before a small budget


@final
class StepCuts:
    """Cuts by a step of the rule, and of the last step by what is left to the budget.

    Cuts made together that should meet the budget are measured first, where that is possible: `latency` learns from
    it, and they are made again if they miss it, which would cost an iteration more, or leave much of it unused; then
    only those that do neither are left. `retries` says how often they may still be made again.
    """

    def __init__(
        self,
        cutter: Cutter,
        settings: NetAdaptSettings,
        latency_ms: Callable[[Architecture], float],
        measured_ms: Callable[[Architecture], float] | None,
    ) -> None:
        self._cutter, self._settings, self._rule = cutter, settings, RULES[settings.rule]
        self.latency = PathLatency(latency_ms, measured_ms)
        above = 0.0 if measured_ms is None else _ABOVE
        self._least_ms, self._most_ms = settings.budget_ms * (1 - _BELOW), settings.budget_ms * (1 + above)
        self.retries = 0 if measured_ms is None else _RETRIES
        self.combines = settings.rounds[0].epochs == 0 and len(settings.rounds) > 1
        self._target_ms = 0.0  # of this step, as predicted

    def meets(self, latency_ms: float) -> bool:
        """Whether a network of that latency meets the budget."""
        return latency_ms <= self._most_ms

    def wastes(self, latency_ms: float) -> bool:
        """Whether it leaves much of the budget unused."""
        return latency_ms < self._least_ms

    def single(self, network: Architecture, widths: Widths, steps: int, wasteful: bool) -> list[Cut]:
        """Those of one width that make the next step after `steps`; a smaller one where no width can make it alone.

        A cut that would leave much of the budget unused is proposed only where there is no other, if it may be
        `wasteful` at all.
        """
        delta = self._rule.delta if self._settings.delta is None else self._settings.delta
        step_ms = delta * self._cutter.latency_ms(self._cutter.seed) * max(self._rule.decay**steps, _LEAST_STEP)
        now_ms = self._cutter.latency_ms(network)
        for _ in range(_HALVINGS):
            self._target_ms = max(now_ms - step_ms, self.latency.target(self._settings.budget_ms))
            shares = _PARTS if self.combines else (1.0,)
            targets = [now_ms - share * (now_ms - self._target_ms) for share in shares]
            cuts = [cut for target in targets for cut in self._cutter.within(widths, target)]
            if cuts:
                near = [cut for cut in cuts if not self.wastes(self.latency.expected(cut.latency_ms))]
                others = cuts if wasteful else []
                return list({cut.architecture: cut for cut in near or others}.values())
            step_ms /= 2
        return []

    def together(self, network: Architecture, widths: Widths, judged: Sequence[tuple[Cut, float]]) -> list[Cut]:
        """Cuts made together; `judged` are single ones and about how much the loss rises by each."""
        now_ms = self._cutter.latency_ms(network)
        options = [
            Option(index, cut, now_ms - cut.latency_ms, loss)
            for cut, loss in judged
            for index, channels in cut.widths.items()
            if widths.get(index) != channels
        ]
        count = self._settings.rounds[1].count or 1
        cuts = combinations(self._cutter, widths, options, self._target_ms, count)
        while cuts and self.retries and self._should_meet(cuts[0]):
            if self._uses_the_budget(cuts[0]):
                return [cuts[0], *filter(self._uses_the_budget, cuts[1:])]
            self.retries -= 1
            self._target_ms = self.latency.target(self._settings.budget_ms)
            before, cuts = cuts, combinations(self._cutter, widths, options, self._target_ms, count)
            if cuts[0].architecture == before[0].architecture:
                break
        return cuts

    def _uses_the_budget(self, cut: Cut) -> bool:
        """Whether it meets the budget, and leaves little of it unused, as measured."""
        measured_ms = self.latency.judge(cut.architecture)
        return self.meets(measured_ms) and not self.wastes(measured_ms)

    def _should_meet(self, cut: Cut) -> bool:
        """Whether it should meet the budget, and can be measured before anything is spent on it."""
        return self.latency.measures and self.meets(self.latency.expected(cut.latency_ms))
