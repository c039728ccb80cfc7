"""Parts of a report that are read from elsewhere: NetAdapt's path, commands, measurements, and records of `nas run`."""

import json
import shlex
from dataclasses import asdict, fields
from pathlib import Path
from random import Random

import pytest
from click.testing import CliRunner

from nas.cli.main import nas
from nas.errors import NasError
from nas.latency.targets import load_target
from nas.layers import lower, total_macs
from nas.report.adapt_path import read_path
from nas.report.commands import _SEARCH, command
from nas.report.compared import read_run
from nas.report.drawing import load_device
from nas.report.measured import measured_rows, read_measured
from nas.search import SearchSettings
from nas.space import load_reference
from nas.store.store import Store, StudyRecord
from nas.strategies.netadapt import NetAdapt
from nas.strategies.netadapt_settings import NetAdaptSettings, every, halving
from nas.study import sizes
from nas.trial import Outcome, Trial, TrialState

V3_SMALL = load_reference("mobilenet_v3_small").with_num_classes(10)


def madds(architecture):
    return total_macs(lower(architecture)) / 1e6


def adapted(store, rule, rounds, final_epochs, budget=48.0):
    """A NetAdapt study with made-up accuracies, recorded as `nas.adapt` does; returns the strategy."""
    settings = NetAdaptSettings(budget, rule, rounds, delta=0.03, final_epochs=final_epochs)
    strategy, rng = NetAdapt(V3_SMALL, settings, madds), Random(0)
    store.create_study("s", {"rule": rule, "final_epochs": final_epochs, "budget_ms": budget, "target": "madds"})
    number = 0
    while not strategy.finished:
        waiting = []
        while (proposal := strategy.ask()) is not None:
            trial = Trial(number, proposal, asked_after=0, state=TrialState.RUNNING)
            store.add_trial("s", trial, sizes(proposal.architecture), madds(proposal.architecture), "madds", "1", {})
            waiting.append((trial, strategy.base(number)))
            number += 1
        for trial, base in waiting:
            accuracy, changes = rng.random(), {}
            estimated = base is not None and len(rounds) > 1 and not trial.proposal.epochs
            figures = {"loss_change": accuracy - 0.5} if estimated else {"accuracy": accuracy}
            if base is not None:
                changes = {"latency_change_ms": madds(trial.proposal.architecture) - madds(base.architecture)}
            if base is not None and not estimated:
                changes = {"accuracy_change": accuracy - base.accuracy, **changes}
            outcome = Outcome({**figures, **changes})
            store.finish("s", trial.number, outcome, told=trial.number)
            strategy.tell(Trial(trial.number, trial.proposal, 0, TrialState.COMPLETE, outcome))
    return strategy


@pytest.mark.parametrize(
    ("rule", "rounds", "final_epochs"),
    [
        ("netadapt", every(1), 0),
        ("netadapt", halving(2), 5),
        ("mobilenet_v3", halving(2), 0),
        ("mobilenet_v3", every(1), 5),
    ],
)
def test_the_path_that_is_read_from_trials_is_that_of_the_strategy(tmp_path, rule, rounds, final_epochs):
    with Store.open(tmp_path / "trials.db") as store:
        with store.batch():
            strategy = adapted(store, rule, rounds, final_epochs)
        trials = store.trials("s")
        found = read_path(trials, store.study("s").settings)
    assert len(found) > 3
    chosen = [trials[step.chosen].trial for step in found]
    assert [trial.proposal.architecture for trial in chosen] == [step.architecture for step in strategy.path[1:]]
    assert [trial.accuracy for trial in chosen[:-1]] == [step.accuracy for step in strategy.path[1:-1]]
    assert [step.base for step in found] == [strategy.path[0].number, *(step.chosen for step in found[:-1])]


def test_the_path_of_a_study_that_still_runs_ends_where_it_is(tmp_path):
    with Store.open(tmp_path / "trials.db") as store:
        with store.batch():
            adapted(store, "netadapt", every(1), final_epochs=5)
        trials, settings = store.trials("s"), store.study("s").settings
    whole = read_path(trials, settings)
    part = read_path(trials[: whole[2].proposals[1]], settings)
    assert part[:2] == whole[:2]
    assert [step.chosen for step in part[2:]] == [None]


def test_a_search_has_no_path(tmp_path):
    assert read_path([], {}) == []


@pytest.fixture
def settings_of(monkeypatch, tmp_path):
    """What a command line comes to: the settings that its search or adaptation is called with."""
    caught = []

    def call(settings, *_, **__):
        caught.append(settings)
        raise NasError("seen")

    def settings_of(words):
        with pytest.raises(NasError, match="seen"):
            CliRunner().invoke(nas, [*words, "--store", f"sqlite:///{tmp_path}/t.db"], catch_exceptions=False)
        return caught[-1]

    for name in ("nas.search.search", "nas.adapt.run.adapt"):
        monkeypatch.setattr(name, call)
    return settings_of


