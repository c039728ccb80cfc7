"""A whole study: interrupted in any step it comes to what the unbroken one does, and the search sees no test image."""

import json
import shutil
import socket

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from nas.architecture import Architecture
from nas.cli.main import nas
from nas.cli.run import _STEPS
from nas.errors import NasError
from nas.evaluators.full import FullEvaluator
from nas.executors.inline import InlineExecutor
from nas.pipeline.run import STEPS, run
from nas.store.store import Store
from nas.trial import Outcome
from tests.pipeline_helpers import STUDY, Events, make_bench, write_study
from tests.test_docs import EXAMPLES, assert_same_form


class Cut(BaseException):
    """In place of a kill: nothing of ours catches it."""


@pytest.fixture(autouse=True, scope="module")
def inline():
    """Trials in this process: no worker has to start. Real workers and real kills: tests/test_pipeline_killed.py."""
    patch = pytest.MonkeyPatch()
    for module in ("nas.search.run", "nas.adapt.run"):
        patch.setattr(f"{module}.LocalExecutor", lambda workers: InlineExecutor())
    yield
    patch.undo()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of an unbroken study, and what it came to."""
    folder = tmp_path_factory.mktemp("whole")
    with Store.open(folder / "trials.db") as store:
        ran = run(make_bench(write_study(folder), store, Events()))
    return folder, ran


def decisions(record):
    """What must not depend on when a study was interrupted."""
    networks = [{key: one[key] for key in ("name", "id", "test_accuracies")} for one in record["networks"]]
    ablated = [{key: one[key] for key in ("without", "id", "test_accuracies")} for one in record["ablations"]["rows"]]
    return record["search"], record["path"], networks, ablated, record["agreement"]


def interrupted(folder, step, after):
    """Run until `after` pieces of news of the step have come."""
    heard = []

    def happen():
        if any(line.endswith(f": {step}") for line in events.lines):
            heard.append(1)
            if len(heard) > after:
                raise Cut

    events = Events(happen)
    with Store.open(folder / "trials.db") as store, pytest.raises(Cut):
        run(make_bench(folder / "study.yaml", store, events))


def test_interrupted_in_every_step_it_comes_to_the_same(whole, tmp_path):
    write_study(tmp_path)
    for step, after in (("search", 3), ("search", 6), ("adapt", 4), ("compare", 7), ("ablate", 8), ("export", 0)):
        interrupted(tmp_path, step, after)
    with Store.open(tmp_path / "trials.db") as store:
        ran = run(make_bench(tmp_path / "study.yaml", store, Events()))
    assert decisions(ran.record) == decisions(whole[1].record)


def test_steps_that_are_done_are_skipped(whole, tmp_path):
    folder = shutil.copytree(whole[0], tmp_path / "again")
    (weights,) = folder.glob("main/trained-*")
    shutil.rmtree(weights)  # a training would make it again
    events = Events()
    with Store.open(folder / "trials.db") as store:
        ran = run(make_bench(folder / "study.yaml", store, events))
    assert events.lines == [f"step {place} of {len(STEPS)}: {step}" for place, step in enumerate(STEPS, 1)]
    assert decisions(ran.record) == decisions(whole[1].record)
    assert not weights.exists()


def test_the_report_says_what_was_found(whole):
    folder, ran = whole
    record = json.loads((folder / "report.json").read_text())
    assert record == ran.record
    assert [one["name"] for one in record["networks"]] == ["found", "known", "other, scaled", "random"]
    assert all(one["latency_ms"] <= record["budget_ms"] for one in record["networks"])
    assert record["search"][record["best"]]["reward"] == max(one["reward"] for one in record["search"])
    assert record["path"][-1]["latency_ms"] == pytest.approx(record["networks"][0]["latency_ms"])
    found = Architecture.from_json((folder / "report.architecture.json").read_text())
    assert found.id == record["networks"][0]["id"]
    trials = (folder / "report.trials.csv").read_text().splitlines()
    assert len(trials) > 2 * 4 + len(record["path"])
    assert "<html" in (folder / "report.html").read_text()
    for name in ("report.html", "report.trials.csv", "report.json", "report.md"):
        text = (folder / name).read_text()
        assert socket.gethostname() not in text
        assert str(folder) not in text
    assert (folder / "report.png").read_bytes().startswith(b"\x89PNG")
    text = (folder / "report.md").read_text()
    assert "| trial | cut | to | others cut |" in text
    assert all(
        title in text for title in ("## Networks", "## Block by block", "## Ablations", "## Agreement with known")
    )


def test_the_json_of_a_study_has_the_documented_form(whole):
    assert_same_form(whole[1].record, EXAMPLES["run STUDY --json"])


def test_the_command_names_the_steps_that_there_are():
    assert _STEPS == STEPS


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("trials: 4", "trials: 5", r"search\.json: was made with trials=4"),
        ("label_smoothing: 0.1", "label_smoothing: 0.2", r"compare\.json: was made with train"),
        ("seeds: [0, 1]", "seeds: [0, 2]", r"compare\.json: was made with seeds=\[0, 1\], not \[0, 2\]"),
    ],
)
def test_other_settings_than_those_of_a_finished_step_are_refused(whole, tmp_path, old, new, message):
    folder = shutil.copytree(whole[0], tmp_path / "changed")
    assert old in STUDY
    (folder / "study.yaml").write_text(STUDY.replace(old, new))
    with Store.open(folder / "trials.db") as store, pytest.raises(NasError, match=message):
        run(make_bench(folder / "study.yaml", store, Events()))


@pytest.fixture
def third_seed(whole, tmp_path, monkeypatch):
    """The study with a third seed, whose trainings are made up; the found network's first one is to be done again."""
    folder = shutil.copytree(whole[0], tmp_path / "third")
    (folder / "study.yaml").write_text(STUDY.replace("seeds: [0, 1]", "seeds: [0, 1, 2]"))
    (folder / "main" / "export.json").unlink()  # it is of the first one
    found = whole[1].record["networks"][0]["id"]
    (kept,) = folder.glob(f"main/trained-*/{found}.json")
    kept.unlink()
    figures = {"accuracy": 0.5, "test_accuracy": 0.5, "train_seconds": 1.0}

    def fail(*failing):
        def evaluate(self, trial, report):
            seed = trial.seed if trial.proposal.architecture.id == found else None
            return Outcome(error="the loss became nan in epoch 1") if seed in failing else Outcome(figures)

        monkeypatch.setattr(FullEvaluator, "evaluate", evaluate)
        return folder

    return fail


