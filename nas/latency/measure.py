"""Measure ops and whole networks on this machine with ONNX Runtime, batch 1."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from time import perf_counter_ns, thread_time_ns

import numpy as np
import onnxruntime as ort

from nas.architecture import Architecture
from nas.errors import LatencyError
from nas.latency.calibration import require_networks
from nas.latency.graph import EMPTY, network_graph, op_graph
from nas.latency.host import FLOAT, HOST, HostSetup, host_setup
from nas.latency.host_table import HostTable, open_host_table
from nas.latency.model import OpSumModel
from nas.latency.table import Row, as_deployed
from nas.latency.targets import find_folder, load_folder, load_target
from nas.latency.validation import Validation
from nas.latency.watch import Plan, Reading, Sentinel, watched
from nas.layers import Layer, lower

WARM_UP = 3
"""Runs before the clock counts: they fill caches and the runtime's memory arena."""

MIN_RUNS, MAX_RUNS = 7, 101

SENTINEL = Layer("conv", 64, 64, 28, 3, act="relu")
SENTINEL_RUNS = 9


@dataclass(frozen=True, slots=True)
class Effort:
    """How often ops and networks are loaded, the time of a load's counted runs, and how many networks a space needs."""

    op_passes: int
    op_ms: float
    network_passes: int
    network_ms: float
    networks: int  # of the space
    pruned: int  # of the space, with free widths
    patience_s: float  # how long a run waits for a quiet machine, all in all


FULL = Effort(op_passes=2, op_ms=10.0, network_passes=3, network_ms=80.0, networks=160, pruned=40, patience_s=240.0)
QUICK = Effort(op_passes=1, op_ms=4.0, network_passes=2, network_ms=50.0, networks=70, pruned=10, patience_s=40.0)


@dataclass(frozen=True)
class Bench:
    """A way in which this machine runs networks, and the sentinel that says when it is quiet."""

    setup: HostSetup
    sentinel: Sentinel

    def session_ms(self, model: bytes, budget_ms: float) -> float:
        """Milliseconds of a run in a new session."""
        run_ms = _stopwatch(model, self.setup.threads)
        return _typical_ms(run_ms, int(np.clip(budget_ms / max(run_ms(), 1e-3), MIN_RUNS, MAX_RUNS)))

    def isolated_ms(self, layers: Sequence[Layer], budget_ms: float) -> float:
        """One op, or the ops of one block, as a graph of its own; what a call of the runtime takes is taken off."""
        rng = np.random.default_rng(0)
        dtype = self.setup.dtype
        graph = op_graph(layers[0], rng, dtype) if len(layers) == 1 else network_graph(layers, rng, dtype)
        return max(self.session_ms(graph, budget_ms) - self.session_ms(op_graph(EMPTY, rng, dtype), 1.0), 0.0)

    def network_ms(self, architecture: Architecture, budget_ms: float) -> float:
        """A whole network with random weights."""
        graph = network_graph(lower(architecture), np.random.default_rng(0), self.setup.dtype)
        return self.session_ms(graph, budget_ms)

    def ops(self, layers: Sequence[Layer], effort: Effort, rng: Random) -> Iterator[Reading[Layer]]:
        """Each op alone."""
        plan = Plan(effort.op_passes, step=8)
        return watched(layers, lambda op: self.isolated_ms([op], effort.op_ms), self.sentinel, plan, rng)

    def networks(
        self, networks: Sequence[Architecture], effort: Effort, rng: Random
    ) -> Iterator[Reading[Architecture]]:
        """Each network as a whole."""
        plan = Plan(effort.network_passes, step=1, group=24)
        return watched(networks, lambda net: self.network_ms(net, effort.network_ms), self.sentinel, plan, rng)


def open_bench(setup: HostSetup = FLOAT, patience_s: float = FULL.patience_s) -> Bench:
    """The bench with its sentinel loaded."""
    run_ms = _stopwatch(op_graph(SENTINEL, np.random.default_rng(0)), setup.threads)
    return Bench(setup, Sentinel(lambda: _typical_ms(run_ms, SENTINEL_RUNS), patience_s))


def measure_network(architecture: Architecture, setup: HostSetup = FLOAT) -> float:
    """Milliseconds of the whole network with random weights, read beside the sentinel as those of a table are."""
    bench = open_bench(setup, QUICK.patience_s)
    (reading,) = bench.networks([architecture], FULL, Random(0))
    return reading.ms


