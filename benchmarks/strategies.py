"""How good is the best network after N trainings? `python -m benchmarks.strategies [--json] [--plot FILE]`.

Strategies search tables of networks that others have trained (`benchmarks.accuracy_tables`), so that one evaluation
takes no time and is true. A reward is one training of the network, drawn at random where the table has several; a
network is judged by the mean of its trainings. For every table and budget (a quantile of the cost):

- `regret`: the best network within the budget less the best one trained so far, in points of accuracy.
- `reported`: the same for the network whose reward was highest, which is what a search hands over.
- `hypervolume`: the area under the front of trained networks, as a share of that of the whole table.

Each finished run is a line of a file in --runs; a run that is there is not run again. --summary runs nothing, and shows
all that is there.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy: several processes of one thread each

import argparse
import json
import sys
import warnings
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import cache
from itertools import product
from pathlib import Path
from random import Random
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from benchmarks.accuracy_tables import TABLES, AccuracyTable
from benchmarks.peers import PEERS
from nas.pareto import hypervolume
from nas.trial import Outcome, Trial

EVALUATIONS = 200
MARKS = (25, 50, 100, 200)
BUDGETS = (0.2, 0.4, 0.7)

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Job:
    """One run: a peer searches a table within a budget."""

    peer: str
    table: str
    budget: float
    seed: int
    evaluations: int = EVALUATIONS


@dataclass(frozen=True, slots=True)
class Run:
    """What a run tried, in order."""

    job: Job
    rows: list[int]
    rewards: list[float]
    seconds: float


@cache
def table(name: str) -> AccuracyTable:
    """The table, read once in a process."""
    return TABLES[name]()


def run(job: Job) -> Run:
    """One worker asks, trains and tells."""
    warnings.simplefilter("ignore")
    data, rng = table(job.table), Random(f"{job.seed}/rewards")
    strategy = PEERS[job.peer](data.problem(data.budget(job.budget)), seed=job.seed, trials=job.evaluations)
    rows, rewards, seconds = list[int](), list[float](), 0.0
    while len(rows) < job.evaluations:
        begin = perf_counter()
        proposal = strategy.ask()
        seconds += perf_counter() - begin
        if proposal is None:
            break
        rows.append(proposal.architecture.row)
        rewards.append(float(rng.choice(np.atleast_1d(data.accuracies[rows[-1]]))))
        number, outcome = len(rows) - 1, Outcome({"accuracy": rewards[-1]})
        trial = Trial(number, proposal, number, outcome.state, outcome, told=number)
        begin = perf_counter()
        strategy.tell(trial)
        seconds += perf_counter() - begin
    return Run(job, rows, rewards, seconds)


def finished(folder: Path) -> Iterator[Run]:
    """The runs in the folder's files."""
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            yield Run(Job(**record.pop("job")), **record)


