"""Which trained network should a search hand over? `python -m benchmarks.handed_over --runs FOLDER [--json]`.

Of finished runs of `surrogate` (`benchmarks.strategies`), the regret of the network with the highest reward is compared
with that of the network that a model of all the run's rewards expects most of: the strategy's own Gaussian process,
fitted once to what was trained.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np

from benchmarks.strategies import Run, Values, finished, interval, table
from nas.strategies.descriptors import Descriptor
from nas.strategies.gaussian_process import AccuracyModel, instructive

MARKS = (50, 100, 200)


def expected(found: Run, count: int) -> Values:
    """What a model of the first `count` rewards expects of those networks (count,)."""
    data = table(found.job.table)
    problem = data.problem(data.budget(found.job.budget))
    assert problem.costs is not None
    describe = Descriptor.over(data.genes, problem.costs, data.rows)
    descriptors, rewards = describe(data.rows[found.rows[:count]]), np.array(found.rewards[:count])
    model, chosen = AccuracyModel(), instructive(rewards)
    model.fit(descriptors[chosen], rewards[chosen], descriptors[:0])
    return model.mean(descriptors)


def regrets(found: Run, count: int) -> dict[str, float]:
    """By rule: how far the network that it hands over is behind the best within the budget, in points."""
    data = table(found.job.table)
    best = data.quality[data.costs <= data.budget(found.job.budget)].max()
    picks = {"reward": np.argmax(found.rewards[:count]), "model": np.argmax(expected(found, count))}
    return {rule: float(best - data.quality[found.rows[pick]]) * 100 for rule, pick in picks.items()}


def main() -> None:
    """Parse, compare, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.handed_over", description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmark-strategies"), help="folder of finished runs")
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    found: dict[tuple[str, float, int, str], list[float]] = defaultdict(list)
    for run in finished(options.runs):
        if run.job.peer == "surrogate" and run.job.seed < options.seeds:
            for count in (mark for mark in MARKS if mark <= len(run.rows)):
                for rule, regret in regrets(run, count).items():
                    found[run.job.table, run.job.budget, count, rule].append(regret)
    records = [
        dict(zip(("table", "budget", "trained", "rule"), place, strict=True))
        | {"seeds": len(values), "regret": interval(np.array(values))}
        for place, values in sorted(found.items())
    ]
    if options.json:
        print(json.dumps(records, indent=2))
        return
    for r in records:
        mean, half = r["regret"]
        print(f"{r['table']:15}{r['budget']:5.0%}{r['trained']:5}  {r['rule']:7}{r['seeds']:4} {mean:7.3f} ±{half:.3f}")


if __name__ == "__main__":
    main()
