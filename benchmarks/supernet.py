"""The supernet against training its networks alone: `python -m benchmarks.supernet [--part NAME ...] [--json]`.

Parts, each of which can be killed and goes on where it stopped; what is known is kept below runs/supernet/, and
gathered in report.kept.json there, from which a run on another machine goes on (move it away to begin anew):

- throughput: a step of the supernet against a plain loop that trains the same networks one by one, and its profile
- kendall: order of random networks by the supernet, by it and a short training of each network's own ("joined"), and
  by the proxy, against training from scratch
- repeat: the same with each network trained by two seeds, and how far these two agree
- alike: order by the supernet, and joined, against training each network alone with the supernet's own recipe: some by
  two seeds, more by one
- cost: seconds to judge 300 candidates, the supernet's training included, against the proxy
- winners: winners of a supernet search, of a proxy search of equal time, and of a joined search, which has fewer
  candidates and takes somewhat longer, and random networks as slow, each trained alone, for three seeds

The defaults are for the figures of docs/supernet.md (many hours on two cores); `--pilot` is the same, small.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from statistics import mean, median
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

from benchmarks.kept_files import gather, restore
from nas.architecture import Architecture
from nas.check import Check, check, check_record, random_networks
from nas.cli.supernet_progress import SupernetProgress
from nas.evaluators.full import FullEvaluator
from nas.evaluators.proxy import ProxyEvaluator
from nas.evaluators.supernet import SupernetEvaluator
from nas.executors.kept import evaluate_all
from nas.json_file import load_json
from nas.latency.targets import load_target
from nas.network.supernet import extract
from nas.pipeline.interval import mean_interval
from nas.pipeline.kept import write_json
from nas.space import load_space
from nas.store.store import Store
from nas.training.batches import train_batch
from nas.training.full import full_recipe
from nas.training.loop import Recipe, make_optimizer
from nas.training.supernet import Family, Sandwich
from nas.training.supernet_job import SupernetJob, supernet_job
from nas.trial import Evaluator, Metrics

FOLDER = Path("runs/supernet")
MAIN = "from nas.cli.main import main; main()"
CANDIDATES = 300  # whose cost is compared
SEARCHED = {"supernet": CANDIDATES, "joined": 100}  # candidates of searches
BUDGET_MS = 60
VAL_IMAGES = 2000


@dataclass(frozen=True)
class Sizes:
    """What a run costs."""

    networks: int
    networks_once: int  # trained alike by one seed; the first of them are those above
    images: int
    own_images: int  # of each candidate, beside the supernet
    resolution: int  # of the networks' own trainings, and of the proxy's
    supernet_resolution: int
    epochs: int  # of the supernet
    proxy_epochs: int
    full_epochs: int
    seeds: int
    steps: int  # of the throughput

    def job(self) -> SupernetJob:
        """The supernet."""
        return supernet_job(
            "mobilenet_v3",
            "cifar10",
            resolution=self.supernet_resolution,
            epochs=self.epochs,
            train_images=self.images,
        )

    @property
    def folder(self) -> Path:
        """What is known of runs of these sizes, with this supernet."""
        return FOLDER / f"{self.job().version}-{self.resolution}-{self.proxy_epochs}-{self.full_epochs}"

    def kept(self, judge: str) -> Path:
        """Where what it said of networks is kept."""
        return self.folder / (f"joined-{self.own_images}" if judge == "joined" else judge)

    def settings(self) -> dict[str, Any]:
        """What its results depend on."""
        supernet = {**asdict(self.job()), "version": self.job().version}  # "alike" trains by its recipe
        return {"supernet": supernet, "proxy": asdict(proxy(self)), "alone": asdict(truth(self).recipe)}


FULL = Sizes(
    networks=16,
    networks_once=32,
    images=10_000,
    own_images=5000,
    resolution=64,
    supernet_resolution=32,
    epochs=16,
    proxy_epochs=3,
    full_epochs=8,
    seeds=3,
    steps=10,
)
PILOT = Sizes(
    networks=4,
    networks_once=6,
    images=1000,
    own_images=500,
    resolution=32,
    supernet_resolution=16,
    epochs=2,
    proxy_epochs=1,
    full_epochs=2,
    seeds=1,
    steps=3,
)


def throughput(sizes: Sizes, workers: int) -> dict[str, Any]:
    """Median seconds of a step, on one thread, and the shares of its parts; nothing of it is kept."""
    torch.set_num_threads(1)
    job = sizes.job()
    data, family = job.load_data(), Family(load_space(job.space).with_num_classes(10))
    family.supernet.to(memory_format=torch.channels_last)
    family.supernet.require_grads()
    sandwich, recipe = Sandwich(family, job.recipe), job.recipe.training
    optimizer = make_optimizer(family.supernet, recipe, fused=True)

    def batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        rng = np.random.default_rng(step)
        return train_batch(data, rng.permutation(len(data.train))[: recipe.batch_size], recipe.resolution, rng)

    def shared(step: int) -> None:
        x, labels = batch(step)
        sandwich.backward(x, labels, Random(step))
        torch.nn.utils.clip_grad_norm_(family.supernet.parameters(), job.recipe.clip)
        optimizer.step()

    def alone(step: int) -> Callable[[int], None]:
        networks = [extract(network) for network in sandwich.networks(Random(step))]
        optimizers = [make_optimizer(network, recipe) for network in networks]

        def run(_: int) -> None:
            for network, own in zip(networks, optimizers, strict=True):
                x, labels = batch(step)
                own.zero_grad()
                functional.cross_entropy(network(x), labels).backward()
                own.step()

        return run

    ours = [seconds(shared, step) for step in range(sizes.steps)]
    plain = [seconds(alone(step), step) for step in range(sizes.steps)]
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        shared(0)
    return {
        "supernet_step_seconds": median(ours),
        "plain_step_seconds": median(plain),
        "ratio": median(p / o for p, o in zip(plain, ours, strict=True)),
        "parts": {
            "images": seconds(batch, 0) / median(ours),
            "optimizer": seconds(lambda _: optimizer.step(), 0) / median(ours),
            "making the networks": seconds(lambda step: list(sandwich.networks(Random(step))), 0) / median(ours),
        },
        "ops": shares(profiled),
    }


def seconds(function: Callable[[int], Any], step: int) -> float:
    """Wall seconds of the second call."""
    function(step)
    begun = time.perf_counter()
    function(step)
    return time.perf_counter() - begun


def shares(profiled: Any) -> dict[str, float]:
    """Share of the processor's time by op, the largest ten."""
    events = sorted(profiled.key_averages(), key=lambda event: -event.self_cpu_time_total)
    total = sum(event.self_cpu_time_total for event in events)
    return {event.key: event.self_cpu_time_total / total for event in events[:10]}


