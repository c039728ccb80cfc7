"""What the trial store can do with a million trials, beside Optuna's storage where there is something to compare.

    python -m benchmarks.store [--trials 1000000] [--seconds 60] [--rounds 40] [--keep FOLDER] [--json]

Trials are random networks of 22 blocks with 6 choices each. The large database is filled by bulk inserts of the rows
that the store itself would write; all that is timed goes through the store, or the command line. Recording is timed
in rounds that alternate between a database of 1,000 trials, the large one and Optuna: all three see the same disk. A
thousand trials are recorded into both of ours before: the first ones read what is on the disk alone, and lengthen a log
that later ones write over.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random

import optuna
import sqlalchemy as sa
from optuna.storages import RDBStorage

from benchmarks.arguments import positive
from benchmarks.store_rows import BLOCKS, CHOICES, VERSIONS, draw, figures_of, fill, network
from nas.errors import StoreError
from nas.pareto import front
from nas.store import schema
from nas.store.store import Predictor, Store
from nas.trial import Outcome, Proposal, Trial, TrialState

PER_ROUND = 100  # trials that we record in a round; Optuna records a tenth
ROOT = Path(__file__).parents[1]
SMALL = 1000


def record(store: Store, study: str, first: int, count: int, rng: Random) -> list[float]:
    """Seconds of each of `count` trials, from RUNNING to a durable COMPLETE."""
    items = [(network(draw(rng)), *figures_of(rng)) for _ in range(count)]
    for item in items:
        _ = item[0].id  # a strategy's ledger has asked for it before the store does
    seconds = []
    for number, (architecture, sizes, latency_ms, accuracy) in enumerate(items, first):
        trial = Trial(number, Proposal(architecture), asked_after=number, state=TrialState.RUNNING, seed=number)
        begun = time.perf_counter()
        store.add_trial(study, trial, sizes, latency_ms, "pixel1", "1", VERSIONS)
        store.finish(study, number, Outcome({"accuracy": accuracy, "loss": 1 - accuracy}), told=number)
        seconds.append(time.perf_counter() - begun)
    return seconds


class Optuna:
    """Optuna's RDBStorage on a new SQLite file, with the same choices as parameters."""

    def __init__(self, path: Path) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study = optuna.create_study(
            storage=RDBStorage(f"sqlite:///{path}"),
            sampler=optuna.samplers.RandomSampler(seed=0),
            directions=["maximize", "minimize"],
        )

    def record(self, count: int, rng: Random) -> list[float]:
        """Seconds of each trial, from `ask` to `tell`."""
        seconds = []
        for _ in range(count):
            _, latency_ms, accuracy = figures_of(rng)
            begun = time.perf_counter()
            trial = self._study.ask()
            for block in range(BLOCKS):
                trial.suggest_categorical(f"block{block}", list(range(CHOICES)))
            self._study.tell(trial, [accuracy, latency_ms])
            seconds.append(time.perf_counter() - begun)
        return seconds


