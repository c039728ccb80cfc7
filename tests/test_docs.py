"""The documents say what the code does: computed tables, keys of space files, examples, and JSON formats."""

import json
import re
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from click.testing import CliRunner

from nas.architecture import Architecture, ConvBlock, PoolBlock
from nas.cli.main import nas
from nas.cli.search import result_record, verify_best
from nas.errors import SpecError
from nas.latency.model import Latency
from nas.layers import lower
from nas.search import result
from nas.space import load_reference, load_space
from nas.store.store import Store
from nas.study import sizes, software_versions
from nas.trial import Outcome, Proposal, Trial, TrialState
from tests.reference_table import TABLES
from tests.test_confidence import Model, stored_trial
from tests.test_latency_cli import TINY

DOCS = Path(__file__).parents[1] / "docs"
SPACES = (DOCS / "search_spaces.md").read_text(encoding="utf-8")
EXAMPLES = {
    command: json.loads(example)
    for section in (DOCS / "json.md").read_text(encoding="utf-8").split("\n## ")
    for command, example in re.findall(r"^`nas (.+?)`\n.*```json\n(.+?)```", section, re.DOTALL)
}
COMMANDS = {
    "pareto --json": "pareto --json --store STORE",
    "report --json": "report --html FOLDER/report.html --png FOLDER/front.png --json --store STORE",
    "status --json": "status --json --store STORE",
    "trials list --json": "trials list --json --store STORE",
    "trials show TRIAL --json": "trials show trial:1 --json --store STORE",
    "show ARCH --json": "show mobilenet_v3_large --json",
    "latency estimate ARCH... --json": "latency estimate mobilenet_v2 --json",
    "latency list --json": "latency list --json",
    "latency steps --json": "latency steps --target pixel --json",
    "space list --json": "space list --json",
    "space show NAME --json": "space show mobilenet_v1 --json",
    "space sample NAME --json": "space sample mobilenet_v1 --json",
}
TINY_SPACE = """
name: tiny
resolution: 32
stages:
  - {op: conv, channels: 8, stride: 2}
  - {channels: [8, 16, 24, 32], depth: [1, 2, 3], kernel: [3, 5], expand: 3}
head: {type: classic, channels: 32}
"""
CHOICES = list(product((1, 2, 3), (8, 16, 24, 32), (3, 5)))
METRICS = {"accuracy": 0.5, "loss": 1.0, "train_loss": 1.0, "train_seconds": 1.0, "images_per_second": 1.0}


@pytest.mark.parametrize("name", TABLES)
def test_the_computed_tables_are_up_to_date(name):
    """Where this fails, paste what `python -m tests.reference_table NAME` prints."""
    (documented,) = re.findall(rf"<!-- {name}: [^\n]* -->\n(.*?)\n<!-- end -->", SPACES, re.DOTALL)
    assert documented == TABLES[name]()