def truth(sizes: Sizes) -> FullEvaluator:
    """Training from scratch, on as many images."""
    recipe = full_recipe(sizes.full_epochs, sizes.resolution)
    return FullEvaluator("cifar10", recipe, sizes.folder / "trained", sizes.images)


def alike(sizes: Sizes) -> FullEvaluator:
    """Training from scratch as the supernet was trained: images, epochs, learning rate, clipping."""
    job = sizes.job()
    folder = sizes.folder / "alike"
    return FullEvaluator(job.data, job.recipe.training, folder, job.train_images, clip=job.recipe.clip)


def proxy(sizes: Sizes) -> ProxyEvaluator:
    """The short training, on as many images."""
    return ProxyEvaluator("cifar10", Recipe(sizes.proxy_epochs, sizes.resolution), sizes.images, VAL_IMAGES)


def drawn(count: int) -> list[Architecture]:
    """The random networks whose order is asked for."""
    return random_networks(load_space("mobilenet_v3").with_num_classes(10), count, seed=0)


def supernets(sizes: Sizes) -> dict[str, SupernetEvaluator]:
    """The supernet, trained: its shared weights alone, and joined by the start of a training of each network's own."""
    sizes.job().ready(SupernetProgress(), threads=1)
    return {
        "supernet": SupernetEvaluator(sizes.job(), VAL_IMAGES),
        "joined": SupernetEvaluator(sizes.job(), VAL_IMAGES, sizes.own_images),
    }


def compare(sizes: Sizes, workers: int, repeat: bool = False) -> dict[str, Check]:
    """The cheap evaluators against training, with one seed or two; done once."""
    judges: dict[str, Evaluator] = {**supernets(sizes), "proxy": proxy(sizes)}
    return {
        name: check(drawn(sizes.networks), judge, truth(sizes), sizes.kept(name), workers, say, repeat=repeat)
        for name, judge in judges.items()
    }


def order(sizes: Sizes, workers: int) -> dict[str, Any]:
    """Kendall's tau of each evaluator."""
    return {name: check_record(found) for name, found in compare(sizes, workers).items()}


def repeat(sizes: Sizes, workers: int) -> dict[str, Any]:
    """The same with each network trained twice, and how far its two trainings agree."""
    return {name: check_record(found) for name, found in compare(sizes, workers, repeat=True).items()}


