"""The block search against MnasNet-A1 on the accuracy model: `python -m benchmarks.rediscover [--json]`.

Searches the space `mnasnet_imagenet` at 80 ms on `pixel1`, once for each seed and strategy, with predictions in place
of trainings, and compares the best network with the nearest point to MnasNet-A1: predicted accuracy, and how often the
choices agree, beside random networks of 60 to 80 ms. Nothing is trained.
"""

import argparse
import json
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.accuracy import SPACE, nearest_to_a1
from nas.accuracy.predictor import load_predictor
from nas.batch import compile_space
from nas.cli.progress import search_progress
from nas.latency.model import OpSumModel
from nas.latency.targets import load_target
from nas.pipeline.agreement import agreement, choices_of, draw
from nas.search import SearchSettings, accuracy_version, search
from nas.store.store import Store

BUDGET_MS = 80.0
TRIALS = {"ranking": 1000, "surrogate": 200}
DRAWN = 300


def found(strategy: str, seed: int, store: Store, latency: OpSumModel) -> dict[str, Any]:
    """The best network of one search."""
    settings = SearchSettings(
        budget_ms=BUDGET_MS, proxy=None, target=latency.target, latency_version=latency.version, space=SPACE, data=None,
        evaluator="predictor", accuracy_version=accuracy_version(SPACE, None), strategy=strategy, reward="soft:-0.07",
        seed=seed, trials=TRIALS[strategy],
    )  # fmt: skip
    begun = time.perf_counter()
    with search_progress(settings.trials, BUDGET_MS, each=False) as listener:
        result = search(settings, latency=latency, store=store, listener=listener)
    assert result.best is not None
    metrics = result.best.trial.outcome.metrics if result.best.trial.outcome else {}
    return {
        "strategy": strategy,
        "seed": seed,
        "predicted": 100 * metrics["accuracy"],
        "low": 100 * metrics["accuracy_low"],
        "high": 100 * metrics["accuracy_high"],
        "latency_ms": result.best.latency_ms,
        "seconds": time.perf_counter() - begun,
        "architecture": result.best.trial.proposal.architecture,
    }


def figures(seeds: int) -> dict[str, Any]:
    """All that is printed."""
    latency, predictor = load_target("pixel1"), load_predictor(SPACE)
    assert isinstance(latency, OpSumModel)
    space = predictor.space
    a1 = nearest_to_a1(space)
    prediction = predictor.predict_networks([space.decode(a1)])
    with tempfile.TemporaryDirectory() as scratch, Store.open(Path(scratch) / "trials.db") as store:
        searches = [found(strategy, seed, store, latency) for strategy in TRIALS for seed in range(seeds)]
    drawn = draw(space, compile_space(space, latency).estimate, (60, BUDGET_MS), DRAWN, Random(0))
    reference, chance = choices_of(space, a1), [choices_of(space, genotype) for genotype in drawn]
    agreements = {}
    for strategy in TRIALS:
        winners = [
            choices_of(space, space.encode(one["architecture"])) for one in searches if one["strategy"] == strategy
        ]
        agreements[strategy] = [asdict(one) for one in agreement(reference, winners, chance)]
    random = predictor.predict_networks([space.decode(genotype) for genotype in drawn]).accuracy
    return {
        "budget_ms": BUDGET_MS,
        "nearest_to_mnasnet_a1": {
            "predicted": float(prediction.accuracy[0]),
            "low": float(prediction.low[0]),
            "high": float(prediction.high[0]),
            "latency_ms": latency.estimate(space.decode(a1)).ms,
        },
        "random_mean_predicted": float(random.mean()),
        "searches": [{**one, "architecture": one["architecture"].id} for one in searches],
        "agreement": agreements,
    }


def main() -> None:
    """Print tables, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    result = figures(options.seeds)
    if options.json:
        print(json.dumps(result, indent=2))
        return
    a1 = result["nearest_to_mnasnet_a1"]
    print(f"nearest to MnasNet-A1: predicted {a1['predicted']:.2f} % at {a1['latency_ms']:.1f} ms")
    print(f"random networks of 60 to {BUDGET_MS:g} ms: predicted {result['random_mean_predicted']:.2f} % on average")
    for one in result["searches"]:
        print(
            f"{one['strategy']:10} seed {one['seed']}: predicted {one['predicted']:.2f} % ({one['low']:.2f} to "
            f"{one['high']:.2f}) at {one['latency_ms']:.1f} ms, {one['seconds']:.0f} s"
        )
    for strategy, kinds in result["agreement"].items():
        for one in kinds:
            print(
                f"{strategy:10} {one['kind']:8} {one['found']:.0%} as MnasNet-A1, random {one['chance']:.0%}, "
                f"by chance {one['low']:.0%} to {one['high']:.0%}"
            )


if __name__ == "__main__":
    main()
