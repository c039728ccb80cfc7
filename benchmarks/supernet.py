"""The supernet against training its networks alone: `python -m benchmarks.supernet [--part NAME ...] [--json]`.

Parts, each of which can be killed and goes on where it stopped; what is known is kept below runs/supernet/, and
gathered in report.kept.json there, from which a run on another machine goes on (move it away to begin anew):

- throughput: a step of the supernet against a plain loop that trains the same networks one by one, and its profile
- kendall: order of random networks by the supernet, by it and a short training of each network's own ("joined"), and
  by the proxy, against training from scratch
- repeat: the same with each network trained by two seeds, and how far these two agree
- alike: order by the supernet, and joined, against training each network alone with the supernet's own recipe, by
  one seed to three
- cost: seconds to judge 300 candidates, the supernet's training included, against the proxy
- winners: winners of a supernet search, of a proxy search of equal time, and of a joined search, which has fewer
  candidates and takes somewhat longer, and random networks as slow, each trained alone, for three seeds

The defaults are for the figures of docs/supernet.md (many hours on two cores); `--pilot` is the same, small.
"""

import argparse
import json
from collections.abc import Callable
from functools import partial
from statistics import mean
from typing import Any

from safetensors import safe_open

from benchmarks.kept_files import gather, restore
from benchmarks.supernet_scene import (
    CANDIDATES,
    FOLDER,
    FULL,
    JUDGED_BY,
    PILOT,
    Sizes,
    alike,
    drawn,
    proxy,
    say,
    supernets,
    truth,
)
from benchmarks.supernet_step import throughput
from benchmarks.supernet_winners import winners
from nas.check import Check, check, check_record
from nas.pipeline.kept import write_json
from nas.trial import Evaluator

checked = partial(check, say=say, judged_by=JUDGED_BY)


def compare(sizes: Sizes, workers: int, trainings: int = 1) -> dict[str, Check]:
    """The cheap evaluators against training, done once."""
    judges: dict[str, Evaluator] = {**supernets(sizes), "proxy": proxy(sizes)}
    return {
        name: checked(drawn(sizes.networks), judge, truth(sizes), sizes.kept(name), workers, trainings=trainings)
        for name, judge in judges.items()
    }


def order(sizes: Sizes, workers: int) -> dict[str, Any]:
    """Kendall's tau of each evaluator."""
    return {name: check_record(found) for name, found in compare(sizes, workers).items()}


def repeat(sizes: Sizes, workers: int) -> dict[str, Any]:
    """The same with each network trained twice, and how far its two trainings agree."""
    return {name: check_record(found) for name, found in compare(sizes, workers, trainings=2).items()}


def order_alike(sizes: Sizes, workers: int) -> dict[str, Any]:
    """Kendall's tau with networks that were trained by the supernet's recipe, by one seed and by several."""

    def compared(name: str, judge: Evaluator, count: int, trainings: int) -> dict[str, Any]:
        return check_record(checked(drawn(count), judge, alike(sizes), sizes.kept(name), workers, trainings=trainings))

    return {
        name: {
            f"{count} networks, {trainings} trainings": compared(name, judge, count, trainings)
            for count, trainings in sizes.alike
        }
        for name, judge in supernets(sizes).items()
    }


def cost(sizes: Sizes, workers: int) -> dict[str, Any]:
    """Seconds of one process for 300 candidates, from the means of those that were compared."""
    found, training = compare(sizes, workers), supernet_seconds(sizes)
    judging = {name: CANDIDATES * mean(c.judge_seconds for c in one.compared) for name, one in found.items()}
    by_proxy = judging.pop("proxy")
    return {
        "candidates": CANDIDATES,
        "training_seconds": training,
        "judging_seconds": judging,
        "proxy_seconds": by_proxy,
        "ratio": {name: (training + seconds) / by_proxy for name, seconds in judging.items()},
    }


def supernet_seconds(sizes: Sizes) -> float:
    """Of its steps alone."""
    with safe_open(sizes.job().path, framework="pt") as file:
        return float(json.loads(file.metadata()["metrics"])["train_seconds"])


def winners_of_equal_time(sizes: Sizes, workers: int) -> dict[str, Any]:
    """As many trials by proxy as the supernet's search has time for."""
    return winners(sizes, max(1, round(CANDIDATES * cost(sizes, workers)["ratio"]["supernet"])), workers)


PARTS: dict[str, Callable[[Sizes, int], dict[str, Any]]] = {
    "throughput": lambda sizes, _: throughput(sizes),
    "kendall": order,
    "repeat": repeat,
    "alike": order_alike,
    "cost": cost,
    "winners": winners_of_equal_time,
}


def main() -> None:
    """Run the parts in order and print their figures; they are added to the report as well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", action="append", choices=list(PARTS), help="only this; may be repeated")
    parser.add_argument("--pilot", action="store_true", help="small: minutes, figures without meaning")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    sizes = PILOT if options.pilot else FULL
    sizes.folder.mkdir(parents=True, exist_ok=True)
    name = "report.pilot" if options.pilot else "report"
    report, gathered = FOLDER / f"{name}.json", FOLDER / f"{name}.kept.json"
    if known := restore(gathered, sizes.folder, sizes.settings()):
        say(f"{len(known)} results are known from {gathered}")
    figures: dict[str, Any] = json.loads(report.read_text()) if report.exists() else {}
    for part in options.part or PARTS:
        try:
            figures[part] = PARTS[part](sizes, options.workers)
        finally:  # of a part that was stopped, too
            gather(sizes.folder, gathered, sizes.settings())
        write_json(report, figures)
    if options.json:
        print(json.dumps(figures, indent=2))
        return
    for name, values in figures.items():
        print(f"{name}:", json.dumps(values))


if __name__ == "__main__":
    main()
