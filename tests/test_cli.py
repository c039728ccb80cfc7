"""The command line: what people see, what scripts read, and one clear line for every mistake."""

import json
import math
import resource
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from nas.cli.main import main
from nas.cli.options import parse_budget, parse_bytes, parse_count
from nas.errors import BudgetError
from nas.latency.targets import load_target
from nas.space import load_reference
from nas.store.store import Store
from nas.study import sizes
from nas.trial import Outcome, Proposal, Trial, TrialState


@pytest.fixture
def nas(monkeypatch, capsys, tmp_path):
    """Run a command in an empty folder; returns exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*args):
        monkeypatch.setattr(sys, "argv", ["nas", *map(str, args)])
        with pytest.raises(SystemExit) as caught:
            main()
        captured = capsys.readouterr()
        return caught.value.code, captured.out, captured.err

    return run


@pytest.mark.parametrize(("text", "ms"), [("60ms", 60), ("0.5 ms", 0.5), ("1s", 1000), ("750us", 0.75), (".5ms", 0.5)])
def test_budgets_have_units(text, ms):
    assert parse_budget(text) == pytest.approx(ms)


@pytest.mark.parametrize("text", ["60", "0ms", "-3ms", "ms", "60 min", "sixty", "", "nanms", "1e3ms", "inf"])
def test_a_budget_without_unit_or_not_positive_is_refused(text):
    with pytest.raises(BudgetError, match="such as 60ms"):
        parse_budget(text)


def test_limits_are_read_with_their_units():
    assert parse_count("4M") == 4_000_000
    assert parse_count("900k") == 900_000
    assert parse_bytes("2MB") == 2_000_000
    with pytest.raises(BudgetError):
        parse_bytes("2")


def test_show_prints_the_network_and_its_json_has_the_documented_keys(nas):
    code, out, _ = nas("show", "mobilenet_v3_large")
    assert code == 0
    assert "5,483,032" in out
    assert "216.6 M" in out
    assert "top-1 75.2 %" in out
    code, out, _ = nas("show", "mobilenet_v2", "--json")
    record = json.loads(out)
    assert list(record) == [
        "name", "id", "resolution", "params", "macs", "peak_activation_bytes", "latency", "published",
    ]  # fmt: skip
    assert record["params"] == 3_504_872
    assert list(record["latency"]) == ["target", "ms", "low_ms", "high_ms", "interpolated"]
    assert record["latency"]["target"] == "pixel1"
    assert record["latency"]["low_ms"] < record["latency"]["ms"] < record["latency"]["high_ms"]


def test_a_network_can_come_from_a_json_file(nas, tmp_path):
    (tmp_path / "mine.json").write_text(load_reference("mnasnet_a1").to_json())
    code, out, _ = nas("show", "mine.json", "--json")
    assert code == 0
    assert json.loads(out)["id"] == load_reference("mnasnet_a1").id


def test_latency_estimate_lists_every_network_and_target(nas):
    code, out, _ = nas("latency", "estimate", "mobilenet_v2", "mnasnet_a1", "--target", "pixel", "--json")
    assert code == 0
    records = json.loads(out)
    assert [record["architecture"] for record in records] == ["mobilenet_v2", "mnasnet_a1"]
    assert list(records[0]) == ["architecture", "target", "ms", "low_ms", "high_ms", "interpolated"]


def test_latency_list_names_pixel1_and_its_alias(nas):
    code, out, _ = nas("latency", "list", "--json")
    assert code == 0
    pixel = next(record for record in json.loads(out) if record["target"] == "pixel1")
    assert "pixel" in pixel["aliases"]
    assert pixel["error"]["mape"] > 0


def test_space_commands_speak_json(nas):
    _, out, _ = nas("space", "list", "--json")
    assert {space["name"] for space in json.loads(out)["spaces"]} == {
        "mnasnet", "mnasnet_imagenet", "mobilenet_v1", "mobilenet_v2", "mobilenet_v3",
    }  # fmt: skip
    _, out, _ = nas("space", "show", "mobilenet_v1", "--json")
    assert [gene["name"] for gene in json.loads(out)["genes"]] == ["resolution", "width"]
    _, out, _ = nas("space", "sample", "mnasnet", "-n", "2", "--seed", "7", "--json")
    assert len(json.loads(out)) == 2
    _, again, _ = nas("space", "sample", "mnasnet", "-n", "2", "--seed", "7", "--json")
    assert again == out


def test_an_empty_database_has_an_empty_front(nas, tmp_path):
    Store.open(tmp_path / "runs/trials.db").close()
    assert nas("pareto", "--json")[:2] == (0, "[]\n")
    code, out, err = nas("pareto")
    assert (code, out) == (0, "")
    assert "no finished trial" in err


MISTAKES = {
    "no budget": (("search",), "Missing option '--budget'"),
    "a number of threads": (
        ("latency", "measure", "--threads", "0"),
        "'--threads': 0 is not in the range x>=1. See: nas latency measure --help",
    ),
    "reuse without trainings": (("search", "--budget", "60ms", "--no-reuse"), "expected --data, too"),
    "early ends of a supernet": (
        ("search", "--budget", "60ms", "--data", "digits", "--early-stop"),
        "expected no --early-stop, or --evaluator proxy",
    ),
    "two formats of a front": (("pareto", "--csv", "--json"), "--csv and --json; expected one of them"),
    "an export to nowhere": (
        ("trials", "export", "--format", "optuna", "--output", "nowhere/x.db"),
        "--output nowhere/x.db: No such file or directory",
    ),
    "an export of no study": (("trials", "export", "nothing"), "no study 'nothing'"),
    "an unknown option": (("show", "mobilenet_v2", "--colour"), "No such option '--colour'"),
    "an unknown command": (("serach",), "No such command 'serach'"),
    "budget without unit": (("search", "--budget", "60"), "--budget: '60' is not a duration above zero with its unit"),
    "budget of nothing": (("search", "--budget", "0ms"), "--budget: '0ms' is not"),
    "unknown target": (("search", "--budget", "60ms", "--target", "nokia"), "unknown target 'nokia'; expected one of"),
    "unknown space": (("search", "--budget", "60ms", "--space", "nasnet"), "unknown space 'nasnet'; expected one of"),
    "unknown strategy": (
        ("search", "--budget", "60ms", "--data", "digits", "--strategy", "luck"),
        "unknown strategy 'luck'; expected one of ranking, surrogate, random",
    ),
    "a space without an accuracy model": (
        ("search", "--budget", "60ms", "--space", "mnasnet"),
        "space mnasnet has no accuracy model (accuracy.json); expected --data to train its networks on",
    ),
    "unknown evaluator": (
        ("search", "--budget", "60ms", "--evaluator", "oracle"),
        "unknown evaluator 'oracle'; expected",
    ),
    "a predictor with data": (
        ("search", "--budget", "60ms", "--evaluator", "predictor", "--data", "digits"),
        "expected either --data or --evaluator predictor",
    ),
    "a proxy without data": (("search", "--budget", "60ms", "--evaluator", "proxy"), "expected --data cifar10, digits"),
    "images of its own without data": (("search", "--budget", "60ms", "--own-images", "5"), "expected --data, too"),
    "too few images of its own": (
        ("search", "--budget", "60ms", "--data", "digits", "--own-images", "1"),
        "expected at least 2",
    ),
    "a proxy option without data": (("search", "--budget", "60ms", "--proxy-epochs", "2"), "expected --data, too"),
    "a reward that a ranking has no use for": (
        ("search", "--budget", "60ms", "--reward", "soft"),
        "a search by ranking has no use for a reward",
    ),
    "a reward that a front has no use for": (
        ("search", "--budget", "60ms", "--data", "digits", "--objectives", "accuracy, latency", "--reward", "soft"),
        "a search for a front of accuracy,latency has no use for a reward",
    ),
    "a ranking over the budget": (
        ("search", "--budget", "60ms", "--explore-over-budget"),
        "ranking proposes no network over the budget",
    ),
    "a seed below zero": (("search", "--budget", "60ms", "--seed", "-1"), "-1 is not in the range 0<=x<=4294967295"),
    "two formats": (("trials", "list", "--csv", "--json"), "--csv and --json; expected one of them"),
    "a store without a name": (("search", "--budget", "60ms", "--store", ""), "the store's URL names no file"),
    "a store whose file is not named": (("trials", "list", "--store", "sqlite:///"), "the store's URL names no file"),
    "a store with one slash": (
        ("trials", "list", "--store", "sqlite:/a.db"),
        "URL cannot be read; expected sqlite:///",
    ),
    "a ranking of trained networks": (
        ("search", "--budget", "60ms", "--data", "digits", "--strategy", "ranking"),
        "expected no --data",
    ),
    "a budget that no predicted network meets": (
        ("search", "--budget", "1ms"),
        "no network of space mnasnet_imagenet meets 1 ms on pixel1",
    ),
    "fitting on an absent table": (
        ("space", "fit-accuracy", "--space", "mnasnet", "--data", "absent.csv"),
        "absent.csv: No such file or directory",
    ),
    "fitting over a model": (
        ("space", "fit-accuracy", "--space", "mnasnet_imagenet", "--data", "absent.csv"),
        "a model is there already; expected --overwrite",
    ),
    "unknown reward": (("search", "--budget", "60ms", "--data", "digits", "--reward", "fame"), "unknown reward 'fame'"),
    "unknown data": (("search", "--budget", "60ms", "--data", "mnist"), "unknown data 'mnist'; expected cifar10"),
    "unreachable budget": (
        ("search", "--budget", "1ms", "--data", "digits"),
        "no network of space mobilenet_v3 meets 1 ms on pixel1; the fastest found takes",
    ),
    "absent folder": (("search", "--budget", "60ms", "--data", "imagefolder:nowhere"), "nowhere: no such folder"),
    "unknown network": (("show", "resnet50"), "unknown network 'resnet50'; expected trial:ID, a JSON file, or one of"),
    "unknown trial": (("show", "trial:99"), "there is no trial 99"),
    "trial that is no number": (("trials", "show", "trial:best"), "expected trial:ID"),
    "absent file": (("show", "absent.json"), "absent.json: No such file"),
    "unknown study": (("pareto", "nothing"), "no study 'nothing'"),
    "limit without unit": (("pareto", "--max-memory", "2"), "--max-memory: '2' is not a size"),
    "limit of 400 digits": (("pareto", "--max-params", "9" * 400), "is not a count above zero"),
    "unreachable budget to explore": (
        ("search", "--budget", "1ms", "--data", "digits", "--explore-over-budget"),
        "no network of space mobilenet_v3 meets 1 ms",
    ),
    "a study outside its folder": (
        ("search", "--budget", "60ms", "--data", "digits", "--study", "../elsewhere"),
        "'../elsewhere' cannot name a study",
    ),
    "unknown op": (("show", "op.json"), "op must be one of conv, sepconv"),
    "hostile space": (("space", "show", "hostile.yaml"), "not plain YAML"),
    "corrupt database": (("trials", "list", "--store", "sqlite:///corrupt.db"), "corrupt.db: not an SQLite database"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_one_clear_line(nas, tmp_path, case):
    (tmp_path / "op.json").write_text('{"resolution": 32, "blocks": [{"op": "transformer"}]}')
    (tmp_path / "hostile.yaml").write_text("name: !!python/object/apply:os.system ['touch owned']\n")
    (tmp_path / "corrupt.db").write_bytes(b"no database at all" * 100)
    args, message = MISTAKES[case]
    if args[0] in {"trials", "pareto", "show", "export"}:
        Store.open(tmp_path / "runs/trials.db").close()
    code, out, err = nas(*args)
    assert code == 2
    assert out == ""
    assert message in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "owned").exists()


def test_a_foreign_database_is_left_alone(nas, tmp_path):
    with sqlite3.connect(tmp_path / "other.db") as other:
        other.execute("create table trials (verdict text)")
        other.execute("insert into trials values ('guilty')")
    code, _, err = nas("trials", "list", "--store", "sqlite:///other.db")
    assert code == 2
    assert "other.db" in err
    with sqlite3.connect(tmp_path / "other.db") as other:
        assert other.execute("select * from sqlite_master").fetchall()[0][1] == "trials"
        assert other.execute("select * from trials").fetchall() == [("guilty",)]


def test_a_search_that_could_not_start_leaves_no_study_behind(nas):
    assert nas("search", "--budget", "1ms", "--data", "digits", "--study", "mine")[0] == 2
    assert "no study 'mine'" in nas("pareto", "mine")[2]


def recorded(folder, name, **settings):
    """A study with one finished trial."""
    with Store.open(folder / "runs/trials.db") as store:
        store.create_study(name, settings)
        network = load_reference("mobilenet_v3_small")
        trial = Trial(0, Proposal(network), 0, TrialState.RUNNING)
        store.add_trial(name, trial, sizes(network), settings["latency_ms"], settings["target"], "1", {})
        store.finish(name, 0, Outcome({"accuracy": 0.5, "loss": math.nan}), 0)


def test_fronts_of_different_devices_or_data_are_not_mixed(nas, tmp_path):
    recorded(tmp_path, "phone", data="cifar10", target="pixel1", budget_ms=60.0, latency_ms=50.0)
    recorded(tmp_path, "laptop", data="digits", target="host", budget_ms=20.0, latency_ms=9.0)
    code, _, err = nas("pareto", "phone", "laptop")
    assert code == 2
    assert "cannot be compared (phone: cifar10 by proxy on pixel1; laptop: digits by proxy on host; what differs" in err
    assert [p["study"] for p in json.loads(nas("pareto", "phone", "--json")[1])] == ["phone"]
    assert [p["study"] for p in json.loads(nas("pareto", "--target", "host", "--json")[1])] == ["laptop"]


def test_latencies_of_two_tables_are_not_mixed_in_a_front(nas, tmp_path):
    phone = {"data": "cifar10", "target": "pixel1", "budget_ms": 60.0, "latency_ms": 50.0}
    recorded(tmp_path, "first", **phone, latency_version="1")
    recorded(tmp_path, "last", **phone, latency_version="2")
    code, out, err = nas("pareto", "--json")
    assert (code, [point["study"] for point in json.loads(out)]) == (0, ["last"])
    assert "1 of other kinds left out" in err
    code, _, err = nas("pareto", "first", "last")
    assert (code, "latency table" in err) == (2, True)
    code, out, _ = nas("pareto", "first", "last", "--target", "pixel", "--json")
    assert (code, len({point["latency_ms"] for point in json.loads(out)})) == (0, 1)  # both by the table of today


def _piped(stdout, *arguments):
    command = [sys.executable, "-c", "from nas.cli.main import main; main()", *arguments]
    return subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_reader_that_has_seen_enough_is_no_mistake(form):
    with _piped(subprocess.PIPE, "space", "sample", "mnasnet", "--count", "2000", *form) as command:
        command.stdout.readline()
        command.stdout.close()
        assert (command.stderr.read(), command.wait()) == ("", 0)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_output_that_a_full_disk_does_not_take_is_one_line(form):
    with Path("/dev/full").open("w") as full, _piped(full, "space", "list", *form) as command:
        said = command.stderr.read()
        assert (said, command.wait()) == ("nas: the output was not written: No space left on device\n", 2)


def test_output_beyond_what_a_file_may_hold_is_one_line(tmp_path):
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))  # noqa: E731
    with (tmp_path / "out").open("w") as out:
        command = [sys.executable, "-c", "from nas.cli.main import main; main()", "space", "list"]
        done = subprocess.run(command, check=False, stdout=out, stderr=subprocess.PIPE, text=True, preexec_fn=limit)
    assert (done.stderr, done.returncode) == ("nas: the output was not written: File too large\n", 2)


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "mobilenet_v3_small", "--data", "digits", "--seed", "-1"],
        ["train", "mobilenet_v3_small", "--data", "digits", "--seed", str(2**63)],
        ["adapt", "--from", "reference:mobilenet_v3_small", "--budget", "5ms", "--seed", "-1"],
    ],
)
def test_a_seed_that_no_generator_takes_is_one_line(nas, arguments):
    code, _, err = nas(*arguments)
    assert (code, "--seed" in err, "Traceback" in err) == (2, True, False)


def test_wrong_options_leave_no_database(nas, tmp_path):
    assert nas("search", "--budget", "60ms", "--reward", "fame")[0] == 2
    assert nas("search", "--budget", "60ms", "--strategy", "luck")[0] == 2
    assert nas("search", "--budget", "60ms", "--objectives", "accuracy,fame")[0] == 2
    assert not (tmp_path / "runs").exists()


def test_without_a_name_the_front_is_that_of_the_latest_study_and_those_like_it(nas, tmp_path):
    phone = {"data": "cifar10", "target": "pixel1", "budget_ms": 60.0, "latency_ms": 50.0}
    recorded(tmp_path, "first", **phone)
    recorded(tmp_path, "laptop", data="digits", target="host", budget_ms=20.0, latency_ms=9.0)
    recorded(tmp_path, "last", **phone | {"latency_ms": 40.0})
    code, out, err = nas("pareto", "--json")
    assert (code, [point["study"] for point in json.loads(out)]) == (0, ["last"])
    assert "cifar10 by proxy on pixel1; 1 of other kinds left out" in err
    assert [p["study"] for p in json.loads(nas("pareto", "--json", "--target", "host")[1])] == ["laptop"]


def test_a_front_of_three_objectives_is_drawn_as_points_and_its_best_is_the_most_accurate(nas, tmp_path):
    with Store.open(tmp_path / "runs/trials.db") as store:
        store.create_study("three", {"data": "digits", "target": "pixel1", "budget_ms": 60.0})
        figures = {"mobilenet_v2": (0.7, 30.0), "mobilenet_v3_small": (0.5, 40.0)}  # the slower one has fewer params
        for number, (name, (accuracy, latency_ms)) in enumerate(figures.items()):
            network = load_reference(name)
            trial = Trial(number, Proposal(network), 0, TrialState.RUNNING)
            store.add_trial("three", trial, sizes(network), latency_ms, "pixel1", "1", {})
            store.finish("three", number, Outcome({"accuracy": accuracy}), number)
    lines = {}
    for objectives, points in (("accuracy,latency", 1), ("accuracy,latency,params", 2)):
        code, out, _ = nas("pareto", "--objectives", objectives, "--plot", "front.svg", "--json")
        assert (code, len(json.loads(out))) == (0, points)
        drawn = (tmp_path / "front.svg").read_text()
        assert "<!-- trial:1  70.00%" in drawn
        lines[points] = drawn.count('<g id="line2d_')
    assert lines[2] == lines[1] - 1


@pytest.mark.parametrize(
    "command",
    [
        "pareto", "trials list", "trials show 1", "trials export", "status", "report --html x.html", "show trial:1",
        "export trial:1 --format onnx", "adapt --from trial:1 --data digits --budget 9ms",
    ],
)  # fmt: skip
@pytest.mark.parametrize("store", ["absent.db", "sqlite:///absent.db"])
def test_a_database_that_is_not_there_is_said_to_be_absent_and_not_made(nas, tmp_path, command, store):
    code, _, err = nas(*command.split(), "--store", store)
    assert code == 2
    assert "absent.db: there is no such database" in err
    assert not (tmp_path / "absent.db").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--finalists 3 --trials 2", "--finalists 3 of 2 trials; expected at most 2"),
        ("--finalists 11 --trials 50", "--finalists 11 of 50 trials; expected at most 10"),
        ("--final-epochs 5 --evaluator proxy", "expected --finalists, too"),
        ("--final-epochs 5 --finalists 0", "expected --finalists, too"),
    ],
)
def test_finalists_that_cannot_be_are_refused_before_anything_is_trained(nas, tmp_path, options, said):
    code, _, err = nas("search", "--budget", "60ms", "--data", "digits", *options.split())
    assert code == 2
    assert said in err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ({"evaluator": "proxy"}, {"evaluator": "supernet"}, "a: cifar10 by proxy on pixel1; b: cifar10 by supernet on"),
        ({}, {"evaluator": "supernet"}, "a: cifar10 by proxy on pixel1; b: cifar10 by supernet on pixel1"),
        (
            {"data": None, "evaluator": "predictor"},
            {"evaluator": "proxy"},
            "a: predicted on pixel1; b: cifar10 by proxy",
        ),
        (
            {"evaluator": "supernet", "space": "x"},
            {"evaluator": "supernet", "space": "y"},
            "what differs is data, device",
        ),
    ],
)
def test_fronts_of_different_evaluators_are_not_mixed(nas, tmp_path, first, second, said):
    for name, other in (("a", first), ("b", second)):
        same = {"data": "cifar10", "target": "pixel1", "budget_ms": 60.0, "latency_ms": 50.0, "space": "x"}
        recorded(tmp_path, name, **(same | other))
    code, _, err = nas("pareto", "a", "b")
    assert code == 2
    assert said in err
    assert len(err.strip().splitlines()) == 1
    assert [point["study"] for point in json.loads(nas("pareto", "b", "--json")[1])] == ["b"]


def test_studies_of_one_evaluator_share_a_front_whether_or_not_they_name_it(nas, tmp_path):
    same = {"data": "cifar10", "target": "pixel1", "budget_ms": 60.0}
    recorded(tmp_path, "old", **same, latency_ms=50.0, space="x")
    recorded(tmp_path, "new", **same, latency_ms=40.0, space="y", evaluator="proxy")
    assert [point["study"] for point in json.loads(nas("pareto", "--json")[1])] == ["new"]


def test_trials_searched_for_one_device_are_ranked_for_another_without_training(nas, tmp_path):
    recorded(tmp_path, "laptop", data="digits", target="host", budget_ms=20.0, latency_ms=9.0, latency_version="1")
    code, out, err = nas("pareto", "--target", "pixel", "--json")
    assert code == 0
    assert "1 networks rescored for pixel1, without training" in err
    (point,) = json.loads(out)
    assert point["target"] == "pixel1"
    assert point["latency_ms"] == load_target("pixel1").estimate(load_reference("mobilenet_v3_small")).ms
    again = nas("pareto", "laptop", "--target", "pixel1", "--json", "--plot", "front.svg")
    assert again[1] == out
    assert "rescored" not in again[2]
    assert "pixel1, ms" in (tmp_path / "front.svg").read_text()
    assert json.loads(nas("pareto", "--json")[1])[0]["target"] == "host"  # what was recorded stays as it was


def test_a_front_can_have_other_objectives(nas, tmp_path):
    recorded(tmp_path, "phone", data="cifar10", target="pixel1", budget_ms=60.0, latency_ms=50.0)
    three = nas("pareto", "--objectives", "accuracy,latency,params", "--json")[1]
    assert [point["study"] for point in json.loads(three)] == ["phone"]
    for wrong in ("accuracy,beauty", "accuracy", "accuracy,accuracy"):
        code, _, err = nas("pareto", "--objectives", wrong)
        assert code == 2
        assert "expected" in err


def test_a_trial_over_its_budget_is_not_on_the_front(nas, tmp_path):
    recorded(tmp_path, "explored", data="cifar10", target="pixel1", budget_ms=40.0, latency_ms=50.0)
    assert json.loads(nas("pareto", "--json")[1]) == []
    assert len(json.loads(nas("pareto", "--max-latency", "55ms", "--json")[1])) == 1


def test_json_has_null_where_a_figure_is_no_number(nas, tmp_path):
    recorded(tmp_path, "phone", data="cifar10", target="pixel1", budget_ms=60.0, latency_ms=50.0)
    out = nas("trials", "show", "1", "--json")[1]
    assert json.loads(out, parse_constant=pytest.fail)["metrics"] == {"accuracy": 0.5, "loss": None}


HELP = """
import sys
from nas.cli.main import main
sys.argv = ["nas", "--help"]
try:
    main()
except SystemExit:
    heavy = ("torch", "optuna", "sqlalchemy", "matplotlib", "onnxruntime", "sklearn", "rich", "numpy")
    print("imported:", *(name for name in heavy if name in sys.modules))
"""


def test_help_needs_none_of_the_heavy_packages():
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=True)
    assert "search" in done.stdout
    assert done.stdout.splitlines()[-1] == "imported:"
