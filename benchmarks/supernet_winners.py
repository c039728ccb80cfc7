"""Winners of searches by supernet, joined and by proxy, and random networks as slow, each trained alone."""

import json
import subprocess
import sys
from dataclasses import asdict
from random import Random
from typing import Any

from benchmarks.supernet_scene import CANDIDATES, Sizes, say, truth
from nas.architecture import Architecture
from nas.executors.kept import evaluate_all
from nas.json_file import load_json
from nas.latency.targets import load_target
from nas.pipeline.interval import mean_interval
from nas.pipeline.kept import write_json
from nas.space import load_space
from nas.store.store import Store
from nas.trial import Metrics

_MAIN = "from nas.cli.main import main; main()"
_SEARCHED = {"supernet": CANDIDATES, "joined": 100}  # candidates of searches
_BUDGET_MS = 60


def winners(sizes: Sizes, proxy_trials: int, workers: int) -> dict[str, Any]:
    """Test accuracy of the winners of the searches and of a random network as slow, trained alone, for each seed."""
    trials = {**_SEARCHED, "proxy": proxy_trials}
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
            for name in _SEARCHED
        }
    return figures


def random_network(seed: int) -> Architecture:
    """The first random one that takes from 95 to 100 % of the budget."""
    space, pixel, rng = load_space("mobilenet_v3").with_num_classes(10), load_target("pixel"), Random(f"winners/{seed}")
    drawn = (space.decode(space.sample(rng)) for _ in range(10_000))
    return next(network for network in drawn if 0.95 <= pixel.estimate(network).ms / _BUDGET_MS <= 1)


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
        "search", "--target", "pixel", "--budget", f"{_BUDGET_MS}ms", "--data", "cifar10", "--space", "mobilenet_v3",
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
        [sys.executable, "-c", _MAIN, *arguments], stdout=subprocess.PIPE, text=True, check=True
    ).stdout
