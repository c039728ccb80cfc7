"""Measure the widths at which this machine's latency falls, beside the sentinel as its table is."""

from collections.abc import Callable
from functools import partial
from random import Random

from nas.latency.bench import open_bench
from nas.latency.csv_file import append, repair
from nas.latency.curves import SWEEPS, WIDTHS
from nas.latency.host import HostSetup
from nas.latency.host_table import open_host_table
from nas.latency.steps import STEP_COLUMNS, STEPS, Point, WidthSteps, format_point, read_points, width_steps
from nas.latency.watch import Reading, spread, spread_out, typical_ms

_PASSES = 3


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
            bench, found = open_bench(setup), dict[Point, list[Reading]]((point, []) for point in points)
            turns = spread_out(dict.fromkeys(points, _PASSES), Random(len(known)))
            for done, point in enumerate(turns, start=1):
                sweep, width = point
                found[point].append(bench.reading(partial(bench.op_ms, sweep.layers(width))))
                if len(found[point]) == _PASSES:
                    append(path, format_point(point, typical_ms(found[point]), spread(found[point])))
                progress(done, len(turns))
    return width_steps(setup.name)
