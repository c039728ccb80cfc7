"""The accuracy model and the search by it: `python -m benchmarks.accuracy [--json] [--loop]`.

- The model, fitted again from the table of trained networks: error on a fifth that is held out by a fixed rule, and
  whether the shipped file is this fit.
- The whole command `nas search --target pixel --budget 60ms` in an empty folder, start-up included.
- What ranking finds at the latency of the point of the space that is nearest to MnasNet-A1, against that point.
- With `--loop` the proxy's training loop against torchvision's (`benchmarks.training_loop`; about ten minutes).

The table is `../shared/data/accuracy`, outside the project; the first part is left out where it is absent.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from benchmarks.main_job import run
from nas.accuracy.effects import load_effects
from nas.accuracy.fit import fit_accuracy
from nas.accuracy.model import accuracy_file, load_accuracy_model
from nas.accuracy.predictor import AccuracyPredictor, load_predictor
from nas.accuracy.table import provenance, read_trained
from nas.batch import compile_space
from nas.errors import NasError
from nas.latency.model import OpSumModel
from nas.latency.targets import load_target
from nas.reward import make_reward
from nas.space import Genotype, SearchSpace
from nas.strategies.problem import Problem
from nas.strategies.ranking import Oracle, Ranking

TABLE = Path(__file__).resolve().parents[2] / "shared/data/accuracy/accel_nasbench_mnasnet_imagenet.csv"
SPACE = "mnasnet_imagenet"
A1: dict[str, tuple[object, ...]] = {  # MnasNet-A1 (1807.11626, figure 7), stage by stage
    "depth": (1, 2, 3, 4, 2, 3, 1),
    "kernel": (3, 3, 5, 3, 3, 5, 3),
    "expand": (1, 6, 3, 6, 6, 6, 6),
    "se": ("none", "none", 0.25, "none", 0.25, 0.25, "none"),
    "act": ("relu",) * 7,
}
COMMAND = ("search", "--target", "pixel", "--budget", "60ms")


def model_figures() -> dict[str, Any]:
    """The errors of the fit, and how far the shipped model is from it."""
    shipped, predictor = load_accuracy_model(SPACE), load_predictor(SPACE)
    trained, effects = read_trained(TABLE, predictor.space), accuracy_file(SPACE).with_name("effects.yaml")
    begun = time.perf_counter()
    model = fit_accuracy(
        predictor.space, trained, predicts=shipped.predicts, effects=load_effects(effects, predictor.space),
        provenance=provenance(TABLE),
    )  # fmt: skip
    seconds = time.perf_counter() - begun
    difference = AccuracyPredictor(
        predictor.space, model, predictor.features, predictor.stand_ins, predictor.points
    ).predict(trained.genotypes).accuracy - predictor.predict(trained.genotypes).accuracy  # fmt: skip
    return {
        **model.error,
        "half_width": model.half_width,
        "fit_seconds": seconds,
        "shipped_differs_by": float(np.abs(difference).max()),
    }


def command_figures() -> dict[str, Any]:
    """The whole command, cold."""
    with tempfile.TemporaryDirectory() as scratch:
        seconds, out = run(Path(scratch), *COMMAND, "--json")
    found = json.loads(out)
    return {"seconds": seconds, "trials": found["trials"], "front": len(found["front"]), "best": found["best"]}


def nearest_to_a1(space: SearchSpace) -> Genotype:
    """For each gene the choice nearest to A1's: expansion 3 becomes 4, four layers become three."""
    genotype = []
    for gene in space.genes:
        stage, _, key = gene.name.partition("].")
        wanted = A1[key][int(stage.removeprefix("stages[")) - 1]
        if isinstance(wanted, str) or wanted in gene.choices:
            genotype.append(gene.choices.index(wanted))  # type: ignore[arg-type]
        else:
            numbers = [float(choice) for choice in gene.choices]
            genotype.append(min(range(len(numbers)), key=lambda i: abs(numbers[i] - float(wanted))))  # type: ignore[arg-type]
    return tuple(genotype)


def a1_figures() -> dict[str, Any]:
    """A1's nearest point, and the best that is found at its latency: with any activation, and with A1's own."""
    predictor, latency = load_predictor(SPACE), load_target("pixel")
    assert isinstance(latency, OpSumModel)
    space = predictor.space
    a1 = nearest_to_a1(space)
    budget_ms = latency.estimate(space.decode(a1)).ms
    acts = [index for index, gene in enumerate(space.genes) if gene.name.endswith(".act")]

    def relu_alone(genotypes: Any) -> Any:
        return np.where(genotypes[:, acts].any(1), 0.0, predictor.predict(genotypes).accuracy)

    def found(accuracy: Any) -> Genotype:
        problem = Problem(space, lambda a: latency.estimate(a).ms, budget_ms, make_reward("hard", budget_ms))
        strategy = Ranking(problem, Oracle(accuracy, compile_space(space, latency).estimate), seed=0, trials=1000)
        proposal = strategy.ask()
        assert proposal is not None
        return space.encode(proposal.architecture)

    networks = {
        "nearest to MnasNet-A1": a1,
        "found": found(lambda genotypes: predictor.predict(genotypes).accuracy),
        "found with ReLU alone": found(relu_alone),
        "random, within the budget": Problem(
            space, lambda a: latency.estimate(a).ms, budget_ms, make_reward("hard", budget_ms)
        ).sample(Random(0)).genotype,
    }  # fmt: skip
    return {name: _described(predictor, latency, genotype) for name, genotype in networks.items()}


def _described(predictor: AccuracyPredictor, latency: OpSumModel, genotype: Genotype) -> dict[str, Any]:
    prediction = predictor.predict(np.array([genotype]))
    macs, params = predictor.features.sizes(np.array([genotype]))
    return {
        "predicted": float(prediction.accuracy[0]),
        "low": float(prediction.low[0]),
        "high": float(prediction.high[0]),
        "latency_ms": latency.estimate(predictor.space.decode(genotype)).ms,
        "madds_m": float(macs[0]) / 1e6,
        "params_m": float(params[0]) / 1e6,
        "stages": _stages(predictor.space, genotype),
    }


def _stages(space: SearchSpace, genotype: Genotype) -> list[str]:
    """Each stage as `e6 k5 x3 se hswish`."""
    stages: dict[str, dict[str, object]] = {}
    for gene, choice in zip(space.genes, genotype, strict=True):
        stage, _, key = gene.name.partition(".")
        stages.setdefault(stage, {})[key] = gene.choices[choice]
    return [
        f"e{s['expand']} k{s['kernel']} x{s['depth']}{'' if s['se'] == 'none' else ' se'} {s['act']}"
        for s in stages.values()
    ]


def main() -> None:
    """Print a block for each part, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--loop", action="store_true")
    options = parser.parse_args()
    found: dict[str, Any] = {}
    if TABLE.exists():
        found["model"] = model_figures()
    else:
        print(f"no {TABLE.name} in ../shared/data/accuracy: the fit is left out", file=sys.stderr)
    found["command"] = {" ".join(("nas", *COMMAND)): command_figures()}
    found["mnasnet_a1"] = a1_figures()
    if options.loop:
        from benchmarks import training_loop  # noqa: PLC0415 - torch

        found["training_loop"] = training_loop.figures()
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for part, values in found.items():
        print(part)
        for name, value in values.items():
            print(f"  {name:28} {json.dumps(value)}")


if __name__ == "__main__":
    try:
        main()
    except NasError as error:
        sys.exit(f"benchmarks.accuracy: {error}")
