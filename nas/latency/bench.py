"""Sessions of ONNX Runtime, timed: one reading of an op or of a whole network, batch 1."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter_ns, thread_time_ns

import numpy as np

from nas.architecture import Architecture
from nas.latency.graph import EMPTY, Repeating, network_graph, op_graph
from nas.latency.host import FLOAT, HostSetup
from nas.latency.journal import Item
from nas.latency.session import session
from nas.latency.watch import Load, Reading
from nas.layers import Layer, lower

WARM_UP = 3
"""Runs before the clock counts: they fill caches and the runtime's memory arena."""

MIN_RUNS, MAX_RUNS = 7, 101

SENTINEL = Layer("conv", 64, 64, 28, 3, act="relu")
SENTINEL_RUNS, CALL_RUNS = 5, 101


@dataclass(frozen=True, slots=True)
class Effort:
    """How often ops and networks are loaded, the time of a load's counted runs, and how many networks a space needs."""

    op_passes: int
    op_ms: float
    network_passes: int
    network_ms: float
    networks: int  # of the space
    pruned: int  # of the space, with free widths

    def passes(self, item: Item) -> int:
        """How many readings of the item are taken."""
        return self.op_passes if isinstance(item, Layer) else self.network_passes


FULL = Effort(op_passes=3, op_ms=8.0, network_passes=9, network_ms=40.0, networks=200, pruned=100)
QUICK = Effort(op_passes=1, op_ms=4.0, network_passes=5, network_ms=40.0, networks=70, pruned=20)


@dataclass(frozen=True)
class Bench:
    """A way in which this machine runs networks; the sentinel and the load say how quiet the machine is."""

    setup: HostSetup
    effort: Effort
    sentinel_ms: Callable[[], float]
    call_ms: float  # what a call of the runtime takes
    load: Load = field(default_factory=Load)

    def read(self, item: Item) -> Reading:
        """A new session of the op alone, without its call, or of the whole network with random weights."""
        return self.reading(lambda: self.op_ms([item]) if isinstance(item, Layer) else self.network_ms(lower(item)))

    def reading(self, read_ms: Callable[[], float]) -> Reading:
        """What is read, beside the sentinel."""
        sentinel_ms = self.sentinel_ms()
        ms = read_ms()
        return Reading(ms, sentinel_ms, self.load.now())

    def turns(self, network: Architecture, count: int, ms: float) -> list[tuple[float, float]]:
        """A new session of a network runs for about `ms`, then the sentinel, `count` times: milliseconds of both."""
        run_ms = _stopwatch(network_graph(lower(network), _weights(), self.setup.dtype), self.setup.threads)
        runs = _runs(run_ms, ms)
        return [(_fast_ms(run_ms, runs), self.sentinel_ms()) for _ in range(count)]

    def op_ms(self, layers: Sequence[Layer]) -> float:
        """One op, or the ops of one block, as a graph of its own."""
        dtype = self.setup.dtype
        graph = op_graph(layers[0], _weights(), dtype) if len(layers) == 1 else network_graph(layers, _weights(), dtype)
        return max(self._session_ms(graph, self.effort.op_ms) - self.call_ms, 0.0)

    def network_ms(self, layers: Sequence[Layer]) -> float:
        """A whole network."""
        return self._session_ms(network_graph(layers, _weights(), self.setup.dtype), self.effort.network_ms)

    def _session_ms(self, model: bytes, budget_ms: float) -> float:
        run_ms = _stopwatch(model, self.setup.threads)
        return _fast_ms(run_ms, _runs(run_ms, budget_ms))


def open_bench(setup: HostSetup = FLOAT, effort: Effort = FULL) -> Bench:
    """The bench with its sentinel loaded."""
    sentinel = _stopwatch(op_graph(SENTINEL, _weights()), setup.threads)
    call = _stopwatch(op_graph(EMPTY, _weights(), setup.dtype), setup.threads)
    return Bench(setup, effort, lambda: _fast_ms(sentinel, SENTINEL_RUNS), _fast_ms(call, CALL_RUNS))


def _weights() -> Repeating:
    return Repeating(np.random.PCG64(0))


def _runs(run_ms: Callable[[], float], budget_ms: float) -> int:
    """How many fill so many milliseconds, within bounds."""
    return int(np.clip(budget_ms / max(run_ms(), 1e-3), MIN_RUNS, MAX_RUNS))


def _fast_ms(run_ms: Callable[[], float], runs: int) -> float:
    """The lower decile of some runs: interference only ever adds, and comes and goes within a session."""
    return float(np.quantile([run_ms() for _ in range(runs)], 0.1))


def _stopwatch(model: bytes, threads: int) -> Callable[[], float]:
    """A new session of the model, warmed up; each call is one run and returns its milliseconds.

    With one thread its CPU time, so that what other processes take on a busy machine is not counted; with more, the
    clock on the wall, since the runtime's other threads have clocks of their own.
    """
    loaded = session(model, threads)
    rng = np.random.default_rng(0)
    feed = {i.name: _values(i.type, i.shape, rng) for i in loaded.get_inputs()}
    clock = thread_time_ns if threads == 1 else perf_counter_ns

    def run_ms() -> float:
        start = clock()
        loaded.run(None, feed)
        return (clock() - start) / 1e6

    for _ in range(WARM_UP):
        run_ms()
    return run_ms


def _values(type_: str, shape: list[int], rng: np.random.Generator) -> np.ndarray:
    if type_ == "tensor(uint8)":
        return rng.integers(0, 256, shape, np.uint8)
    return rng.normal(size=shape).astype(np.float32)