def run_all(jobs: list[Job], folder: Path, processes: int) -> None:
    """Run what is not there yet, and write each run down as it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    there = {found.job for found in finished(folder)}
    missing = [job for job in jobs if job not in there]
    with ProcessPoolExecutor(processes) as pool, (folder / f"runs-{os.getpid()}.jsonl").open("a") as lines:
        for count, future in enumerate(as_completed([pool.submit(run, job) for job in missing]), start=1):
            lines.write(json.dumps(asdict(future.result())) + "\n")
            lines.flush()
            print(f"\r{count}/{len(missing)} runs", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


# Figures


def curves(found: Run) -> tuple[Values, Values]:
    """Regret of the best trained and of the reported network after each evaluation (N,), in points."""
    data = table(found.job.table)
    within = data.costs <= data.budget(found.job.budget)
    quality = data.quality[found.rows]
    best = data.quality[within].max()
    reported = quality[[int(np.argmax(found.rewards[: n + 1])) for n in range(len(found.rewards))]]
    left = found.job.evaluations - len(quality)  # of a run that had nothing more to try
    trained, handed_over = (np.pad(c, (0, left), "edge") for c in (np.maximum.accumulate(quality), reported))
    return (best - trained) * 100, (best - handed_over) * 100


def share_of_front(found: Run) -> float:
    """Hypervolume of the trained networks, over that of all networks within the budget."""
    data = table(found.job.table)
    budget = data.budget(found.job.budget)
    within = np.flatnonzero(data.costs <= budget)
    reference = (float(np.median(data.quality[within])), budget)

    def volume(rows: NDArray[np.intp]) -> float:
        points = np.column_stack([data.quality[rows], data.costs[rows]])
        return hypervolume(points.tolist(), reference, ("max", "min"))

    return volume(np.array(found.rows)) / volume(within)


def interval(values: Values) -> tuple[float, float]:
    """Mean, and half the width of its 95 % confidence interval (Student)."""
    if len(values) < 2:
        return float(values.mean()), float("nan")
    half = student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean()), float(half)


def summary(runs: list[Run]) -> list[dict[str, object]]:
    """A record for each table, budget and peer, the best after 50 evaluations first."""
    groups = defaultdict(list)
    for found in runs:
        groups[found.job.table, found.job.budget, found.job.peer, found.job.evaluations].append(found)
    records = []
    for (name, budget, peer, evaluations), group in groups.items():
        regret, reported = (np.array(each) for each in zip(*map(curves, group), strict=True))
        records.append(
            {
                "table": name,
                "budget": budget,
                "peer": peer,
                "seeds": len(group),
                "evaluations": evaluations,
                "regret": {mark: interval(regret[:, mark - 1]) for mark in MARKS if mark <= regret.shape[1]},
                "reported": {mark: interval(reported[:, mark - 1]) for mark in MARKS if mark <= regret.shape[1]},
                "hypervolume": interval(np.array([share_of_front(found) for found in group])),
                "ms_per_trial": float(np.mean([found.seconds / len(found.rows) for found in group])) * 1000,
            }
        )
    return sorted(records, key=lambda r: (r["table"], r["budget"], r["regret"][50][0]))


def print_summary(records: list[dict[str, object]]) -> None:
    """A block for each table and budget."""
    place = None
    for record in records:
        if place != (place := (record["table"], record["budget"])):
            print(f"\n{record['table']}, budget at the {record['budget']:.0%} quantile; points, 95 % interval")
            heads = [f"regret {m}" for m in MARKS] + [f"reported {m}" for m in MARKS[1:]]
            print(f"{'':17}{'seeds':>6}" + "".join(f"{head:>14}" for head in heads) + f"{'hypervolume':>15}{'ms':>7}")
        cells = [record["regret"].get(m) for m in MARKS] + [record["reported"].get(m) for m in MARKS[1:]]
        figures = "".join(f"{cell[0]:8.3f} ±{cell[1]:.3f}" if cell else f"{'':14}" for cell in cells)
        mean, half = record["hypervolume"]
        print(f"{record['peer']:17}{record['seeds']:6}{figures}{mean:9.3f} ±{half:.3f}{record['ms_per_trial']:7.1f}")


def plot(runs: list[Run], path: Path) -> None:
    """Mean regret and its interval over evaluations, one panel for each table and budget."""
    import matplotlib  # noqa: PLC0415

    matplotlib.use("agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, panels = plt.subplots(len(TABLES), len(BUDGETS), figsize=(12, 6.5), layout="constrained", sharex=True)
    peers = [peer for peer in PEERS if any(found.job.peer == peer for found in runs)]
    for (name, budget), axes in zip(product(TABLES, BUDGETS), panels.flat, strict=True):
        for index, peer in enumerate(peers):
            group = [curves(f)[0] for f in runs if (f.job.table, f.job.budget, f.job.peer) == (name, budget, peer)]
            if not group:
                continue
            mean, half = np.transpose([interval(values) for values in np.array(group).T])
            steps = np.arange(1, len(mean) + 1)
            axes.plot(steps, mean, color=f"C{index}", label=peer, linewidth=2.2 if peer == "surrogate" else 1.1)
            axes.fill_between(steps, mean - half, mean + half, color=f"C{index}", alpha=0.15, linewidth=0)
        axes.set_title(f"{name}, {budget:.0%} quantile", fontsize=10)
        axes.set_ylim(0, 1.5 if name == "nasbench_macro" else 4)
        axes.grid(alpha=0.3)
    figure.supxlabel("trained networks")
    figure.supylabel("regret, points of accuracy")
    panels.flat[0].legend(fontsize=8)
    figure.savefig(path)


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.strategies", description=__doc__.splitlines()[0])
    parser.add_argument("--peer", action="append", choices=PEERS, help="can be repeated; all if left out")
    parser.add_argument("--table", action="append", choices=TABLES, help="can be repeated; all if left out")
    parser.add_argument("--budget", action="append", type=float, help="quantile of the cost; can be repeated")
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--evaluations", type=int, default=EVALUATIONS, help="of each run")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmark-strategies"), help="folder of finished runs")
    parser.add_argument("--summary", action="store_true", help="run nothing")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    seeds = range(options.seeds)  # outermost, so that figures of an unfinished benchmark have equally many
    every = product(seeds, options.table or TABLES, options.budget or BUDGETS, options.peer or PEERS)
    jobs = [Job(peer, name, budget, seed, options.evaluations) for seed, name, budget, peer in every]
    if not options.summary:
        run_all(jobs, options.runs, options.processes)
    runs = [found for found in finished(options.runs) if options.summary or found.job in set(jobs)]
    if options.plot:
        plot(runs, options.plot)
    records = summary(runs)
    print(json.dumps(records, indent=2)) if options.json else print_summary(records)


if __name__ == "__main__":
    main()
