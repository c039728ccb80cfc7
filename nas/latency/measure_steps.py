"""Measure the widths at which this machine's latency falls, beside the sentinel as its table is."""

import itertools
from collections.abc import Callable
from random import Random

from nas.latency.csv_file import append, repair
from nas.latency.curves import SWEEPS, WIDTHS
from nas.latency.host import HostSetup
from nas.latency.host_table import open_host_table
from nas.latency.measure import FULL, open_bench
from nas.latency.steps import STEP_COLUMNS, STEPS, Point, WidthSteps, format_point, read_points, width_steps
from nas.latency.watch import Plan, watched

_PLAN = Plan(passes=3, step=8)


def measure_steps(setup: HostSetup, *, progress: Callable[[int, int], None] = lambda done, total: None) -> WidthSteps:
    """The steps of this machine, after measuring the widths that are not on disk yet.

    Raises:
        LatencyError: another process measures for too long, a broken file, or a cache that is not writable.
    """
    with open_host_table(setup) as table:  # whose lock keeps other measurements waiting
        path = table.folder / STEPS
        repair(path, ",".join(STEP_COLUMNS) + "\n")
        known = read_points(path)
        points = [(sweep, width) for sweep in SWEEPS for width in WIDTHS if (sweep, width) not in known]
        if points:
            bench = open_bench(setup, FULL.patience_s)

            def read_ms(point: Point) -> float:
                sweep, width = point
                return bench.isolated_ms(sweep.layers(width), FULL.op_ms)

            steps = itertools.count(1)
            for reading in watched(points, read_ms, bench.sentinel, _PLAN, Random(len(known))):
                append(path, format_point(reading.item, reading.ms, reading.spread))
                progress(next(steps), len(points))
    return width_steps(setup.name)
