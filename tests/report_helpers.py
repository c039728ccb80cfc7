"""Studies for tests of `nas report`: real networks and latencies, made-up accuracies."""

from random import Random

from nas.latency.targets import load_target
from nas.layers import lower, total_macs
from nas.space import load_reference, load_space
from nas.store.store import Store
from nas.study import sizes, software_versions
from nas.trial import Outcome, Proposal, Trial, TrialState

HOSTILE = "</script><script>alert(1)</script><!--<img src=x onerror=alert(2)>\u2028"
SPACE = load_space("mobilenet_v3").with_num_classes(10)
BUDGET_MS = 60.0


def settings(**more):
    return {
        "target": "pixel1",
        "budget_ms": BUDGET_MS,
        "data": "digits",
        "space": "mobilenet_v3",
        "strategy": "random",
        **more,
    }


def record_study(store, name, networks, **more):
    """A study whose accuracies grow with the logarithm of MAdds; the last trial failed."""
    model, rng = load_target("pixel"), Random(1)
    store.create_study(name, settings(**more))
    for number, network in enumerate(networks):
        trial = Trial(number, Proposal(network), asked_after=number, state=TrialState.RUNNING, seed=number)
        store.add_trial(
            name, trial, sizes(network), model.estimate(network).ms, "pixel1", model.version, software_versions()
        )
        accuracy = min(0.99, 0.2 + total_macs(lower(network)) / 1e9 + rng.uniform(0, 0.05))
        failed = number == len(networks) - 1
        store.finish(
            name, number, Outcome(error="out of memory") if failed else Outcome({"accuracy": accuracy}), told=number
        )


def networks(count, seed=0):
    rng = Random(seed)
    return [SPACE.decode(SPACE.sample(rng)) for _ in range(count)]


def make_database(path):
    """A database with two studies of one kind, one of another, and a name that tries to be markup; returns its URL."""
    v3 = load_reference("mobilenet_v3_large").with_num_classes(10)
    with Store.open(path) as store:
        record_study(store, "first", [v3, *networks(30)], seed=1)
        record_study(store, "second", networks(10, seed=1), seed=2)
        record_study(store, HOSTILE, networks(5, seed=2), data=f"imagefolder:{HOSTILE}")
    return f"sqlite:///{path}"


def make_poor_database(path):
    """Studies that lack what a page shows: settings and a device, a judged trial, a second trial; returns its URL."""
    model, network = load_target("pixel"), networks(1)[0]
    with Store.open(path) as store:
        store.create_study("without settings", {})
        store.create_study("nothing judged", settings())
        store.create_study("one trial", settings(seed=9))
        for name, target in (("without settings", None), ("nothing judged", "pixel1"), ("one trial", "pixel1")):
            trial = Trial(0, Proposal(network), asked_after=0, state=TrialState.RUNNING)
            ms = None if target is None else model.estimate(network).ms
            store.add_trial(name, trial, sizes(network), ms, target, target and model.version, software_versions())
        store.finish("without settings", 0, Outcome({"accuracy": 0.5}), told=0)
        store.finish("one trial", 0, Outcome({"accuracy": 0.5}), told=0)
    return f"sqlite:///{path}"