def recording(large: Store, small: Store, peer: Optuna, count: int, rounds: int) -> dict[str, float]:
    """Time per trial of all three, in alternating rounds; the first trials since a database was opened stand apart."""
    rng = Random(count)  # other networks than an earlier run recorded into a kept database
    small.create_study("small", {})
    first = {
        "small": record(small, "small", 0, SMALL, rng),
        "large": record(large, "large", count, SMALL, rng),
    }
    times: dict[str, list[float]] = {"small": [], "large": [], "optuna": []}
    for turn in range(rounds):
        times["small"] += record(small, "small", SMALL + turn * PER_ROUND, PER_ROUND, rng)
        times["large"] += record(large, "large", count + SMALL + turn * PER_ROUND, PER_ROUND, rng)
        times["optuna"] += peer.record(PER_ROUND // 10, rng)
    mean = {name: statistics.fmean(seconds) for name, seconds in times.items()}
    return {
        "record_trials_per_s_at_1000": 1 / mean["small"],
        "record_trials_per_s_at_full": 1 / mean["large"],
        "record_ms_median_at_1000": 1e3 * statistics.median(times["small"]),
        "record_ms_median_at_full": 1e3 * statistics.median(times["large"]),
        "record_time_full_over_1000": mean["large"] / mean["small"],
        "record_ms_first_1000_of_new_file": 1e3 * statistics.fmean(first["small"]),
        "record_ms_first_1000_at_full": 1e3 * statistics.fmean(first["large"]),
        "optuna_trials_per_s": 1 / mean["optuna"],
        "record_times_optuna_at_1000": mean["optuna"] / mean["small"],
        "record_times_optuna_at_full": mean["optuna"] / mean["large"],
        "batch_trials_per_s": _batched(small, SMALL + rounds * PER_ROUND, rng),
    }


def _batched(store: Store, first: int, rng: Random, count: int = 2000) -> float:
    begun = time.perf_counter()
    with store.batch():
        record(store, "small", first, count, rng)
    return count / (time.perf_counter() - begun)


def timed(action: Callable[[], object], times: int = 5, clock: Callable[[], float] = time.perf_counter) -> float:
    """Median seconds."""
    seconds = []
    for _ in range(times):
        begun = clock()
        action()
        seconds.append(clock() - begun)
    return statistics.median(seconds)


def questions(store: Store) -> Iterator[dict[str, float]]:
    """Seconds of each question, on the clock and of the processor; the answer of the first is that of arrays."""
    within = list({(accuracy, ms) for accuracy, ms in store.points(["large"]).tolist() if ms <= 60})
    expected = sorted(within[index] for index in front(within, ("max", "min")))
    found = store.front(["large"], max_latency_ms=60)
    assert [(s.trial.accuracy, s.latency_ms) for s in found] == sorted(expected, key=lambda p: p[1]), "not the front"
    yield {"front_size": float(len(found))}
    host, newer, three = Predictor("host", "7"), Predictor("host", "8"), ("accuracy", "latency_ms", "params")
    _rescore(store, host)
    once: dict[str, Callable[[], object]] = {
        "front_three_objectives": lambda: store.front(objectives=three),
        "front_rescored_under_budget": lambda: store.front(predictor=host, max_latency_ms=25),
        "front_rescored": lambda: store.front(predictor=host),
        "rescore_nothing_new": lambda: list(store.rescore(["large"], host, lambda _: 0.0)),
        "rescore_first_1000": lambda: next(store.rescore(["large"], newer, lambda _: 0.0)),
    }
    often: dict[str, Callable[[], object]] = {
        "front_under_budget": lambda: store.front(["large"], max_latency_ms=60),
        "front": store.front,
        "front_under_4M_params": lambda: store.front(max_params=4_000_000),
        "most_accurate_10": lambda: store.most_accurate("large", 10, 60),
        "summary": lambda: store.study_summary("large"),
        "last_20": lambda: store.trials(last=20),
        "last_20_of_study": lambda: store.trials("large", last=20),
    }
    for name, action in (often | once).items():
        times = 5 if name in often else 1
        yield {f"{name}_s": timed(action, times), f"{name}_cpu_s": timed(action, times, time.process_time)}


def _rescore(store: Store, predictor: Predictor) -> None:
    """A latency of each network, as a model would have said it."""
    key = (sa.literal(predictor.target), sa.literal(predictor.version))
    scores = sa.select(schema.architectures.c.id, *key, schema.architectures.c.macs / 1e7)
    with store._database.write() as connection:
        known = sa.insert(schema.latencies).prefix_with("OR IGNORE")
        connection.execute(known.from_select(schema.latencies.c.keys(), scores))


def commands(path: Path, empty: Path) -> dict[str, float]:
    """Seconds of commands on the large database beyond those on an empty one."""
    found = {}
    for name, command in {
        "cli_trials_list_last_20_s": ["trials", "list", "--last", "20"],
        "cli_pareto_under_budget_s": ["pareto", "--max-latency", "60ms"],
    }.items():
        there, nothing = (timed(partial(_nas, *command, "--store", f"sqlite:///{place}")) for place in (path, empty))
        found |= {name: there, name.removesuffix("_s") + "_beyond_start_s": there - nothing}
    return found


def _nas(*arguments: str) -> None:
    code = "from nas.cli.main import main; main()"
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True, cwd=ROOT)