def fill_host_table(
    layers: Iterable[Layer],
    *,
    architectures: Sequence[Architecture],
    setup: HostSetup = FLOAT,
    effort: Effort = FULL,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> OpSumModel:
    """The model of this machine, after measuring those of `layers` that its table lacks.

    `architectures` are whole networks of the same space that the corrections are fitted to and judged on; those that
    were measured before are not measured again. Nine are needed; the more there are, the smaller the error.
    A fill that was interrupted goes on where it stopped. `progress(done, total)` counts ops and networks.

    Raises:
        LatencyError: too few networks, or the cache is not writable.
    """
    wanted = {as_deployed(layer) for layer in layers}
    wanted |= {as_deployed(layer) for network in architectures for layer in lower(network)}
    with open_host_table(setup) as table:
        missing = sorted(wanted - table.rows.keys(), key=str)
        networks = [network for network in dict.fromkeys(architectures) if network not in table.networks]
        require_networks(len(table.networks) + len(networks))
        steps, total = itertools.count(1), len(missing) + len(networks)
        note = ""
        if total:
            bench, slow = open_bench(setup, effort.patience_s), list[Reading[Layer] | Reading[Architecture]]()
            for reading in _fill(table, bench, missing, networks, effort):
                slow.append(reading)
                progress(next(steps), total)
            note = _note(bench.sentinel, _repeat_slow(table, bench, slow, effort), total)
        if not table.calibrated:
            table.calibrate(note)
    return load_folder(table.folder)


def measure_layers(
    target: str,
    layers: Iterable[Layer],
    *,
    effort: Effort = FULL,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> OpSumModel:
    """The model of `target`, which is this machine, after measuring those of `layers` that its table lacks.

    Each is measured alone beside the sentinel and is a row on disk before `progress(done, total)` hears of it; the
    corrections and the recorded error stay as they are. Nothing is measured where nothing is missing.

    Raises:
        LatencyError: the target cannot be measured from here or has no table yet, or the cache is not writable.
    """
    if (setup := host_setup(target)) is None:
        raise LatencyError(f"{target} cannot be measured from here; expected {HOST}, or {HOST}-4t with four threads")
    find_folder(target)
    with open_host_table(setup) as table:
        missing = sorted({as_deployed(layer) for layer in layers} - table.rows.keys(), key=str)
        if missing:
            bench = open_bench(setup, effort.patience_s)
            for done, _ in enumerate(_add_ops(table, bench, missing, effort, Random(len(table.rows))), start=1):
                progress(done, len(missing))
    return load_folder(table.folder)


def validate_host(
    architectures: Sequence[Architecture],
    *,
    setup: HostSetup = FLOAT,
    effort: Effort = FULL,
    store: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Validation:
    """Measure whole networks and compare; those that the table was fitted on are left out.

    Ops that the table lacks are measured first, each alone, as they are before any estimate of this machine that has
    to be right. `store` puts the error and its interval into `device.yaml`.

    Raises:
        LatencyError: this machine has no table, fewer than nine networks, or the cache is not writable.
    """
    load_target(setup.name)
    rng = Random(0)
    with open_host_table(setup) as table:
        networks = [network for network in dict.fromkeys(architectures) if network not in table.networks]
        require_networks(len(networks))
        bench = open_bench(setup, effort.patience_s)
        missing = sorted({as_deployed(op) for net in networks for op in lower(net)} - table.rows.keys(), key=str)
        steps, total = itertools.count(1), len(missing) + len(networks)
        for _ in _add_ops(table, bench, missing, effort, rng):
            progress(next(steps), total)
        readings = []
        for reading in bench.networks(networks, effort, rng):
            readings.append(reading)
            progress(next(steps), total)
        model = load_target(setup.name)
        found = Validation(
            networks=tuple(reading.item for reading in readings),
            estimated_ms=tuple(model.estimate(reading.item).ms for reading in readings),
            measured_ms=tuple(reading.ms for reading in readings),
            disturbed=sum(not bench.sentinel.quiet(reading.sentinel_ms) for reading in readings),
            repeats=bench.sentinel.repeats,
        )
        if store:
            table.keep_validation(found)
    return found


def _fill(
    table: HostTable, bench: Bench, layers: Sequence[Layer], networks: Sequence[Architecture], effort: Effort
) -> Iterator[Reading[Layer] | Reading[Architecture]]:
    """Measure into the table; yields what is on disk."""
    rng = Random(len(table.rows))  # another order after an interruption
    yield from _add_ops(table, bench, layers, effort, rng)
    for network in bench.networks(networks, effort, rng):
        table.add_network(network.item, network.ms, network.spread)
        yield network


def _add_ops(
    table: HostTable, bench: Bench, layers: Sequence[Layer], effort: Effort, rng: Random
) -> Iterator[Reading[Layer]]:
    for op in bench.ops(layers, effort, rng):
        table.add_row(Row(op.item, op.ms, op.spread))
        yield op


def _repeat_slow(
    table: HostTable, bench: Bench, readings: Sequence[Reading[Layer] | Reading[Architecture]], effort: Effort
) -> int:
    """Measure once more, if patience is left, what a quieter machine proved slow; how many stay disturbed."""
    slow = {reading.item for reading in readings if not bench.sentinel.quiet(reading.sentinel_ms)}
    if not slow or bench.sentinel.patience_s <= 0:
        return len(slow)
    layers = [item for item in slow if isinstance(item, Layer)]
    networks = [item for item in slow if isinstance(item, Architecture)]
    table.drop(layers, networks)
    bench.sentinel.repeats += len(slow)
    return sum(not bench.sentinel.quiet(again.sentinel_ms) for again in _fill(table, bench, layers, networks, effort))


def _note(sentinel: Sentinel, disturbed: int, total: int) -> str:
    return (
        f"sentinel {sentinel.best_ms:.4f} ms; {sentinel.repeats} readings taken again;"
        f" {disturbed} of {total} ops and networks kept although the machine was not quiet"
    )


def _typical_ms(run_ms: Callable[[], float], runs: int) -> float:
    """The lower quartile of some runs: interference only ever adds, and comes and goes within a session."""
    return float(np.quantile([run_ms() for _ in range(runs)], 0.25))


def _stopwatch(model: bytes, threads: int) -> Callable[[], float]:
    """A new session of the model, warmed up; each call is one run and returns its milliseconds.

    With one thread its CPU time, so that what other processes take on a busy machine is not counted; with more, the
    clock on the wall, since the runtime's other threads have clocks of their own.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors alone
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    feed = {i.name: _values(i.type, i.shape, rng) for i in session.get_inputs()}
    clock = thread_time_ns if threads == 1 else perf_counter_ns

    def run_ms() -> float:
        start = clock()
        session.run(None, feed)
        return (clock() - start) / 1e6

    for _ in range(WARM_UP):
        run_ms()
    return run_ms


def _values(type_: str, shape: list[int], rng: np.random.Generator) -> np.ndarray:
    if type_ == "tensor(uint8)":
        return rng.integers(0, 256, shape, np.uint8)
    return rng.normal(size=shape).astype(np.float32)
