"""How long a strategy thinks about a proposal: `python -m benchmarks.ask_time [--strategy NAME] [--json]`.

The accuracies are made up (size, and an effect of every choice), for nothing but time is measured: each `ask`, in one
process of one thread, on the space and the device of a real search.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy

import argparse
import json
from collections import deque
from random import Random
from time import perf_counter, process_time

import numpy as np

from nas.batch import compile_macs, compile_params, compile_space
from nas.latency.model import OpSumModel
from nas.latency.targets import load_target
from nas.reward import make_reward
from nas.space import load_space
from nas.strategies.costs import Costs
from nas.strategies.problem import Problem
from nas.strategies.registry import STRATEGIES, make_strategy
from nas.trial import Outcome, Trial


def ask_ms(
    space_name: str, strategy_name: str, trials: int, budget_ms: float, running: int
) -> list[tuple[float, float]]:
    """Milliseconds of each ask of a search on pixel1: on the clock, and of the processor, which others may share.

    So many trials are `running` at each ask, once they are there.
    """
    space, latency = load_space(space_name), load_target("pixel1")
    assert isinstance(latency, OpSumModel)
    costs = Costs(compile_space(space, latency).estimate, compile_macs(space), compile_params(space))
    reward = make_reward("hard", budget_ms)
    problem = Problem(space, lambda a: latency.estimate(a).ms, budget_ms, reward, costs=costs)
    rng = np.random.default_rng(0)
    effects = [rng.normal(0, 0.005, len(gene.choices)) for gene in space.genes]
    strategy = make_strategy(strategy_name, problem, seed=0, trials=trials)
    noise, times, waiting = Random(0), [], deque[Trial]()
    for number in range(trials):
        begin, busy = perf_counter(), process_time()
        proposal = strategy.ask()
        times.append(((perf_counter() - begin) * 1000, (process_time() - busy) * 1000))
        assert proposal is not None
        genotype = space.encode(proposal.architecture)
        size = 0.03 * np.log10(costs.macs(np.array([genotype]))[0])
        accuracy = size + sum(e[c] for e, c in zip(effects, genotype, strict=True)) + noise.gauss(0.4, 0.002)
        outcome = Outcome({"accuracy": float(accuracy)})
        told = max(0, number - running)
        waiting.append(Trial(number, proposal, told, outcome.state, outcome, told=number))
        if len(waiting) > running:
            strategy.tell(waiting.popleft())
    return times


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ask_time", description=__doc__.splitlines()[0])
    parser.add_argument("--strategy", default="surrogate", choices=STRATEGIES)
    parser.add_argument("--space", default="mobilenet_v3")
    parser.add_argument("--budget-ms", type=float, default=60.0)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--running", type=int, default=0, help="trials that are not told yet at each ask")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    times = ask_ms(options.space, options.strategy, options.trials, options.budget_ms, options.running)
    last, busy = np.array(times[-100:]).T
    found = {
        "space": options.space,
        "strategy": options.strategy,
        "trials": options.trials,
        "running": options.running,
        "mean_ms_of_last_100": float(last.mean()),
        "p95_ms_of_last_100": float(np.quantile(last, 0.95)),
        "mean_cpu_ms_of_last_100": float(busy.mean()),
        "p95_cpu_ms_of_last_100": float(np.quantile(busy, 0.95)),
        "max_ms": max(times)[0],
        "seconds_in_all": sum(wall for wall, _ in times) / 1000,
    }
    print(json.dumps(found, indent=2) if options.json else "\n".join(f"{key}: {value}" for key, value in found.items()))


if __name__ == "__main__":
    main()
