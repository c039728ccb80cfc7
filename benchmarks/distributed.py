"""Many machines: `python -m benchmarks.distributed --part PART [...] [--json]`; figures: docs/distributed.md.

`simulated`: how busy a driver with the real store and the real strategy keeps many workers, in simulated time.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.simulated_cluster import Setting, simulate


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.distributed", description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=("simulated",), required=True)
    parser.add_argument("--workers", type=int, default=1000, help="simulated ones")
    parser.add_argument("--trials", type=int, default=100_000)
    parser.add_argument("--epochs", type=int, default=3, help="that a simulated training reports")
    parser.add_argument("--strategy", default="surrogate")
    parser.add_argument("--mean-seconds", type=float, help="of a simulated training  [default: as the real ones]")
    parser.add_argument("--store", help="URL  [default: a file that is removed]")
    parser.add_argument("--log", type=Path, help="of the simulation: a line for each 1,000 trials")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    found = measure(options)
    print(json.dumps(found, indent=2) if options.json else "\n".join(f"{key}: {value}" for key, value in found.items()))


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """The part that is asked for."""
    setting = Setting(
        workers=options.workers,
        trials=options.trials,
        epochs=options.epochs,
        strategy=options.strategy,
        mean_seconds=options.mean_seconds,
        store=options.store,
    )
    return simulate(setting, options.log)


if __name__ == "__main__":
    main()
