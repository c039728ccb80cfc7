"""`--objectives`: which fronts a search may be asked for, and that its result lists the front that was sought."""

import json

import pytest
from click.testing import CliRunner

from nas.cli.main import nas
from nas.errors import NasError
from nas.search import SearchSettings, front_costs, proxy_training, result
from nas.search.problem import front_objectives
from nas.space import load_reference
from nas.store.store import Store
from nas.study import sizes
from nas.trial import Outcome, Proposal, Trial, TrialState

# Accuracy and latency of networks with 5.5, 2.5, 3.5 and 3.9 million params. In accuracy and latency `large` beats
# `v2`, which has fewer params; the last one is over the budget.
NETWORKS = {
    "mobilenet_v3_large": (0.7, 20.0),
    "mobilenet_v3_small": (0.5, 10.0),
    "mobilenet_v2": (0.7, 30.0),
    "mnasnet_a1": (0.9, 70.0),
}


@pytest.mark.parametrize(
    ("objectives", "strategy", "costs"),
    [
        ("accuracy", "evolution", ()),
        ("accuracy,latency", "nsga2", ("latency",)),
        ("accuracy,latency", "ranking", ("latency",)),
        ("accuracy,memory,params", "surrogate", ("memory", "params")),
    ],
)
def test_objectives_name_the_costs_of_a_front(objectives, strategy, costs):
    assert front_costs(objectives, strategy) == costs


@pytest.mark.parametrize(
    "objectives",
    ["accuracy,beauty", "latency,accuracy", "latency", "", "accuracy,latency,latency", "accuracy, latency"],
)
def test_no_list_of_objectives_is_refused(objectives):
    with pytest.raises(
        NasError, match=f"objectives '{objectives}'; expected accuracy, with one or more of latency, para"
    ):
        front_costs(objectives, "surrogate")


@pytest.mark.parametrize(
    ("objectives", "strategy"),
    [
        ("accuracy,latency", "evolution"),
        ("accuracy,latency", "random"),
        ("accuracy,latency,params", "nsga2"),
        ("accuracy,params", "ranking"),
    ],
)
def test_a_strategy_that_cannot_seek_the_front_is_refused(objectives, strategy):
    with pytest.raises(
        NasError, match=f"strategy {strategy} does not search for a front of {objectives}; surrogate does"
    ):
        front_costs(objectives, strategy)


def found(folder, objectives):
    """The result of a study of `NETWORKS` that sought these objectives."""
    settings = SearchSettings(
        50.0, proxy_training("digits", "proxy"), "pixel1", "1", data="digits", evaluator="proxy",
        objectives=objectives, strategy="surrogate",
    )  # fmt: skip
    with Store.open(folder / "trials.db") as store:
        store.create_study("s", {})
        for number, (name, (accuracy, latency_ms)) in enumerate(NETWORKS.items()):
            network = load_reference(name)
            trial = Trial(number, Proposal(network), 0, TrialState.RUNNING)
            store.add_trial("s", trial, sizes(network), latency_ms, "pixel1", "1", {})
            store.finish("s", number, Outcome({"accuracy": accuracy}), 0)
        return result(store, "s", settings.budget_ms, front_objectives(settings))


def numbers(trials):
    return [stored.trial.number for stored in trials]


@pytest.mark.parametrize(
    ("objectives", "front"),
    [
        ("accuracy", [1, 0]),
        ("accuracy,latency", [1, 0]),
        ("accuracy,latency,params", [1, 0, 2]),
        ("accuracy,params", [1, 2]),
    ],
)
def test_the_front_of_a_result_is_that_of_the_searchs_objectives(tmp_path, objectives, front):
    of_search = found(tmp_path, objectives)
    assert numbers(of_search.front) == front
    assert numbers(of_search.top) == [0, 2, 1]
    assert (
        of_search.best.trial.number == 0
    )  # the faster of the two most accurate, though the front may end with the other


def test_a_search_within_whose_budget_nothing_finished_has_no_best(tmp_path, monkeypatch):
    monkeypatch.setitem(NETWORKS, "mobilenet_v3_large", (0.7, 51.0))
    for name in ("mobilenet_v3_small", "mobilenet_v2"):
        monkeypatch.delitem(NETWORKS, name)
    of_search = found(tmp_path, "accuracy,latency,params")
    assert (of_search.best, of_search.front, of_search.top) == (None, [], [])


SEARCH = [
    "search",
    "--budget",
    "60ms",
    "--strategy",
    "surrogate",
    "--objectives",
    "accuracy,latency,params",
    "--trials",
    "12",
]


def test_the_command_lists_the_front_of_its_objectives(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    listed = json.loads(CliRunner().invoke(nas, [*SEARCH, "--json"], catch_exceptions=False).stdout)
    trials = json.loads(CliRunner().invoke(nas, ["trials", "list", "--json"], catch_exceptions=False).stdout)

    def sizes(trial):
        return -trial["accuracy"], trial["latency_ms"], trial["params"]

    beaten = [
        any(all(a <= b for a, b in zip(sizes(o), sizes(t), strict=True)) for o in trials if o != t) for t in trials
    ]
    front = {trial["trial"] for trial, by_other in zip(trials, beaten, strict=True) if not by_other}
    assert len(trials) == 12
    assert {trial["trial"] for trial in listed["front"]} == front
    said = CliRunner().invoke(nas, SEARCH, catch_exceptions=False).stdout
    assert f"(the front of accuracy, latency, params has {len(front)} networks)" in said
