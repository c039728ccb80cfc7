"""Many machines: `python -m benchmarks.distributed --part PART [...] [--json]`; figures: docs/distributed.md.

`simulated`: how busy a driver with the real store and the real strategy keeps many workers, in simulated time.
`faults`: 60 trials on a cluster of this host, of which two nodes and the driver are killed.
`overhead`: what a trial costs that trains nothing, from ask to record, beside a Tuner of Ray Tune.
`soak`: random faults for an hour, or --seconds; what came of it, and the driver's memory.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.arguments import positive
from benchmarks.cluster_faults import three_kills
from benchmarks.cluster_soak import soak
from benchmarks.simulated_cluster import Setting, simulate
from benchmarks.trial_overhead import Setting as OverheadSetting
from benchmarks.trial_overhead import overhead


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.distributed", description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=("simulated", "faults", "overhead", "soak"), required=True)
    parser.add_argument("--workers", type=positive, help="[default: simulated 1,000, overhead 4]")
    parser.add_argument("--trials", type=positive, help="[default: simulated 100,000, overhead 10,000, faults 60]")
    parser.add_argument("--epochs", type=int, default=3, help="that a simulated training reports")
    parser.add_argument("--strategy", help="[default: surrogate; overhead: random, then surrogate]")
    parser.add_argument("--mean-seconds", type=float, help="of a simulated training  [default: as the real ones]")
    parser.add_argument("--store", help="URL  [default: a file that is removed]")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: on a machine with other work")
    parser.add_argument("--log", type=Path, help="of the simulation: a line for each 1,000 trials")
    parser.add_argument("--stores", nargs="+", default=["postgresql"], help="of the overhead: sqlite, postgresql")
    parser.add_argument("--peer-seconds", type=float, default=900.0, help="of each run of Ray Tune; 0: none")
    parser.add_argument("--seconds", type=float, default=3600.0, help="of the soak")
    parser.add_argument("--seed", type=int, default=0, help="of the soak's faults")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    found = measure(options)
    print(json.dumps(found, indent=2) if options.json else "\n".join(f"{key}: {value}" for key, value in found.items()))


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """One part."""
    if options.part == "simulated":
        setting = Setting(
            workers=options.workers or 1000,
            trials=options.trials or 100_000,
            epochs=options.epochs,
            strategy=options.strategy or "surrogate",
            mean_seconds=options.mean_seconds,
            store=options.store,
            clock=options.clock,
        )
        return simulate(setting, options.log)
    with TemporaryDirectory() as folder:
        if options.part == "faults":
            return three_kills(Path(folder), options.trials or 60)
        if options.part == "overhead":
            return overhead(Path(folder), _overhead_setting(options))
        return soak(Path(folder), options.seconds, options.seed)


def _overhead_setting(options: argparse.Namespace) -> OverheadSetting:
    return OverheadSetting(
        trials=options.trials or 10_000,
        workers=options.workers or 4,
        strategies=(options.strategy,) if options.strategy else ("random", "surrogate"),
        stores=options.stores,
        peer_seconds=options.peer_seconds,
    )


if __name__ == "__main__":
    main()
