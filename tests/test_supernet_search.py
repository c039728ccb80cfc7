"""`nas search --evaluator supernet` on digits: one training, many candidates, the best few trained alone."""

import json
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from random import Random
from subprocess import PIPE
from threading import Timer

import pytest
from click.testing import CliRunner

from nas.architecture import Architecture, ConvBlock, PoolBlock
from nas.cli.finalists import train_finalists, winner_of
from nas.cli.main import nas
from nas.cli.search_result import print_answer
from nas.cli.supernet_progress import SupernetProgress
from nas.errors import DataError, NasError, SpaceError, StudyError
from nas.evaluators.supernet import SupernetEvaluator, _loaded
from nas.latency.model import Latency
from nas.network.build import build
from nas.search import SearchResult, SearchSettings, proxy_training
from nas.training.checkpoint import save_weights
from nas.training.loop import Recipe, train
from nas.training.supernet import Family
from nas.training.supernet_job import supernet_job
from nas.trial import Proposal, Trial, TrialState
from tests.test_check import SPACE
from tests.test_confidence import Model, stored_trial
from tests.test_docs import EXAMPLES, assert_same_form

ARGUMENTS = (
    "search --budget 100ms --data digits --evaluator supernet --trials 6 --workers 1 "
    "--proxy-epochs 2 --proxy-images 200 --proxy-resolution 16 --strategy random"
)


FINALISTS = ("--final-epochs", "1", "--finalists", "2")