@pytest.mark.parametrize(
    ("heading", "wrong_file"),
    [
        ("## The file", "{wrong: 1}"),
        ("### A stage", "{name: x, resolution: 32, head: {type: plain}, stages: [{wrong: 1}]}"),
        ("### The head", "{name: x, resolution: 32, head: {wrong: 1}, stages: [{channels: 8}]}"),
    ],
)
def test_every_key_of_a_space_file_is_documented(heading, wrong_file, tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text(wrong_file)
    with pytest.raises(SpecError, match="unknown key 'wrong'") as caught:
        load_space(path)
    known = str(caught.value).partition("expected one of ")[2].split(", ")
    section = SPACES.partition(f"{heading}\n")[2].partition("\n#")[0]
    assert sorted(re.findall(r"^\| `(\w+)`", section, re.MULTILINE)) == known


def test_the_example_of_a_space_file_works(tmp_path):
    (example,) = re.findall(r"```yaml\n(.+?)```", SPACES, re.DOTALL)
    path = tmp_path / "tiny.yaml"
    path.write_text(example)
    space = load_space(path)
    assert "stages[2].layers[1].kernel" in [gene.name for gene in space.genes]
    assert lower(space.decode((0,) * len(space.genes)))[-1].kind == "linear"


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> str:
    """A database with one finished trial, whose figures are made up, and one that runs."""
    path = tmp_path_factory.mktemp("store") / "trials.db"
    network = load_reference("mobilenet_v2")
    trial = Trial(0, Proposal(network), asked_after=0, state=TrialState.RUNNING)
    with Store.open(path) as opened:
        opened.create_study("study", {})
        opened.add_trial("study", trial, sizes(network), 64.0, "pixel1", "0", software_versions())
        opened.report("study", 0, 1, METRICS)
        opened.finish("study", 0, Outcome(METRICS), told=0)
        running = replace(trial, number=1)
        opened.add_trial("study", running, sizes(network), 64.0, "pixel1", "0", software_versions())
    return f"sqlite:///{path}"


@pytest.mark.parametrize("command", COMMANDS)
def test_the_json_of_a_command_has_the_documented_form(command, store, tmp_path):
    arguments = COMMANDS[command].replace("STORE", store).replace("FOLDER", str(tmp_path))
    assert_same_form(output(arguments), EXAMPLES[command])


def test_the_json_of_a_search_has_the_documented_form(store):
    with Store.open(store) as opened:
        found = result_record(result(opened, "study", budget_ms=100), 0)
    assert_same_form(found, EXAMPLES["search --json"])


def test_the_json_of_a_verified_search_has_the_documented_form():
    network = Architecture(32, (ConvBlock(8, 3, 2, "relu"), PoolBlock()), num_classes=4)
    verified = verify_best(stored_trial(network), Model(Latency(1.0, 0.9, 1.1)))
    assert_same_form({"verified": verified}, EXAMPLES["search --verify --json"])


def test_the_json_of_a_fit_has_the_documented_form(tmp_path, monkeypatch):
    monkeypatch.setenv("NAS_CACHE", str(tmp_path))
    names = ("mobilenet_v1", "mobilenet_v2", "mnasnet_a1", "mnasnet_b1", "mnasnet_small", "proxylessnas_mobile")
    names = (*names, "mobilenet_v3_large", "mobilenet_v3_small", "mobilenet_v2_035")
    (tmp_path / "phone.csv").write_text("network,ms\n" + "".join(f"{name},{50 + i}\n" for i, name in enumerate(names)))
    fitted = output(f"latency fit --csv {tmp_path}/phone.csv --target phone --like pixel --json")
    assert_same_form(fitted, EXAMPLES["latency fit --json"])


def test_the_json_of_a_training_has_the_documented_form(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    network = Architecture(32, (ConvBlock(8, 3, 2, "relu"), PoolBlock()))
    Path("tiny.json").write_text(network.to_json())
    arguments = "train tiny.json --data digits --epochs 1 --resolution 16 --json"
    assert_same_form(output(arguments), EXAMPLES["train ARCH --json"])


def test_the_json_of_a_measurement_and_its_validation_has_the_documented_form(tmp_path, monkeypatch):
    monkeypatch.setenv("NAS_CACHE", str(tmp_path))
    space = tmp_path / "tiny.yaml"
    space.write_text(TINY)
    measured = output(f"latency measure --space {space} --quick --json")
    assert_same_form(measured, EXAMPLES["latency measure --json"])
    validated = output(f"latency validate --space {space} --networks 40 --json")
    assert_same_form(validated, EXAMPLES["latency validate --json"])


def test_the_json_of_a_fitted_accuracy_model_has_the_documented_form(tmp_path):
    space, table = tmp_path / "tiny.yaml", tmp_path / "trained.csv"
    space.write_text(TINY_SPACE)
    rows = [
        f"{depth},{channels},{kernel},{60 + depth + channels / 8 + kernel / 9}" for depth, channels, kernel in CHOICES
    ]
    table.write_text("\n".join(["stages[1].depth,stages[1].channels,stages[1].kernel,accuracy", *rows, rows[0]]))
    fitted = output(f"space fit-accuracy --space {space} --data {table} --json")
    assert_same_form(fitted, EXAMPLES["space fit-accuracy --json"])


def test_every_documented_command_is_tested():
    fitting = {"space fit-accuracy --json"}
    measuring = {"latency measure --json", "latency validate --json", "latency fit --json"}
    adapting = {"adapt --json", "export ARCH --json"}  # tests/test_adapt.py
    elsewhere = {"space check --json", "search --evaluator supernet --json"}  # test_check.py, test_supernet_search.py
    studies = {"run STUDY --json"}  # test_pipeline.py
    training = {"search --json", "search --verify --json", "train ARCH --json"}
    assert EXAMPLES.keys() == {*COMMANDS, *training, *adapting, *measuring, *fitting, *elsewhere, *studies}


def output(arguments: str):
    return json.loads(CliRunner().invoke(nas, arguments.split(), catch_exceptions=False).stdout)


def assert_same_form(found: object, example: object, place: str = "") -> None:
    """The same keys in the same order and the same types; of lists the first members. Null has any type."""
    match found, example:
        case dict(), dict() if place.endswith((".versions", ".latency_ms")):  # keyed by names
            assert found, place
        case dict(), dict():
            assert list(found) == list(example), place
            for key, value in found.items():
                assert_same_form(value, example[key], f"{place}.{key}")
        case [first, *_], [other, *_]:
            assert_same_form(first, other, f"{place}[0]")
        case (None, _) | (_, None):
            pass
        case int() | float(), int() | float():
            assert isinstance(found, bool) == isinstance(example, bool), place
        case _:
            assert type(found) is type(example), place
            assert not isinstance(found, list), f"{place} is empty"
