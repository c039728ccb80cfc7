"""Whole networks measured in turns with a small op, and remembered: for decisions that a resumed study makes again."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import final

from nas.architecture import Architecture
from nas.errors import LatencyError
from nas.latency.host import HostSetup, host_setup

SESSIONS, TURNS, TURN_MS = 24, 4, 10.0
"""Sessions, which lie well or badly in memory, and turns of each of them, which other processes may disturb."""

_ONE_IN = 32
"""One turn of so many counts, the fastest ones: what other processes do to caches only adds, and comes and goes."""

_SENTINEL = "sentinel"


def measured_latency(target: str, file: Path) -> "MeasuredLatency | None":
    """Milliseconds of whole networks on this machine; None for a target that cannot be measured from here."""
    setup = host_setup(target)
    return None if setup is None else MeasuredLatency(setup, file)


@final
class MeasuredLatency:
    """Milliseconds, at the speed that the machine had at first.

    That speed is told by a small op, which fits into any cache: a larger network would not do. While other programs
    trained on the other core, one of 9 MB took 3 to 25 % longer, networks of a third to two thirds of its latency .4
    and .7 %, and the op .2 %. What was measured once stays as it is, in `file`.

    Raises:
        LatencyError: the file cannot be written.
    """

    def __init__(self, setup: HostSetup, file: Path) -> None:
        self._setup, self._file = setup, file
        self._known: dict[str, float] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}

    def __call__(self, architecture: Architecture) -> float:
        """Milliseconds."""
        if architecture.id not in self._known:
            self._known[architecture.id] = self.anew(architecture)
            self._keep()
        return self._known[architecture.id]

    def anew(self, architecture: Architecture) -> float:
        """Another reading, in milliseconds, that is not remembered."""
        ms, sentinel_ms = _reading(architecture, self._setup)
        return ms * self._known.setdefault(_SENTINEL, sentinel_ms) / sentinel_ms

    def _keep(self) -> None:
        partial = self._file.with_suffix(".partial")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(json.dumps(self._known, indent=1), encoding="utf-8")
            partial.replace(self._file)
        except OSError as error:
            raise LatencyError(f"{self._file}: not written: {error.strerror}") from None


def _reading(architecture: Architecture, setup: HostSetup) -> tuple[float, float]:
    """Milliseconds of a network and of the sentinel, both from their fastest turns."""
    from nas.latency.bench import open_bench  # noqa: PLC0415 - onnxruntime

    bench = open_bench(setup)
    turns = [turn for _ in range(SESSIONS) for turn in bench.turns(architecture, TURNS, TURN_MS)]
    ours, sentinels = zip(*turns, strict=True)
    return _fast_ms(ours), _fast_ms(sentinels)


def _fast_ms(turns: Sequence[float]) -> float:
    return fmean(sorted(turns)[: max(1, len(turns) // _ONE_IN)])
