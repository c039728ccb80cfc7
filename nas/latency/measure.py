"""Measure ops and whole networks on this machine with ONNX Runtime, batch 1, one thread."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from time import thread_time_ns

import numpy as np
import onnxruntime as ort

from nas.architecture import Architecture
from nas.latency.calibration import require_networks
from nas.latency.graph import network_graph, op_graph
from nas.latency.host import HOST, THREADS
from nas.latency.host_table import open_host_table
from nas.latency.model import LatencyModel
from nas.latency.table import Row, as_deployed
from nas.latency.targets import load_target
from nas.layers import Layer, lower

WARM_UP = 3
"""Runs before the clock counts: they fill caches and the runtime's memory arena."""

MIN_RUNS, MAX_RUNS = 11, 101
OP_BUDGET_MS = 25.0
"""Time for the counted runs of one op, within the bounds above."""


def measure_layers(layers: Iterable[Layer], *, on_row: Callable[[Row], None], budget_ms: float = OP_BUDGET_MS) -> None:
    """Measure each op as the runtime fuses it, and hand over each row as soon as it is known.

    What a call of the runtime costs by itself is measured on an op of one value and taken off.
    """
    call_ms, _ = _time(op_graph(Layer("add", 1, 1, 1), np.random.default_rng(0)), budget_ms)
    for layer in layers:
        op = as_deployed(layer)
        ms, spread = _time(op_graph(op, np.random.default_rng(0)), budget_ms)
        on_row(Row(op, max(ms - call_ms, 0.0), spread))


def measure_network(architecture: Architecture, *, budget_ms: float = 500.0) -> float:
    """Median milliseconds of the whole network as one graph with random weights."""
    ms, _ = _time(network_graph(lower(architecture), np.random.default_rng(0)), budget_ms)
    return ms


def fill_host_table(
    layers: Iterable[Layer],
    *,
    architectures: Sequence[Architecture],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> LatencyModel:
    """The model of this machine, after measuring those of `layers` that its table lacks.

    `architectures` are whole networks of the same space that the calibration is fitted to and judged on; those that
    were measured before are not measured again. Nine are needed, and 20 give a narrower interval.
    A fill that was interrupted goes on where it stopped. `progress(done, total)` counts ops and networks.

    Raises:
        LatencyError: too few networks, or the cache is not writable.
    """
    wanted = {as_deployed(layer) for layer in layers}
    wanted |= {as_deployed(layer) for network in architectures for layer in lower(network)}
    with open_host_table() as table:
        missing = sorted(wanted - table.rows.keys(), key=str)
        networks = [network for network in dict.fromkeys(architectures) if network not in table.networks]
        require_networks(len(table.networks) + len(networks))
        steps = itertools.count(1)
        total = len(missing) + len(networks)

        def keep(row: Row) -> None:
            table.add_row(row)
            progress(next(steps), total)

        measure_layers(missing, on_row=keep)
        for network in networks:
            table.add_network(network, measure_network(network))
            progress(next(steps), total)
        if not table.calibrated:
            table.calibrate()
    return load_target(HOST)


def _time(model: bytes, budget_ms: float) -> tuple[float, float]:
    """Median milliseconds of one run, and the relative interquartile range."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = THREADS
    options.log_severity_level = 3  # errors alone
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    feed = {i.name: rng.normal(size=i.shape).astype(np.float32) for i in session.get_inputs()}
    first = [_run_ms(session, feed) for _ in range(WARM_UP)][-1]
    runs = int(np.clip(budget_ms / max(first, 1e-3), MIN_RUNS, MAX_RUNS))
    times = [_run_ms(session, feed) for _ in range(runs)]
    low, median, high = np.quantile(times, (0.25, 0.5, 0.75))
    return float(median), float((high - low) / median)


def _run_ms(session: ort.InferenceSession, feed: dict[str, np.ndarray]) -> float:
    """CPU time of this thread, which does all the work: what other processes take on a busy machine is not counted."""
    start = thread_time_ns()
    session.run(None, feed)
    return (thread_time_ns() - start) / 1e6
