"""Milliseconds of networks that are cut one after the other: predicted, or measured, and what to expect of the next."""

from collections.abc import Callable
from typing import final

from nas.architecture import Architecture

_FAR = 2.0  # times the usual: further off is noise


@final
class PathLatency:
    """The latency of a path of cuts, and what the next cuts are expected to make of it.

    Where networks can be measured, a cut is expected to save what is predicted times what the last measured one saved
    as a multiple of its prediction: models are wrong by another factor for what is cut than for what is left.
    """

    def __init__(
        self,
        predicted_ms: Callable[[Architecture], float],
        measured_ms: Callable[[Architecture], float] | None = None,
    ) -> None:
        self._predicted_ms, self._measured_ms = predicted_ms, measured_ms
        self._path: list[tuple[float, float]] = []  # predicted, and known
        self._usual = self._slope = 1.0  # of the seed; of the last change that was measured

    @property
    def measures(self) -> bool:
        """Whether networks are measured."""
        return self._measured_ms is not None

    def push(self, network: Architecture) -> float:
        """Go on to a network of the path; what it takes."""
        ms = self.judge(network)
        self._path.append((self._predicted_ms(network), ms))
        return ms

    def pop(self) -> None:
        """Take the last network back; what was learnt from it stays."""
        self._path.pop()

    def judge(self, network: Architecture) -> float:
        """What a network takes; if it is measured, its change from the last one of the path says what to expect."""
        predicted_ms = self._predicted_ms(network)
        if self._measured_ms is None:
            return predicted_ms
        ms = self._measured_ms(network)
        if not self._path:
            self._usual = self._slope = ms / predicted_ms
        elif (saved_ms := self._path[-1][0] - predicted_ms) > 0:
            slope = (self._path[-1][1] - ms) / saved_ms
            self._slope = min(max(slope, self._usual / _FAR), self._usual * _FAR)
        return ms

    def expected(self, predicted_ms: float) -> float:
        """What a cut of the last network of the path should take."""
        before_ms, now_ms = self._path[-1]
        return now_ms - self._slope * (before_ms - predicted_ms) if self.measures else predicted_ms

    def target(self, ms: float) -> float:
        """The prediction for a cut of the last network of the path that should take `ms`."""
        before_ms, now_ms = self._path[-1]
        return before_ms - (now_ms - ms) / self._slope if self.measures else ms
