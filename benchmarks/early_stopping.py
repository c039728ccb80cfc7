"""What `--early-stop` saves, and whom it stops wrongly: `python -m benchmarks.early_stopping --curves FILE [--json]`.

Random networks of a space are trained on digits to the end, once, and their accuracy after each epoch is written to
FILE, a line each; networks that are there are not trained again. Then searches over these networks in random orders are
replayed with `nas.stopping.SuccessiveHalving`, and it is counted how many epochs are saved, how often the network that
would have been best was stopped, and what the best that was left lacks; and what the best found lacks when half of all
epochs are trained, with stopping and without.
"""

import argparse
import json
import math
import statistics
import sys
from dataclasses import replace
from pathlib import Path
from random import Random

from nas.evaluators.proxy import ProxyEvaluator
from nas.search import proxy_training
from nas.space import load_reference, load_space
from nas.stopping import SuccessiveHalving
from nas.training.loop import Recipe
from nas.trial import Outcome, Proposal, Trial, TrialState

ORDERS = 1000
STANDS_FOR_ANY = load_reference("mobilenet_v2")  # the rule does not look at networks


def record(path: Path, space_name: str, count: int, epochs: int) -> list[list[float]]:
    """Accuracies by epoch of `count` networks, those in the file first."""
    curves = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    space, rng = load_space(space_name).with_num_classes(10), Random(0)
    proxy = proxy_training("digits", "proxy", epochs=epochs)
    evaluator = ProxyEvaluator("digits", Recipe(epochs=epochs, resolution=proxy.resolution))
    with path.open("a", encoding="utf-8") as lines:
        for number in range(count):
            architecture = space.decode(space.sample(rng))
            if number < len(curves):
                continue
            curve: list[float] = []
            trial = Trial(number, Proposal(architecture), 0, TrialState.RUNNING, seed=number)
            evaluator.evaluate(trial, lambda epoch, metrics, curve=curve: bool(curve.append(metrics["accuracy"])))
            curves.append(curve)
            lines.write(json.dumps(curve) + "\n")
            lines.flush()
            print(f"\r{number + 1}/{count} networks", end="", file=sys.stderr, flush=True)
    return curves[:count]


def replay(curves: list[list[float]], seed: int, *, stopping: bool, limit: float = math.inf) -> tuple[int, float]:
    """Epochs trained, and what the best finished network lacks, in accuracy, of a search of at most `limit` epochs."""
    rule, length = SuccessiveHalving(len(curves[0])), len(curves[0])
    epochs, finished = 0, [0.0]
    for number in Random(seed).sample(range(len(curves)), len(curves)):
        curve = curves[number]
        trial = Trial(number, Proposal(STANDS_FOR_ANY), 0, TrialState.RUNNING)
        stops = (e for e, a in enumerate(curve[:-1], 1) if stopping and rule.stops(trial, e, {"accuracy": a}))
        trained = next(stops, length)
        if epochs + trained > limit:
            break
        epochs += trained
        outcome = Outcome({"accuracy": curve[trained - 1]}, stopped=trained < length)
        rule.ended(replace(trial, state=outcome.state, outcome=outcome))
        if trained == length:
            finished.append(curve[-1])
    return epochs, max(curve[-1] for curve in curves) - max(finished)


def figures(curves: list[list[float]]) -> dict[str, float]:
    """Of searches over all of the networks, and of such that end after half of all epochs, stopping or not."""
    everything = len(curves) * len(curves[0])
    epochs, loss = zip(*(replay(curves, seed, stopping=True) for seed in range(ORDERS)), strict=True)
    half = {
        stopping: statistics.mean(
            replay(curves, seed, stopping=stopping, limit=everything / 2)[1] for seed in range(ORDERS)
        )
        for stopping in (False, True)
    }
    return {
        "networks": len(curves),
        "epochs": len(curves[0]),
        "orders": ORDERS,
        "epochs_saved": 1 - statistics.mean(epochs) / everything,
        "best_stopped": statistics.mean(lacking > 0 for lacking in loss),
        "mean_loss": statistics.mean(loss),
        "worst_loss": max(loss),
        "regret_at_half_of_all_epochs": half[True],
        "regret_at_half_of_all_epochs_without_stopping": half[False],
    }


def main() -> None:
    """Parse, train what is missing, replay, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.early_stopping", description=__doc__.splitlines()[0])
    parser.add_argument("--curves", type=Path, required=True, help="file of recorded curves, made if absent")
    parser.add_argument("--space", default="mobilenet_v2")
    parser.add_argument("--networks", type=int, default=24)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--skip", type=int, default=0, help="leave out so many of the first")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    curves = record(options.curves, options.space, options.networks, options.epochs)
    found = figures(curves[options.skip :])
    if options.json:
        print(json.dumps(found, indent=2))
        return
    print("\n".join(f"{name}: {value}" for name, value in found.items()))


if __name__ == "__main__":
    main()