def test_a_training_that_fails_is_left_out_and_reported(whole, third_seed):
    folder, events = third_seed(0), Events()
    with Store.open(folder / "trials.db") as store:
        record = run(make_bench(folder / "study.yaml", store, events)).record
    found, second = record["networks"][0], whole[1].record["networks"][0]["test_accuracies"][1]
    assert found["test_accuracies"] == [None, second, 0.5]
    assert found["test_accuracy"]["mean"] == pytest.approx((second + 0.5) / 2)
    assert None not in record["networks"][1]["test_accuracies"]
    assert any(line.endswith("was not evaluated: the loss became nan in epoch 1") for line in events.lines)
    assert "| found (1 of 3 trainings failed) |" in (folder / "report.md").read_text()
    assert json.loads((folder / "main" / "export.json").read_text())["inputs"]["seed"] == 1


def test_a_network_whose_trainings_fail_but_for_one_ends_the_run(third_seed):
    folder = third_seed(0, 2)
    with Store.open(folder / "trials.db") as store, pytest.raises(NasError, match="1 of 3 trainings ended"):
        run(make_bench(folder / "study.yaml", store, Events()))


@pytest.fixture
def photos(tmp_path):
    """A folder of images as ImageNet's: `train/` of two classes, and `val/` whose images cannot be read."""
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        for part in ("train", "val"):
            (tmp_path / "photos" / part / label).mkdir(parents=True)
        for number in range(20):
            pixels = rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / "train" / label / f"{number}.png")
        (tmp_path / "photos" / "val" / label / "0.png").write_bytes(b"no image")
    return tmp_path / "photos"


def test_search_and_netadapt_read_no_test_image_of_a_folder(photos, tmp_path):
    """The test images are broken: whoever reads one fails, as the comparison does, which is to read them."""
    path = write_study(tmp_path, STUDY.replace("data: digits", "data: imagefolder:imagenet"))
    arguments = f"run {path} --data imagefolder:{photos} --store {tmp_path}/trials.db --workers 1 --json"
    ran = CliRunner().invoke(nas, [*arguments.split(), "--until", "adapt"], catch_exceptions=False)
    assert json.loads(ran.stdout)["steps"] == ["search", "adapt"]
    with pytest.raises(NasError, match=r"val/\w+/0.png: not a readable image"):
        CliRunner().invoke(nas, arguments.split(), catch_exceptions=False)