def run(*more: str):
    return CliRunner().invoke(nas, [*ARGUMENTS.split(), *more], catch_exceptions=False)


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A folder with a finished search, its space, and what the search printed."""
    folder = tmp_path_factory.mktemp("searched")
    (folder / "little.yaml").write_text(SPACE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("NAS_CACHE", str(folder / "cache"))
        yield folder, run("--space", "little.yaml", "--json", *FINALISTS)


def test_one_training_serves_the_search_and_the_best_are_trained_alone(searched):
    folder, done = searched
    found = json.loads(done.stdout)
    assert found["trials"]["complete"] == 6
    assert found["best"]["evaluator"] == "supernet"
    assert len(found["finalists"]) == 2
    accuracies = [record["trained_accuracy"] for record in found["finalists"]]
    assert accuracies == sorted(accuracies, reverse=True)
    assert {record["trial"] for record in found["finalists"]} == {record["trial"] for record in found["top"][:2]}
    assert all(Path(record["weights"]).exists() for record in found["finalists"])
    (weights,) = (folder / "cache" / "supernets").glob("*.safetensors")
    assert weights.name.startswith("little-digits-")
    assert "supernet: step" in done.stderr
    example = EXAMPLES["search --evaluator supernet --json"]
    assert_same_form(found["finalists"][0], example["finalists"][0])


def test_the_seed_of_the_search_is_that_of_its_finalists(searched):
    folder, _ = searched
    found = json.loads(run("--space", "little.yaml", "--json", "--seed", "1", *FINALISTS).stdout)
    files = [Path(record["weights"]) for record in found["finalists"]]
    assert [file.name for file in files] == [
        f"{record['architecture']}-seed1.safetensors" for record in found["finalists"]
    ]
    assert all((folder / file).exists() for file in files)


def test_another_search_takes_the_supernet_from_the_cache(searched):
    _, done = searched
    again = run("--space", "little.yaml", "--json", "--seed", "1", "--finalists", "0")
    assert "supernet: step" not in again.stderr
    found = json.loads(again.stdout)
    assert found["study"] != json.loads(done.stdout)["study"]
    assert "finalists" not in found


def test_what_another_supernet_judged_is_not_mixed_with_this_ones(searched, monkeypatch):
    folder, done = searched
    first = json.loads(done.stdout)
    (weights,) = (folder / "cache" / "supernets").glob("*.safetensors")
    version = weights.stem.rpartition("-")[2]
    said = json.loads(CliRunner().invoke(nas, ["trials", "show", f"trial:{first['best']['trial']}", "--json"]).stdout)
    assert said["versions"]["supernet"] == version
    monkeypatch.setattr("nas.training.supernet_job._FORMAT", 0)
    with pytest.raises(NasError, match=rf"begun with another supernet \({version}, now \w+\); --fork begins"):
        run("--space", "little.yaml", "--json", *FINALISTS)
    forked = json.loads(run("--space", "little.yaml", "--json", "--fork", "--finalists", "0").stdout)
    assert forked["study"] == f"{first['study']}-2"
    shown = CliRunner().invoke(nas, ["trials", "show", f"trial:{forked['best']['trial']}", "--json"])
    assert json.loads(shown.stdout)["source"] is None
    assert forked["trials"]["complete"] == 6
    with pytest.raises(NasError, match="cannot be compared"):
        CliRunner().invoke(nas, ["pareto", first["study"], forked["study"]], catch_exceptions=False)
    (other,) = set((folder / "cache" / "supernets").glob("*.safetensors")) - {weights}
    other.unlink()


def test_who_waits_for_another_process_that_trains_the_same_says_so(searched, capsys):
    job = supernet_job("mobilenet_v3", "digits", resolution=32, epochs=1)
    job.path.parent.mkdir(parents=True, exist_ok=True)
    lock = job.path.with_suffix(".lock")
    holds = f"import filelock\nwith filelock.FileLock({str(lock)!r}): print('held', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", holds], stdin=PIPE, stdout=PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        made = job.path.touch, other.stdin.close  # what the other process makes, and its end
        Timer(0.5, lambda: [step() for step in made]).start()
        assert job.ready(lambda *_: None) == job.path
    assert "another process trains this supernet; waiting for it" in capsys.readouterr().err
    job.path.unlink()


def test_people_see_both_figures(searched):
    said = run("--space", "little.yaml", *FINALISTS).stdout
    assert "with the supernet's weights" in said
    assert "trained from scratch for 1 epochs" in said


def test_the_best_finalist_is_verified(searched, monkeypatch):
    _, done = searched
    favourite = json.loads(done.stdout)["best"]["trial"]
    (other,) = {record["trial"] for record in json.loads(done.stdout)["finalists"]} - {favourite}
    measured = []

    def favourite_last(*arguments, **more):
        return sorted(train_finalists(*arguments, **more), key=lambda record: record["trial"] == favourite)

    monkeypatch.setattr("nas.cli.finalists.train_finalists", favourite_last)
    monkeypatch.setattr("nas.cli.search.require_measurable", lambda target: None)
    monkeypatch.setattr("nas.cli.search.verify_best", lambda winner, latency: measured.append(winner.id) or {})
    run("--space", "little.yaml", "--json", "--verify", *FINALISTS)
    assert measured == [other]


def test_the_best_finalist_wins_whatever_the_search_thought(capsys):
    network = Architecture(32, (ConvBlock(12, 3, 2, "relu"), PoolBlock()), num_classes=10)
    figures = {"macs": 1, "params": 1, "peak_activation_bytes": 1, "latency_ms": 1.0}
    stored = replace(stored_trial(network), **figures, target="host", versions={"evaluator": "supernet"})
    trials = [replace(stored, id=number) for number in (7, 8)]
    found = SearchResult("study", {}, trials[0], trials[:1], trials)
    finalist = {"latency_ms": 1.0, "accuracy": 0.5, "trained_accuracy": 0.9, "epochs": 1, "resolution": 32}
    finalists = [{**finalist, "trial": number, "weights": "w"} for number in (8, 7)]
    assert winner_of(found, finalists) is trials[1]
    assert winner_of(found, []) is trials[0]
    settings = SearchSettings(
        2.0, proxy_training("digits", "supernet"), "host", "1", data="digits", evaluator="supernet"
    )
    print_answer(found, settings, Model(Latency(1.0, 0.9, 1.1)), finalists, None)
    assert "next: nas train trial:8 --data digits    nas show trial:8 " in capsys.readouterr().out


def test_another_space_or_data_or_recipe_is_another_supernet(searched):
    job = supernet_job("little.yaml", "digits", resolution=16, epochs=2, train_images=200)
    others = [
        replace(job, train_images=100),
        supernet_job("little.yaml", "digits", resolution=24, epochs=2, train_images=200),
        replace(job, space="mobilenet_v1"),
    ]
    assert job.path.exists()
    assert len({job.path, *(other.path for other in others)}) == 4
    with pytest.raises(NasError, match="no such file"):
        others[0].load()


def test_of_a_broken_supernet_it_says_what_to_do(searched):
    job = supernet_job("little.yaml", "digits", resolution=16, epochs=1, train_images=200)
    job.path.write_bytes(b"cut short")
    with pytest.raises(NasError, match=r"not a safetensors file: .*; remove it, and the next search trains it again"):
        job.load()
    job.path.unlink()
    with pytest.raises(NasError, match=r"no such file$"):
        job.load()


def test_the_evaluator_refuses_what_it_cannot_judge(searched):
    evaluator = SupernetEvaluator(supernet_job("little.yaml", "digits", resolution=16, epochs=2, train_images=200))
    network = Architecture(32, (ConvBlock(12, 3, 2, "relu"), PoolBlock()), num_classes=10)
    with pytest.raises(SpaceError, match="not a point of little"):
        evaluator.evaluate(trial(network), lambda *_: False)
    with pytest.raises(DataError, match="has 10 classes, the network tells apart 7"):
        evaluator.evaluate(trial(network.with_num_classes(7)), lambda *_: False)
    with pytest.raises(StudyError, match="inherit"):
        evaluator.evaluate(trial(network, parent=1), lambda *_: False)


def test_a_start_of_its_own_is_half_of_what_a_network_is_judged_by(searched):
    job = supernet_job("little.yaml", "digits", resolution=16, epochs=2, train_images=200)
    network = job._space().decode(job._space().sample(Random(0)))
    one = trial(network)
    shared = SupernetEvaluator(job).evaluate(one, lambda *_: False).metrics
    joined = SupernetEvaluator(job, own_images=100).evaluate(one, lambda *_: False).metrics
    data = job.load_data().limited(100)
    seed = 0x5EED  # another one than that of a training by the trial's seed
    own = train(build(network, seed=seed), data, Recipe(1, 16, 64, lr=0.1, seed=seed), lambda *_: False).metrics
    assert (joined["shared_accuracy"], joined["own_accuracy"]) == (shared["accuracy"], own["accuracy"])
    assert joined["accuracy"] == (shared["accuracy"] + own["accuracy"]) / 2
    assert joined["loss"] == (shared["loss"] + own["loss"]) / 2
    assert own["loss"] != shared["loss"]
    again = SupernetEvaluator(job, own_images=100).evaluate(replace(one, seed=1), lambda *_: False).metrics
    assert again["shared_accuracy"] == joined["shared_accuracy"]
    assert again["loss"] != joined["loss"]


def test_a_start_that_diverges_is_the_trials_error(searched, monkeypatch):
    job = supernet_job("little.yaml", "digits", resolution=16, epochs=2, train_images=200)
    evaluator = SupernetEvaluator(job, own_images=100)
    monkeypatch.setattr("nas.training.loop._train_epoch", lambda *_: float("nan"))
    network = job._space().decode(job._space().sample(Random(0)))
    error = evaluator.evaluate(trial(network), lambda *_: False).error
    assert "the start of its own training: the loss became nan" in error


def test_a_study_goes_on_with_the_start_it_was_begun_with(searched):
    more = ("--space", "little.yaml", "--study", "joined", "--finalists", "0")
    begun = json.loads(run(*more, "--json", "--own-images", "100").stdout)
    said = json.loads(CliRunner().invoke(nas, ["trials", "show", f"trial:{begun['best']['trial']}", "--json"]).stdout)
    assert said["versions"]["supernet"].endswith("+100")
    assert said["metrics"]["accuracy"] == (said["metrics"]["shared_accuracy"] + said["metrics"]["own_accuracy"]) / 2
    printed = run(*more, "--own-images", "100").stdout
    assert "and the start of a training of its own" in printed
    assert "--evaluator supernet --own-images 100`" in printed
    with pytest.raises(NasError, match="begun with own_images=100, not None"):
        run(*more)
    with pytest.raises(NasError, match="cannot be compared"):
        CliRunner().invoke(nas, ["pareto", "joined", json.loads(searched[1].stdout)["study"]], catch_exceptions=False)


def test_studies_from_before_there_were_images_of_its_own_keep_their_names():
    usual = SearchSettings(60.0, proxy_training("cifar10", "supernet"), "pixel1", "1", evaluator="supernet", trials=300)
    assert usual.study_name == "pixel1-60ms-cifar10-eb9f13"  # of README's session
    assert replace(usual, own_images=5000).study_name != usual.study_name


@pytest.mark.parametrize("command", ["search --budget 60ms --data digits", "space check --data digits"])
def test_images_of_its_own_are_for_a_supernets_candidates(command):
    arguments = [*command.split(), "--evaluator", "proxy", "--own-images", "5"]
    with pytest.raises(NasError, match=r"--own-images is a part of how .*; expected --evaluator supernet"):
        CliRunner().invoke(nas, arguments, catch_exceptions=False)


@pytest.mark.parametrize("command", ["search --budget 60ms", "space check"])
def test_a_start_has_no_more_images_than_the_supernet(command):
    arguments = [*command.split(), "--data", "digits", "--evaluator", "supernet", "--proxy-images", "200"]
    with pytest.raises(NasError, match="--own-images 201; expected at most the 200 that the supernet is trained on"):
        CliRunner().invoke(nas, [*arguments, "--own-images", "201"], catch_exceptions=False)


def trial(network: Architecture, parent: int | None = None) -> Trial:
    return Trial(0, Proposal(network, parent=parent), asked_after=0, state=TrialState.RUNNING)


def test_a_supernet_without_data_is_refused():
    with pytest.raises(NasError, match="the supernet evaluator trains its networks; expected --data"):
        CliRunner().invoke(nas, ["search", "--budget", "60ms", "--evaluator", "supernet"], catch_exceptions=False)


def test_progress_is_a_line_when_there_is_something_new(capsys):
    show = SupernetProgress()
    for step, metrics in ((1, {}), (2, {}), (3, {"accuracy_largest": 0.5}), (4, {"accuracy_largest": 0.5})):
        show(step, 9, metrics)
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(";")[0] for line in lines] == [
        "supernet: step 1 of 9",
        "supernet: step 3 of 9, accuracy of largest 50.0%",
    ]


def test_a_worker_judges_with_a_supernet_that_travelled_as_with_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("nas.training.data._GIVEN", {})
    monkeypatch.setattr("nas.training.supernet_job._GIVEN", {})
    space = tmp_path / "little.yaml"
    space.write_text(SPACE)
    job = supernet_job(str(space), "digits", resolution=16, epochs=1, train_images=64)
    save_weights(job.path, Family(job._space(), seed=7).supernet, {})
    judge = SupernetEvaluator(job, val_images=64, own_images=64, calibration_images=64)
    network = job._space().decode(job._space().sample(Random(0)))
    trial = Trial(0, Proposal(network), 0, TrialState.RUNNING)

    with_file = judge.evaluate(trial, lambda epoch, metrics: False).metrics
    sent = pickle.dumps(judge.shared())
    job.path.unlink()
    space.unlink()
    _loaded.cache_clear()
    pickle.loads(sent)()
    with_what_came = judge.evaluate(trial, lambda epoch, metrics: False).metrics
    _loaded.cache_clear()
    assert with_what_came["loss"] == with_file["loss"]
    assert with_what_came["accuracy"] == with_file["accuracy"]