def order_alike(sizes: Sizes, workers: int) -> dict[str, Any]:
    """Kendall's tau with networks that were trained by the supernet's recipe, against one training and two."""
    wanted = {"once": (sizes.networks, False), "twice": (sizes.networks, True), "more": (sizes.networks_once, False)}
    return {
        name: {
            trained: check_record(
                check(drawn(count), judge, alike(sizes), sizes.kept(name), workers, say, repeat=twice)
            )
            for trained, (count, twice) in wanted.items()
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


def winners(sizes: Sizes, workers: int) -> dict[str, Any]:
    """Test accuracy of the winners of the searches and of a random network as slow, trained alone, for each seed."""
    costs = cost(sizes, workers)
    trials = {**SEARCHED, "proxy": max(1, round(CANDIDATES * costs["ratio"]["supernet"]))}  # in the supernet's time
    searched = [
        {name: search(sizes, name, seed, count, workers) for name, count in trials.items()}
        for seed in range(sizes.seeds)
    ]
    networks = [Architecture.from_dict(winner["network"]) for found in searched for winner in found.values()]
    rivals = [random_network(seed) for seed in range(sizes.seeds)]
    trained = iter(evaluate_all([*networks, *rivals], truth(sizes), truth(sizes).folder, workers, say))
    rows: list[dict[str, Any]] = [
        {"seed": seed, **{name: row(winner, next(trained)) for name, winner in found.items()}}
        for seed, found in enumerate(searched)
    ]
    for one, metrics in zip(rows, trained, strict=True):
        one["random"] = {"test_accuracy": metrics["test_accuracy"]}
    figures: dict[str, Any] = {"trials": trials, "seeds": rows}
    if len(rows) > 1:
        figures["difference"] = {
            name: asdict(mean_interval([one[name]["test_accuracy"] - one["proxy"]["test_accuracy"] for one in rows]))
            for name in SEARCHED
        }
    return figures


def random_network(seed: int) -> Architecture:
    """The first random one that takes from 95 to 100 % of the budget."""
    space, pixel, rng = load_space("mobilenet_v3").with_num_classes(10), load_target("pixel"), Random(f"winners/{seed}")
    drawn = (space.decode(space.sample(rng)) for _ in range(10_000))
    return next(network for network in drawn if 0.95 <= pixel.estimate(network).ms / BUDGET_MS <= 1)


def row(winner: dict[str, Any], trained: Metrics) -> dict[str, float]:
    """Of a search: its winner's accuracy as judged and as trained alone, and the seconds that its trials took."""
    known = ("judged_accuracy", "latency_ms", "judging_seconds")
    return {"test_accuracy": trained["test_accuracy"]} | {name: winner[name] for name in known}


def search(sizes: Sizes, judge: str, seed: int, trials: int, workers: int) -> dict[str, Any]:
    """The best network of a search, which goes on where it stopped; done once."""
    kept = sizes.folder / "searches" / f"{sizes.kept(judge).name}-{trials}-{seed}.json"
    if kept.exists():
        known: dict[str, Any] = load_json(kept)
        return known
    if judge == "proxy":
        how = ["--evaluator", "proxy"]
        resolution, epochs = sizes.resolution, sizes.proxy_epochs
    else:
        how = ["--evaluator", "supernet", *(["--own-images", str(sizes.own_images)] if judge == "joined" else [])]
        resolution, epochs = sizes.supernet_resolution, sizes.epochs
    store = f"sqlite:///{sizes.folder}/trials.db"
    arguments = [
        "search", "--target", "pixel", "--budget", f"{BUDGET_MS}ms", "--data", "cifar10", "--space", "mobilenet_v3",
        *how, "--trials", str(trials), "--seed", str(seed), "--workers", str(workers),
        "--proxy-images", str(sizes.images), "--proxy-resolution", str(resolution), "--proxy-epochs", str(epochs),
        "--finalists", "0", "--store", store, "--json",
    ]  # fmt: skip
    best = json.loads(nas(*arguments))["best"]
    with Store.open_existing(store) as opened:
        winner, tried = opened.trial(best["trial"]), opened.trials(best["study"])
    assert winner is not None
    found = {
        "network": winner.trial.proposal.architecture.to_dict(),
        "judged_accuracy": best["accuracy"],
        "latency_ms": best["latency_ms"],
        "judging_seconds": sum(
            (t.ended_at - t.started_at).total_seconds() for t in tried if t.started_at and t.ended_at
        ),
    }
    write_json(kept, found)
    return found


def nas(*arguments: str) -> str:
    """Stdout of a command."""
    return subprocess.run(
        [sys.executable, "-c", MAIN, *arguments], stdout=subprocess.PIPE, text=True, check=True
    ).stdout


PARTS: dict[str, Callable[[Sizes, int], dict[str, Any]]] = {
    "throughput": throughput,
    "kendall": order,
    "repeat": repeat,
    "alike": order_alike,
    "cost": cost,
    "winners": winners,
}


def say(line: str) -> None:
    """Progress."""
    print(line, file=sys.stderr, flush=True)


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
