"""Whole networks measured in turns with one of them, and remembered: for decisions that a resumed study makes again."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import final

from nas.architecture import Architecture
from nas.errors import LatencyError
from nas.latency.host import HostSetup, host_setup

SESSIONS, TURNS, TURN_MS = 24, 4, 10.0
"""Sessions, which lie well or badly in memory, and turns of each of them, which other processes may disturb."""

_ONE_IN = 32
"""One turn of so many counts, the fastest ones: other processes take caches and slow a large network more than a small
one. Of 12 ratios on a busy machine the deviation was 0.5 %; of those by the fastest third 0.8 %, and 0.9 % lower."""


def measured_latency(target: str, reference: Architecture, file: Path) -> Callable[[Architecture], float] | None:
    """Milliseconds of whole networks on this machine; None for a target that cannot be measured from here."""
    setup = host_setup(target)
    return None if setup is None else MeasuredLatency(setup, reference, file)


@final
class MeasuredLatency:
    """Milliseconds by the reference: what it took at first, times the ratio in sessions side by side.

    So a machine that is slower for a while slows both. What was measured once stays as it is, in `file`.

    Raises:
        LatencyError: the file cannot be written.
    """

    def __init__(self, setup: HostSetup, reference: Architecture, file: Path) -> None:
        self._setup, self._reference, self._file = setup, reference, file
        self._known: dict[str, float] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}

    def __call__(self, architecture: Architecture) -> float:
        """Milliseconds."""
        if self._reference.id not in self._known:
            from nas.latency.measure import measure_network  # noqa: PLC0415 - onnxruntime

            self._keep(self._reference, measure_network(self._reference, self._setup))
        if architecture.id not in self._known:
            reference_ms = self._known[self._reference.id]
            self._keep(architecture, reference_ms * ratio(architecture, self._reference, self._setup))
        return self._known[architecture.id]

    def _keep(self, architecture: Architecture, ms: float) -> None:
        self._known[architecture.id] = ms
        partial = self._file.with_suffix(".partial")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(json.dumps(self._known, indent=1), encoding="utf-8")
            partial.replace(self._file)
        except OSError as error:
            raise LatencyError(f"{self._file}: not written: {error.strerror}") from None


def ratio(architecture: Architecture, reference: Architecture, setup: HostSetup) -> float:
    """Latency of a network as a multiple of the reference's, both from their fastest turns."""
    from nas.latency.bench import open_bench  # noqa: PLC0415 - onnxruntime

    bench = open_bench(setup)
    turns = [ms for _ in range(SESSIONS) for ms in bench.turns((architecture, reference), TURNS, TURN_MS)]
    ours, theirs = zip(*turns, strict=True)
    return _fast_ms(ours) / _fast_ms(theirs)


def _fast_ms(turns: Sequence[float]) -> float:
    return fmean(sorted(turns)[: max(1, len(turns) // _ONE_IN)])
