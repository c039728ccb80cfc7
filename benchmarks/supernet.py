"""The supernet against training its networks alone: `python -m benchmarks.supernet [--part NAME ...] [--json]`.

Parts, each of which can be killed and goes on where it stopped; what is known is kept below runs/supernet/:

- throughput: a step of the supernet against a plain loop that trains the same networks one by one, and its profile
- kendall: order of random networks by the supernet, and by the proxy, against training from scratch
- cost: seconds to judge 300 candidates, the supernet's training included, against the proxy

The defaults are the figures of docs/accuracy.md (many hours on two cores); `--pilot` is the same, small.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import mean, median
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

from nas.check import Check, check, check_record, random_networks
from nas.cli.supernet_progress import SupernetProgress
from nas.evaluators.full import FullEvaluator
from nas.evaluators.proxy import ProxyEvaluator
from nas.evaluators.supernet import SupernetEvaluator
from nas.network.supernet import extract
from nas.space import load_space
from nas.training.batches import train_batch
from nas.training.full import full_recipe
from nas.training.loop import Recipe, make_optimizer
from nas.training.supernet import Family, Sandwich
from nas.training.supernet_job import SupernetJob, supernet_job

FOLDER = Path("runs/supernet")
CANDIDATES = 300
VAL_IMAGES = 2000


@dataclass(frozen=True)
class Sizes:
    """What a run costs."""

    networks: int
    images: int
    resolution: int
    epochs: int  # of the supernet
    proxy_epochs: int
    full_epochs: int
    steps: int  # of the throughput

    def job(self) -> SupernetJob:
        """The supernet."""
        return supernet_job(
            "mobilenet_v3", "cifar10", resolution=self.resolution, epochs=self.epochs, train_images=self.images
        )

    @property
    def folder(self) -> Path:
        """What is known of runs of these sizes."""
        return FOLDER / f"{self.images}-{self.resolution}-{self.epochs}-{self.proxy_epochs}-{self.full_epochs}"


FULL = Sizes(networks=16, images=10_000, resolution=64, epochs=6, proxy_epochs=3, full_epochs=20, steps=10)
PILOT = Sizes(networks=4, images=1000, resolution=32, epochs=2, proxy_epochs=1, full_epochs=2, steps=3)


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


def proxy(sizes: Sizes) -> ProxyEvaluator:
    """The short training, on as many images."""
    return ProxyEvaluator("cifar10", Recipe(sizes.proxy_epochs, sizes.resolution), sizes.images, VAL_IMAGES)


def compare(sizes: Sizes, workers: int) -> dict[str, Check]:
    """Both cheap evaluators against training; done once."""
    networks = random_networks(load_space("mobilenet_v3").with_num_classes(10), sizes.networks, seed=0)
    job = sizes.job()
    job.ready(SupernetProgress(), threads=1)
    judges = {"supernet": SupernetEvaluator(job, VAL_IMAGES), "proxy": proxy(sizes)}
    return {
        name: check(networks, judge, truth(sizes), sizes.folder / name, workers, say) for name, judge in judges.items()
    }


def order(sizes: Sizes, workers: int) -> dict[str, Any]:
    """Kendall's tau of both evaluators."""
    return {name: check_record(found) for name, found in compare(sizes, workers).items()}


def cost(sizes: Sizes, workers: int) -> dict[str, Any]:
    """Seconds of one process for 300 candidates, from the means of those that were compared."""
    found = compare(sizes, workers)
    training = supernet_seconds(sizes)
    judging, by_proxy = (
        CANDIDATES * mean(c.judge_seconds for c in found[name].compared) for name in ("supernet", "proxy")
    )
    return {
        "candidates": CANDIDATES,
        "supernet_training_seconds": training,
        "supernet_judging_seconds": judging,
        "proxy_seconds": by_proxy,
        "ratio": (training + judging) / by_proxy,
    }


def supernet_seconds(sizes: Sizes) -> float:
    """Of its steps alone."""
    with safe_open(sizes.job().path, framework="pt") as file:
        return float(json.loads(file.metadata()["metrics"])["train_seconds"])


PARTS: dict[str, Callable[[Sizes, int], dict[str, Any]]] = {
    "throughput": throughput,
    "kendall": order,
    "cost": cost,
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
    kept = FOLDER / ("report.pilot.json" if options.pilot else "report.json")
    figures: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    for name in options.part or PARTS:
        figures[name] = PARTS[name](sizes, options.workers)
        kept.write_text(json.dumps(figures, indent=2))
    if options.json:
        print(json.dumps(figures, indent=2))
        return
    for name, values in figures.items():
        print(f"{name}:", json.dumps(values))


if __name__ == "__main__":
    main()
