"""The page of `nas report` in Chromium: `python -m benchmarks.report [--trials 30 1000 10000] [--rounds 5] [--json]`.

Trials are random networks of the space `mobilenet_v3` with their predicted latency; their accuracies are made up. First
draw is the time from the beginning of the navigation until the browser has drawn front, network and table, as the
page itself notes it; the median of the rounds and the worst, each a fresh load of the file.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from nas.batch import compile_space
from nas.latency.model import OpSumModel
from nas.latency.targets import load_target
from nas.report.content import page_content
from nas.report.html import write_page
from nas.space import load_space
from nas.store.store import Store
from nas.study import sizes
from nas.trial import Outcome, Proposal, Trial, TrialState
from tests.browser import browser, chromium

SETTINGS = {"target": "pixel1", "budget_ms": 60.0, "data": "cifar10", "space": "mobilenet_v3", "strategy": "random"}


def fill(store: Store, trials: int) -> None:
    """One study of random networks."""
    rng, space, model = Random(0), load_space("mobilenet_v3").with_num_classes(10), load_target("pixel")
    assert isinstance(model, OpSumModel)
    batch = compile_space(space, model)
    store.create_study("random", SETTINGS)
    with store.batch():
        for number in range(trials):
            genotype = space.canonical(space.sample(rng))
            network, ms = space.decode(genotype), float(batch.estimate(np.array([genotype]))[0])
            trial = Trial(number, Proposal(network), number, TrialState.RUNNING)
            store.add_trial("random", trial, sizes(network), ms, "pixel1", model.version, {"nas": "0"})
            accuracy = 0.9 - 3 / ms - abs(rng.gauss(0, 0.03))
            store.finish("random", number, Outcome({"accuracy": accuracy}), told=number)


def figures(folder: Path, trials: int, rounds: int) -> dict[str, Any]:
    """Of a page with so many trials."""
    file = folder / f"{trials}.html"
    with Store.open(folder / f"{trials}.db") as store:
        fill(store, trials)
        begun = time.perf_counter()
        size = write_page(page_content(store, []), file)
        seconds = time.perf_counter() - begun
    drawn = []
    with browser(folder / f"profile-{trials}") as page:
        for _ in range(rounds):
            page.open(file)
            drawn.append(float(page.run("document.documentElement.dataset.drawn")))
        complaints = len(page.complaints)
    return {
        "trials": trials,
        "made_seconds": seconds,
        "bytes": size,
        "first_draw_ms": statistics.median(drawn),
        "worst_ms": max(drawn),
        "complaints": complaints,
    }


def main() -> None:
    """Print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", default=[30, 1000, 10_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if chromium() is None:
        sys.exit("chromium is not installed")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        found = [figures(Path(scratch), trials, arguments.rounds) for trials in arguments.trials]
    if arguments.json:
        print(json.dumps(found, indent=2))
        return
    print(f"{'trials':>8} {'made s':>8} {'MB':>6} {'first draw ms':>14} {'worst ms':>9} {'complaints':>11}")
    for row in found:
        print(
            f"{row['trials']:8} {row['made_seconds']:8.1f} {row['bytes'] / 1e6:6.2f} {row['first_draw_ms']:14.0f} "
            f"{row['worst_ms']:9.0f} {row['complaints']:11}"
        )


if __name__ == "__main__":
    main()
