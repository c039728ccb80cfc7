"""How fast the trial store is: durable recording, reading back, the front, and start-up.

    python -m benchmarks.store [--trials 10000] [--path FILE] [--json]

Trials are random networks of 22 MBConv blocks; each is recorded as a search does it, with two durable transactions
(`add_trial`, `finish`). Nothing else is written. The database is a new file, by default in a temporary folder.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from nas.architecture import Architecture, ConvBlock, MBConvBlock, PoolBlock
from nas.pareto import front
from nas.store.store import Sizes, Store
from nas.trial import Outcome, Proposal, Trial, TrialState

DISTINCT = 0.9  # the share of proposals that are new networks; the others were met before
IMPORT = "import time; t = time.perf_counter(); import nas.store.store; print(time.perf_counter() - t)"


def network(rng: Random) -> Architecture:
    """A stem and 22 blocks with 6 free choices each."""
    blocks = [
        MBConvBlock(
            channels := rng.randrange(16, 320, 8),
            channels * rng.choice((3, 4, 6)),
            rng.choice((3, 5, 7)),
            stride=2 if index % 6 == 0 else 1,
            act=rng.choice(("relu", "hswish")),
            se_channels=rng.choice((0, channels // 4)),
        )
        for index in range(22)
    ]
    return Architecture(224, (ConvBlock(16, 3, 2, "hswish"), *blocks, PoolBlock()), num_classes=10)


def workload(count: int, rng: Random) -> list[tuple[Trial, Sizes, float, Outcome]]:
    """Trials, sizes, latencies and outcomes whose front is as long as one of real networks."""
    networks = [network(rng) for _ in range(max(1, int(count * DISTINCT)))]
    items = []
    for number in range(count):
        latency_ms = rng.uniform(10, 120)
        accuracy = 0.8 - 2 / latency_ms - abs(rng.gauss(0, 0.03))
        chosen = networks[number] if number < len(networks) else rng.choice(networks)
        trial = Trial(number, Proposal(chosen), asked_after=number, state=TrialState.RUNNING, seed=number)
        sizes = Sizes(int(latency_ms * 5e4), int(latency_ms * 4e6), int(latency_ms * 5e4))
        items.append((trial, sizes, latency_ms, Outcome({"accuracy": accuracy, "loss": 1 - accuracy})))
    return items


def timed(action: Callable[[], object], times: int = 5) -> float:
    """Median seconds."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def record(store: Store, items: list[tuple[Trial, Sizes, float, Outcome]]) -> list[float]:
    """Seconds of each trial, from RUNNING to COMPLETE."""
    versions = {"nas": "0", "python": sys.version.split()[0], "torch": "0"}
    seconds = []
    for trial, sizes, latency_ms, outcome in items:
        start = time.perf_counter()
        store.add_trial("benchmark", trial, sizes, latency_ms, "pixel1", "1", versions)
        store.finish("benchmark", trial.number, outcome, told=trial.number)
        seconds.append(time.perf_counter() - start)
    return seconds


def measure(path: Path, count: int) -> dict[str, float]:
    """All figures by name; seconds unless the name says otherwise."""
    items = workload(count, Random(0))
    with Store.open(path) as store:
        store.create_study("benchmark", {})
        seconds = record(store, items)
    figures = {"trials": float(count), "record_trials_per_s": count / sum(seconds)}
    figures["record_first_ms"] = 1e3 * statistics.median(seconds[:1000])
    figures["record_last_ms"] = 1e3 * statistics.median(seconds[-1000:])
    figures["open_s"] = timed(lambda: Store.open(path).close())
    with Store.open(path) as store:
        start = time.perf_counter()
        stored = store.trials("benchmark")
        figures["read_back_s"] = time.perf_counter() - start
        assert [s.trial.proposal for s in stored] == [item[0].proposal for item in items], "not read back as recorded"
        assert [s.trial.outcome for s in stored] == [item[3] for item in items], "not read back as recorded"
        points = [(item[3].metrics["accuracy"], item[2]) for item in items]
        found = sorted(s.trial.number for s in store.front())
        assert found == front(points, ("max", "min")), "not the front"
        figures["front_size"] = float(len(found))
        figures["front_s"] = timed(store.front)
        figures["front_of_study_under_60ms_s"] = timed(lambda: store.front(["benchmark"], max_latency_ms=60))
        figures["front_under_1M_params_s"] = timed(lambda: store.front(max_params=1_000_000))
        figures["last_20_s"] = timed(lambda: store.trials("benchmark", last=20))
        figures["summary_s"] = timed(lambda: store.study_summary("benchmark"))
    figures["file_mb"] = path.stat().st_size / 1e6
    figures["import_s"] = timed_import()
    return figures


def timed_import() -> float:
    """Median seconds of `import nas.store.store` in a fresh interpreter."""
    run = [sys.executable, "-c", IMPORT]
    return statistics.median(
        float(subprocess.run(run, check=True, capture_output=True, text=True).stdout) for _ in range(5)
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--path", type=Path, help="a new database file, kept (default: a temporary one)")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.path or Path(folder) / "trials.db"
        if path.exists():
            parser.error(f"{path} exists already")
        figures = measure(path, arguments.trials)
    if arguments.json:
        print(json.dumps(figures, indent=2))
    else:
        for name, value in figures.items():
            print(f"{name:<30} {value:12.4f}")


if __name__ == "__main__":
    main()
