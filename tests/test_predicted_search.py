"""`nas search` without data: thousands of networks predicted, none trained, and nobody led to believe otherwise."""

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from nas.accuracy.predictor import load_predictor
from nas.architecture import Architecture, ConvBlock, PoolBlock
from nas.batch import compile_space
from nas.errors import SpaceError
from nas.evaluators.predictor import PredictorEvaluator
from nas.executors import inline
from nas.latency.targets import load_target
from nas.reward import make_reward
from nas.space import load_space
from nas.strategies.problem import Problem
from nas.strategies.ranking import Oracle, Ranking, has_one_genotype_each
from nas.trial import Outcome, Proposal, Trial, TrialState

ROOT = Path(__file__).parents[1]
MAIN = "from nas.cli.main import main; main()"
SPACE = load_space("mnasnet_imagenet")
BUDGET_MS = 60.0


def nas(folder, *args):
    command = [sys.executable, "-X", "importtime", "-c", MAIN, *args]
    return subprocess.run(
        command, cwd=folder, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True
    )


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A folder with a finished search of 160 trials, and the process that made it."""
    folder = tmp_path_factory.mktemp("search")
    return folder, nas(folder, "search", "--budget", "60ms", "--trials", "160", "--json")


def test_nothing_heavy_is_loaded_and_nothing_trained(searched):
    _, done = searched
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "nas.evaluators.predictor" in loaded
    assert not loaded & {"torch", "scipy", "sklearn", "onnxruntime", "matplotlib", "optuna"}


def test_every_trial_is_within_the_budget_predicted_and_says_so(searched):
    folder, done = searched
    found = json.loads(done.stdout)
    assert found["trials"]["complete"] == 160
    trials = json.loads(nas(folder, "trials", "list", "--json").stdout)
    assert len({trial["architecture"] for trial in trials}) == 160
    for trial in trials:
        assert trial["evaluator"] == "predictor"
        assert trial["accuracy_low"] < trial["accuracy"] < trial["accuracy_high"]
        assert trial["latency_ms"] <= BUDGET_MS
    best = max(trials, key=lambda trial: trial["accuracy"])
    assert found["best"]["trial"] == found["top"][0]["trial"] == best["trial"]
    assert len(found["top"]) == 10
    shown = json.loads(nas(folder, "trials", "show", "trial:1", "--json").stdout)
    assert shown["versions"]["accuracy_model"] == load_predictor("mnasnet_imagenet").model.version


def test_people_are_told_that_nothing_was_trained_and_how_to_train(searched):
    folder, _ = searched
    said = nas(folder, "search", "--budget", "60ms", "--trials", "160").stdout
    assert "No network was trained. Accuracies are predictions" in said
    assert "1905.02244, table 5" in said
    assert "--data imagefolder:DIR" in said
    assert "predicted" in nas(folder, "trials", "list", "--last", "1").stdout
    assert "predicted  pixel1 ms" in nas(folder, "pareto").stdout


def test_the_search_goes_on_where_it_stopped(searched):
    folder, done = searched
    more = json.loads(nas(folder, "search", "--budget", "60ms", "--trials", "170", "--json").stdout)
    assert more["study"] == json.loads(done.stdout)["study"]
    assert more["trials"]["complete"] == 170


def test_the_evaluator_gives_the_predictors_figures_and_refuses_other_spaces():
    evaluator = PredictorEvaluator(load_predictor("mnasnet_imagenet"))
    network = SPACE.decode((0,) * len(SPACE.genes))
    outcome = evaluator.evaluate(_trial(network), lambda epoch, metrics: False)
    (accuracy,) = evaluator.predictor.predict_networks([network]).accuracy
    assert outcome.metrics["accuracy"] == pytest.approx(accuracy / 100)
    with pytest.raises(SpaceError, match="not a point of mnasnet_imagenet"):
        evaluator.evaluate(_trial(Architecture(224, (ConvBlock(8, 3, 2, "relu"), PoolBlock()))), lambda *_: False)


def _trial(network):
    return Trial(0, Proposal(network), asked_after=0, state=TrialState.RUNNING)


# The strategy


@pytest.fixture(scope="module")
def latency():
    return load_target("pixel")


def problem_of(latency):
    return Problem(SPACE, lambda a: latency.estimate(a).ms, BUDGET_MS, make_reward("hard", BUDGET_MS))


def ranking(latency, *, seed=1, trials=64):
    compiled, predictor = compile_space(SPACE, latency), load_predictor("mnasnet_imagenet")
    oracle = Oracle(lambda g: predictor.predict(g).accuracy, compiled.estimate)
    return Ranking(problem_of(latency), oracle, seed=seed, trials=trials)


def test_ranking_proposes_different_networks_within_the_budget_and_the_same_for_a_seed(latency):
    first, second = (ranking(latency) for _ in range(2))
    proposals = [first.ask() for _ in range(64)]
    assert proposals == [second.ask() for _ in range(64)]
    assert len({p.architecture.id for p in proposals}) == 64
    assert all(latency.estimate(p.architecture).ms <= BUDGET_MS for p in proposals)
    assert not first.finished


def test_more_trials_than_planned_are_as_good_as_planned_ones(latency):
    """A search of 8 that goes on to 96 has bands of latency, too, and nowhere random networks."""
    predictor = load_predictor("mnasnet_imagenet")

    def best_below(strategy):
        found = [strategy.ask().architecture for _ in range(96)]
        accuracies = predictor.predict_networks(found).accuracy
        ms = np.array([latency.estimate(network).ms for network in found])
        return [accuracies[ms <= limit].max(initial=0.0) for limit in (BUDGET_MS, 0.8 * BUDGET_MS, 0.6 * BUDGET_MS)]

    extended, planned = (best_below(ranking(latency, trials=trials)) for trials in (8, 96))
    assert extended == pytest.approx(planned, abs=1.5)


def test_no_single_change_improves_what_ranking_finds_by_much(latency):
    """The best network against all its neighbours within the budget, computed one by one."""
    predictor = load_predictor("mnasnet_imagenet")
    best = SPACE.encode(ranking(latency).ask().architecture)
    changed = [
        (*best[:gene], choice, *best[gene + 1 :])
        for gene in range(len(SPACE.genes))
        for choice in range(len(SPACE.genes[gene].choices))
        if choice != best[gene]
    ]
    within = [g for g in changed if latency.estimate(SPACE.decode(g)).ms <= BUDGET_MS]
    accuracy = predictor.predict(np.array([best, *within])).accuracy
    assert accuracy[0] >= accuracy.max() - 0.1


def test_spaces_with_several_genotypes_for_a_network_are_told_apart():
    assert has_one_genotype_each(SPACE)
    assert not has_one_genotype_each(load_space("mobilenet_v3"))


class Counted:
    """A queue of so many trials, none of which is recorded."""

    def __init__(self, count: int) -> None:
        self.left, self.told = count, 0

    def ask(self) -> Trial | None:
        self.left -= 1
        return (
            Trial(self.left, Proposal(Architecture(32, (ConvBlock(8, 3, 2, "relu"), PoolBlock()))), 0)
            if self.left >= 0
            else None
        )

    def tell(self, trial: Trial, outcome: Outcome) -> None:
        self.told += 1

    def idle(self) -> None:
        pass


@pytest.mark.parametrize(("seconds", "groups"), [(0.0, 3), (0.6, 5)])
def test_a_group_ends_after_a_second_and_others_may_write_now_and_then(seconds, groups, monkeypatch):
    """Of 10 trials in groups of 4: those that take long are recorded two by two."""
    now, slept, begun = [0.0], [], []

    @contextmanager
    def together():
        begun.append(now[0])
        yield

    class Slow:
        def evaluate(self, trial, report):
            now[0] += seconds
            return Outcome({"accuracy": 0.5})

    monkeypatch.setattr(inline, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=slept.append))
    queue = Counted(10)
    inline.InlineExecutor(together, 4).run(queue, Slow())
    assert (queue.told, len(begun)) == (10, groups)
    assert len(slept) == (seconds > 0)  # once in five seconds
    assert all(pause > 0.1 for pause in slept)  # SQLite looks that often whether it is its turn