WRITER = """
import sys, time
from random import Random
from benchmarks.store import record
from nas.store.store import Store

name, seconds, count, slowest = f"writer {sys.argv[2]}", float(sys.argv[3]), 0, 0.0
with Store.open(sys.argv[1]) as store:
    store.create_study(name, {})
    rng, end = Random(int(sys.argv[2])), time.monotonic() + seconds
    while time.monotonic() < end:
        slowest = max(slowest, *record(store, name, count, 5, rng))
        count += 5
print(count, slowest)
"""


def writers(path: Path, seconds: float, processes: int = 8) -> dict[str, float]:
    """That many processes record into one file for so long; every acknowledged trial has to be there, complete.

    Raises:
        AssertionError: a process failed, or a trial is lost.
    """
    command = [sys.executable, "-c", WRITER, str(path)]
    started = [
        subprocess.Popen(
            [*command, str(index), str(seconds)],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(processes)
    ]
    outputs = [process.communicate() for process in started]
    assert all(not errors for _, errors in outputs), outputs
    counts = [int(out.split()[0]) for out, _ in outputs]
    with Store.open(path) as store:
        there = [store.study_summary(f"writer {index}")[TrialState.COMPLETE] for index in range(processes)]
    assert there == counts, f"lost: {there} of {counts}"
    return {
        "writers": float(processes),
        "writers_seconds": seconds,
        "writers_trials": float(sum(counts)),
        "writers_fewest_of_one": float(min(counts)),
        "writers_longest_wait_s": max(float(out.split()[1]) for out, _ in outputs),
        "writers_errors": 0.0,
        "writers_lost": 0.0,
    }


def filled(store: Store, count: int) -> int:
    """Fill the large database, unless an earlier run did; returns how many trials it has.

    Raises:
        StoreError: it has fewer; the run that filled it was killed.
    """
    if store.study("large") is None:
        fill(store, count, Random(0))
    found = sum(store.study_summary("large").values())
    if found < count:
        raise StoreError(f"the kept database has {found} trials; expected {count}: delete it")
    return found


def measure(large_path: Path, scratch: Path, count: int, rounds: int, seconds: float) -> Iterator[dict[str, float]]:
    """All figures by name, part by part; seconds unless the name says otherwise."""
    begun = time.perf_counter()
    with Store.open(large_path) as large, Store.open(scratch / "small.db") as small:
        found = filled(large, count)
        yield {"trials": float(found), "fill_s": time.perf_counter() - begun}
        yield from questions(large)
        yield recording(large, small, Optuna(scratch / "optuna.db"), found, rounds)
    yield {"file_mb": large_path.stat().st_size / 1e6}
    Store.open(scratch / "empty.db").close()
    yield commands(large_path, scratch / "empty.db")
    yield writers(scratch / "shared.db", seconds)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=positive, default=1_000_000)
    parser.add_argument("--rounds", type=positive, default=40, help=f"of {PER_ROUND} trials each")
    parser.add_argument("--seconds", type=float, default=60, help="for which 8 processes write")
    parser.add_argument("--keep", type=Path, help="a folder for the large database, which the next run takes up")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    figures: dict[str, float] = {}
    if arguments.keep:
        arguments.keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=arguments.keep) as folder:  # all on one disk
        large, scratch = (arguments.keep or Path(folder)) / "large.db", Path(folder)
        for part in measure(large, scratch, arguments.trials, arguments.rounds, arguments.seconds):
            figures |= part
            for name, value in part.items():
                print(f"{name:<36} {value:14.4f}", file=sys.stderr if arguments.json else sys.stdout, flush=True)
    if arguments.json:
        print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
