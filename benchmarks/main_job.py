"""The main job as a user runs it: `python -m benchmarks.main_job [--quick] [--json]`.

Each command runs as a process of its own in an empty folder, start-up included. The search without `--data` trains
nothing, its accuracies are predictions. `--quick` leaves out the search on CIFAR-10, which takes minutes. The cache of
downloads is the user's own ($NAS_CACHE), so a first run downloads, too.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
MAIN = "from nas.cli.main import main; main()"
REPEATS = 5  # of the commands that take a moment


def run(folder: Path, *args: str) -> tuple[float, str]:
    """Wall seconds and stdout of one command."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", MAIN, *args], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return time.perf_counter() - begun, done.stdout


def moments(folder: Path) -> dict[str, dict[str, float]]:
    """Median seconds of commands that should answer at once."""
    commands = {"nas --help": ["--help"], "nas show mobilenet_v3_large": ["show", "mobilenet_v3_large"]}
    return {
        name: {"seconds": statistics.median(run(folder, *args)[0] for _ in range(REPEATS))}
        for name, args in commands.items()
    }


def search(folder: Path, *args: str) -> dict[str, float]:
    """Seconds of a search, and where its best trial stands among all."""
    seconds, out = run(folder, "search", *args, "--json")
    best = json.loads(out)["best"]
    trials = json.loads(run(folder, "trials", "list", "--json")[1])
    accuracies = [trial["accuracy"] for trial in trials if trial["state"] == "complete"]
    first, median, _ = statistics.quantiles(accuracies, n=4)
    return {
        "seconds": seconds,
        "trials": len(accuracies),
        "best": best["accuracy"],
        "best_latency_ms": best["latency_ms"],
        "median": median,
        "percentile_25": first,
    }


def figures(*, quick: bool) -> dict[str, Any]:
    """All that is measured, by command."""
    with tempfile.TemporaryDirectory() as scratch:
        predicted, digits, cifar10 = (Path(scratch, name) for name in ("predicted", "digits", "cifar10"))
        for folder in (predicted, digits, cifar10):
            folder.mkdir()
        found: dict[str, Any] = moments(digits)
        command = ("--target", "pixel", "--budget", "60ms")
        found["nas search --target pixel --budget 60ms"] = search(predicted, *command)
        command += ("--evaluator", "proxy")
        found["nas search --data digits --evaluator proxy --trials 8"] = search(
            digits, *command, "--data", "digits", "--trials", "8"
        )
        if not quick:
            found["nas search --data cifar10 --evaluator proxy"] = search(cifar10, *command, "--data", "cifar10")
        return found


def main() -> None:
    """Print a line for each command, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = figures(quick=options.quick)
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for command, values in found.items():
        print(f"{command:52}", ", ".join(f"{name} {value:.3g}" for name, value in values.items()))


if __name__ == "__main__":
    main()
