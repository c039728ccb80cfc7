"""Four ways to predict this machine's latencies, on the same networks: `python -m benchmarks.latency --host`."""

from collections.abc import Sequence
from functools import partial
from itertools import groupby
from random import Random

import numpy as np

from nas.architecture import Architecture
from nas.cli.latency.common import draw_networks, progress_bar
from nas.latency.bench import Bench, open_bench
from nas.latency.host import HOST
from nas.latency.host_table import open_host_table
from nas.latency.score import score
from nas.latency.table import Row, as_deployed
from nas.latency.targets import load_target
from nas.latency.watch import Reading, report, spread_out, typical_ms
from nas.layers import Layer, lower, total_macs
from nas.space import load_space

Ops = tuple[Layer, ...]


def compare(space: str, count: int, seed: int) -> list[dict[str, object]]:
    """One record per predictor: its name and its score on networks that the table was not fitted on.

    Work and sums are judged twice: as they are, and with the scale and offset of the other networks of the same draw,
    which favours them over ours as it is, and takes off what the machine has drifted since the table was made.

    Raises:
        LatencyError: this machine has no table, or it lacks ops of the space.
    """
    model, bench = load_target(HOST), open_bench()
    with open_host_table() as table:
        drawn = draw_networks(load_space(space), count, f"validate {seed}")
        networks = [network for network in dict.fromkeys(drawn) if network not in table.networks]
        rows = dict(table.rows)
    readings = read_all(bench, networks, Random(seed))
    ms = {item: typical_ms(found) for item, found in readings.items()}
    truth = [ms[network] for network in networks]
    macs = [float(total_macs(lower(network))) for network in networks]
    ops = [sum_of_ops(network, rows) for network in networks]
    sums = [sum(ms[block] for block in blocks(network)) for network in networks]
    ours = [model.estimate(network).ms for network in networks]
    return [
        {"predictor": "MAdds, scale and offset", **_affine(macs, truth)},
        {"predictor": "sum of isolated ops", **score(ops, truth)},
        {"predictor": "sum of isolated ops, scale and offset", **_affine(ops, truth)},
        {"predictor": "sum of isolated blocks", **score(sums, truth)},
        {"predictor": "sum of isolated blocks, scale and offset", **_affine(sums, truth)},
        {"predictor": "ours", **score(ours, truth)},
        {"predictor": "ours, scale and offset", **_affine(ours, truth)},
        {"predictor": "note", "note": report(reading for found in readings.values() for reading in found).note},
    ]


def blocks(network: Architecture) -> list[Ops]:
    """The ops of each block, as deployed."""
    return [tuple(map(as_deployed, group)) for _, group in groupby(lower(network), key=lambda layer: layer.block)]


def read_all(bench: Bench, networks: Sequence[Architecture], rng: Random) -> dict[Architecture | Ops, list[Reading]]:
    """Readings of each network, and of each different block alone, in one random order."""
    different = dict.fromkeys(block for network in networks for block in blocks(network))
    counts = dict.fromkeys(networks, bench.effort.network_passes) | dict.fromkeys(different, bench.effort.op_passes)
    found: dict[Architecture | Ops, list[Reading]] = {item: [] for item in counts}
    turns = spread_out(counts, rng)
    with progress_bar("measuring networks and blocks") as progress:
        for done, item in enumerate(turns, start=1):
            reading = bench.read(item) if isinstance(item, Architecture) else bench.reading(partial(bench.op_ms, item))
            found[item].append(reading)
            progress(done, len(turns))
    return found


def sum_of_ops(network: Architecture, rows: dict[Layer, Row]) -> float:
    """Sum of the table's rows, uncorrected."""
    return sum(rows[as_deployed(layer)].ms for layer in lower(network))


def print_comparison(records: Sequence[dict[str, object]]) -> None:
    """The records for people."""
    keys = ("networks", "mape", "worst", "within_5", "within_10", "spearman", "kendall")
    print(f"{'predictor':42}" + "".join(f"{key:>10}" for key in keys))
    for record in records[:-1]:
        print(f"{record['predictor']:42}" + "".join(f"{record.get(key, ''):>10}" for key in keys))
    print(records[-1]["note"])


def _affine(values: Sequence[float], truth: Sequence[float]) -> dict[str, float]:
    """The score with the scale and offset, of any sign, that fit all other networks best."""
    ms = np.array(truth)
    matrix = np.stack([np.array(values), np.ones(len(ms))], axis=1)
    estimates = []
    for index in range(len(ms)):
        others = np.arange(len(ms)) != index
        solution = np.linalg.lstsq(matrix[others] / ms[others, None], np.ones(len(ms) - 1))[0]
        estimates.append(float(matrix[index] @ solution))
    return score(estimates, truth)
