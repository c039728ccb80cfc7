"""A step of the supernet against a plain loop that trains the same networks one by one, and its profile."""

import time
from collections.abc import Callable
from random import Random
from statistics import median
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

from benchmarks.supernet_scene import Sizes
from nas.network.supernet import extract
from nas.space import load_space
from nas.training.batches import train_batch
from nas.training.loop import make_optimizer
from nas.training.supernet import Family, Sandwich


def throughput(sizes: Sizes) -> dict[str, Any]:
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
