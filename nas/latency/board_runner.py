"""What runs on a remote board: times the models of a tar stream. Sent as text; needs python3, numpy and onnxruntime.

Reads the archive from stdin and prints a line of JSON, marked by `@nas`, for itself and for each model as soon as it is
measured. Nothing is written on the board. The first member is the sentinel, which is timed before and after each other
one: when it slows down, so does what is measured beside it. One called `network-...` is given more time than an op.
"""

from __future__ import annotations  # the board's python may be old

import json
import platform
import sys
import tarfile
import time
from collections.abc import Callable

import numpy as np
import onnxruntime as ort

WARM_UP = 3
MIN_RUNS, MAX_RUNS = 11, 101
OP_BUDGET_MS, NETWORK_BUDGET_MS = 25.0, 500.0
SENTINEL_RUNS = 9


def say(record: dict[str, object]) -> None:
    """One line to whoever measures."""
    print("@nas " + json.dumps(record), flush=True)


def read(path: str) -> str:
    """The text of a system file, empty if there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            return file.read().strip("\0\n ")
    except OSError:
        return ""


def device_name() -> str:
    """The board as the system calls it, else its CPU."""
    names = [line.partition(":")[2].strip() for line in read("/proc/cpuinfo").splitlines() if "model name" in line]
    return read("/proc/device-tree/model") or (names[0] if names else platform.machine())


def stopwatch(model: bytes) -> Callable[[], float]:
    """A new session, warmed up; each call is one run and returns its milliseconds.

    They are CPU time of this thread, which does all the work.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.x64quantprecision", "1")  # int8 is exact on every processor
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    rng = np.random.RandomState(0)
    feed = {
        i.name: rng.normal(size=i.shape).astype(np.float32)
        if i.type == "tensor(float)"
        else rng.randint(0, 256, i.shape, np.uint8)
        for i in session.get_inputs()
    }

    def run_ms() -> float:
        start = time.thread_time_ns()
        session.run(None, feed)
        return (time.thread_time_ns() - start) / 1e6

    for _ in range(WARM_UP):
        run_ms()
    return run_ms


def measure(model: bytes, budget_ms: float) -> tuple[float, float]:
    """Median milliseconds of one run, and the relative interquartile range."""
    run_ms = stopwatch(model)
    runs = int(min(max(budget_ms / max(run_ms(), 1e-3), MIN_RUNS), MAX_RUNS))
    low, median, high = np.quantile([run_ms() for _ in range(runs)], (0.25, 0.5, 0.75))
    return float(median), float((high - low) / median)


def main() -> None:
    """Introduce the board, then measure until the archive ends."""
    governor = read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or "unknown"
    say({"device": device_name(), "runtime_version": ort.__version__, "core": "any; governor " + governor})
    with tarfile.open(fileobj=sys.stdin.buffer, mode="r|gz") as archive:
        members = iter(archive)
        sentinel = stopwatch(content(archive, next(members)))
        for member in members:
            model = content(archive, member)
            before = beside(sentinel)
            ms, spread = measure(model, NETWORK_BUDGET_MS if member.name.startswith("network") else OP_BUDGET_MS)
            say({"name": member.name, "ms": ms, "spread": spread, "sentinel_ms": max(before, beside(sentinel))})


def beside(sentinel: Callable[[], float]) -> float:
    """The sentinel's milliseconds now: the lower quartile of some runs."""
    return float(np.quantile([sentinel() for _ in range(SENTINEL_RUNS)], 0.25))


def content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """A file of the archive."""
    file = archive.extractfile(member)
    assert file is not None
    return file.read()


if __name__ == "__main__":
    main()
