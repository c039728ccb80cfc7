"""A small study for tests: a real space, a latency that is a formula, and a driver that needs no worker processes."""

from nas.batch import compile_macs, compile_params
from nas.layers import lower, total_macs
from nas.reward import make_reward
from nas.space import load_space
from nas.space.batch import batch_sum
from nas.strategies.costs import Costs
from nas.strategies.problem import Problem
from nas.strategies.registry import make_strategy
from nas.study import Study, Target
from nas.trial import Outcome
from tests.executor_helpers import formula

SPACE = load_space("mobilenet_v2").with_num_classes(10)
BUDGET_MS = 300.0


def latency_ms(architecture):
    return total_macs(lower(architecture)) / 1e6


COSTS = Costs(batch_sum(SPACE, lambda layers: total_macs(layers) / 1e6), compile_macs(SPACE), compile_params(SPACE))
PROBLEM = Problem(SPACE, latency_ms, BUDGET_MS, make_reward("hard", BUDGET_MS), costs=COSTS)


class Silent:
    def started(self, entry): ...
    def reported(self, entry, epoch, metrics): ...
    def ended(self, entry): ...
    def tick(self): ...


def open_study(store, *, name="s", strategy="evolution", trials=12, seed=3, fidelity=None, inherited=0, stopping=None):
    if store.study(name) is None:
        store.create_study(name, {}, fidelity)
    return Study(
        name,
        store=store,
        strategy=make_strategy(strategy, PROBLEM, seed=seed, trials=12),
        target=Target("macs", "1", latency_ms),
        trials=trials,
        seed=seed,
        listener=Silent(),
        fidelity=fidelity,
        inherited=inherited,
        stopping=stopping,
    )


def drive(study, rng, workers, stop_after=None):
    """Run trials that finish in random order; leaves what runs unfinished after `stop_after` outcomes."""
    running, told = [], 0
    while told != stop_after:
        while len(running) < workers and (trial := study.ask()) is not None:
            running.append(trial)
        if not running:
            return
        trial = running.pop(rng.randrange(len(running)))
        study.tell(trial, Outcome({"accuracy": formula(trial)}))
        told += 1


def record(store, name="s"):
    return [(s.trial.number, s.trial.proposal.architecture.id, s.trial.seed) for s in store.trials(name)]