@pytest.mark.parametrize(
    "options",
    [
        "search --data digits --evaluator proxy --budget 40ms --trials 30 --proxy-epochs 2 --seed 7 "
        "--strategy evolution --reward absolute --explore-over-budget",
        "search --data digits --budget 40.5ms --objectives accuracy,latency --confidence 0.9",
        "search --data digits --evaluator proxy --budget 40.5ms --early-stop",
        "search --data cifar10 --budget 40ms --own-images 5000",
        "search --budget 60ms --trials 100",
        "adapt --from reference:mobilenet_v3_small --seed-epochs 2 --data digits --budget 12ms --rule mobilenet_v3 "
        "--delta 0.02 --from-scratch",
    ],
)
def test_the_command_of_a_study_has_the_same_settings(settings_of, options):
    first = settings_of(options.split())
    again = shlex.split(command(StudyRecord("name of it", asdict(first), created_at=None)))
    assert again[0] == "nas"
    assert again[-2:] == ["--study", "name of it"]
    assert settings_of(again[1:]) == first


def test_a_part_of_a_run_is_made_by_the_run():
    record = StudyRecord("rediscover_small-pilot-adapt", {"source": "x", "rule": "y", "budget_ms": 1}, created_at=None)
    runs = [{"study": "rediscover_large", "scale": "pilot"}, {"study": "rediscover_small", "scale": "pilot"}]
    assert command(record, runs) == "nas run rediscover_small/study.yaml --scale pilot"


def test_a_study_that_no_command_made_has_none():
    assert command(StudyRecord("a", {"target": "pixel1"}, created_at=None)) is None


def test_networks_of_a_calibration_stand_beside_their_prediction():
    rows = measured_rows(load_device("pixel1"), [], [])
    large = next(row for row in rows if row["name"] == "mobilenet_v3_large")
    assert large["measured"] == 51
    assert large["predicted"] == pytest.approx(
        load_target("pixel").estimate(load_reference("mobilenet_v3_large")).ms, 1e-5
    )
    assert all(row["calibrated"] for row in rows)


def test_measurements_are_read_from_what_commands_print(tmp_path):
    validated = {"target": "host", "architectures": [{"architecture": "ab", "estimated_ms": 2.0, "measured_ms": 2.5}]}
    verified = {"verified": {"architecture": "cd", "target": "host", "ms": 3.0, "measured_ms": 3.5}}
    adapted = {"target": "host", "study": "s", "latency": [{"network": "seed", "ms": 4.0, "measured_ms": 4.5}]}
    elsewhere = {"target": "pixel1", "study": "s", "latency": [{"network": "seed", "ms": 4.0, "measured_ms": None}]}
    files = []
    for number, record in enumerate((validated, verified, adapted, elsewhere)):
        path = tmp_path / f"{number}.json"
        path.write_text(json.dumps(record))
        files.append(read_measured(path))
    rows = [row for row in measured_rows(load_device("host"), [], files) if not row["calibrated"]]
    assert [(row["name"], row["predicted"], row["measured"]) for row in rows] == [
        ("ab", 2.0, 2.5),
        ("cd", 3.0, 3.5),
        ("seed of s", 4.0, 4.5),
    ]


@pytest.mark.parametrize("read", [read_measured, read_run])
@pytest.mark.parametrize(
    ("text", "message"), [(None, "No such file"), ("{", "not JSON"), ("[]", "expected"), ('{"a": 1}', "expected")]
)
def test_a_file_that_holds_something_else_is_one_line(tmp_path, read, text, message):
    path = tmp_path / "given.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(NasError, match=f"given.json: .*{message}"):
        read(path)


def test_a_run_names_its_ablations_and_one_without_them_is_refused_in_one_line(tmp_path):
    record = json.loads((Path(__file__).parents[1] / "runs" / "rediscover_small" / "report.json").read_text())
    path = tmp_path / "report.json"
    path.write_text(json.dumps(record))
    names = {row["without"]: row["name"] for row in read_run(path)["ablations"]["rows"]}
    assert names["hswish"] == "h-swish"
    assert names["netadapt"] == "NetAdapt (found)"
    path.write_text(json.dumps({**record, "ablations": []}))
    with pytest.raises(NasError, match=r"report\.json: ablations without rows; expected"):
        read_run(path)


def test_every_setting_of_a_search_is_an_option_of_its_command_or_known_to_be_none():
    """A new setting that the command left out would make another study."""
    elsewhere = {"budget_ms", "proxy", "explore_over_budget", "early_stop"}
    of_the_world = {"latency_version", "accuracy_version", "data_version", "storage"}
    assert {field.name for field in fields(SearchSettings)} == _SEARCH.keys() | elsewhere | of_the_world
