"""`nas adapt` end to end on digits: proposals with parents, a kill in the middle, and what goes wrong."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from nas.adapt import run as job
from nas.adapt.settings import AdaptSettings
from nas.adapt.trained import trial_source
from nas.architecture import Architecture, ConvBlock, MBConvBlock, PoolBlock
from nas.cli.main import nas
from nas.errors import NasError, StudyError
from nas.evaluators.adapt import AdaptEvaluator, _drawn
from nas.evaluators.proxy import trial_weights
from nas.latency.targets import load_target
from nas.network.build import build
from nas.network.widths import with_widths
from nas.sources import load_source
from nas.store.store import Sizes, Store
from nas.training.checkpoint import read_network, read_tensors, save_weights
from nas.training.data import load_data
from nas.training.loop import Recipe, train
from nas.trial import Outcome, Proposal, Trial, TrialState
from tests.test_docs import EXAMPLES, assert_same_form

SEED = Architecture(
    32,
    (
        ConvBlock(32, 3, 2, "relu"),
        MBConvBlock(32, 96, 3, 1, "relu", se_channels=24, skip="identity"),
        MBConvBlock(48, 128, 3, 2, "relu"),
        ConvBlock(96, 1, 1, "relu"),
        PoolBlock(),
    ),
    num_classes=10,
)
PIXEL = load_target("pixel")
SEED_MS = PIXEL.estimate(SEED).ms
SHORT = Recipe(1, 16, lr=0.02, warmup=0.0)


def go_on(epoch, metrics) -> bool:
    return False


@pytest.fixture(scope="module")
def seed_file(tmp_path_factory) -> Path:
    """A network that reads digits."""
    network, data = build(SEED), load_data("digits")
    outcome = train(network, data, Recipe(6, 16, lr=0.1), go_on)
    assert outcome.metrics["accuracy"] > 0.85
    path = tmp_path_factory.mktemp("seed") / "seed.safetensors"
    save_weights(path, network, {"architecture": SEED.to_json()})
    return path


def evaluator(folder, seed_file, **more) -> AdaptEvaluator:
    return AdaptEvaluator("digits", folder, seed_file, SHORT, replace(SHORT, epochs=3), images=320, **more)


def trial(number, architecture=SEED, epochs=0, parent=None) -> Trial:
    return Trial(number, Proposal(architecture, epochs, parent), 0, TrialState.RUNNING, seed=number + 5)


@pytest.mark.parametrize("importance", ["l2", "bn_scale", "taylor"])
def test_a_child_at_full_width_is_as_good_as_its_parent_and_a_narrow_one_learns_again(importance, seed_file, tmp_path):
    judge = evaluator(tmp_path, seed_file, importance=importance)
    seed = judge.evaluate(trial(0), go_on)
    assert "test_accuracy" in seed.metrics
    same = judge.evaluate(trial(1, parent=0), go_on)
    assert same.metrics["accuracy"] == seed.metrics["accuracy"]
    narrow = with_widths(SEED, {1: 32, 0: 16})
    cut = judge.evaluate(trial(2, narrow, parent=0), go_on)
    assert cut.metrics["accuracy"] < seed.metrics["accuracy"]
    assert [path.name for path in tmp_path.iterdir()] == ["trial-0.safetensors"]
    trained = judge.evaluate(trial(3, narrow, epochs=2, parent=0), go_on)
    assert trained.metrics["accuracy"] > cut.metrics["accuracy"]
    again = judge.evaluate(trial(4, narrow, parent=3), go_on)
    assert again.metrics["accuracy"] == trained.metrics["accuracy"]


def test_the_epochs_of_a_proposal_see_different_images_while_there_are_any(seed_file, tmp_path):
    judge, narrow = evaluator(tmp_path, seed_file), with_widths(SEED, {1: 32})
    judge.evaluate(trial(0), go_on)
    reports = []

    def outcome(images, epochs):
        proposal = trial(1, narrow, epochs, parent=0)
        found = replace(judge, images=images).evaluate(proposal, lambda epoch, metrics: reports.append(epoch))
        return found.metrics["loss"]

    assert outcome(320, 2) == outcome(640, 1)
    assert reports == [2, 1]  # of epochs that are not told apart the last one is reported
    many = len(load_data("digits").train) - 1
    assert outcome(many, 2) != outcome(many, 1)
    assert reports == [2, 1, 1, 2, 1]


@pytest.mark.parametrize(
    ("images", "epochs", "different", "passes"), [(150, 4, 600, 1), (300, 4, 600, 2), (999, 3, 999, 3)]
)
def test_a_proposal_sees_as_many_different_images_as_its_epochs_have_room_for(images, epochs, different, passes):
    """Of 1,000: also of epochs that together are longer than the training set."""
    data = load_data("digits").limited(train_images=1000)
    drawn, times = _drawn(data, images, epochs, (0, 0))
    assert (len(drawn.train), times) == (different, passes)
    assert _drawn(data, None, epochs, (0, 0)) == (data, epochs)


def test_the_last_training_may_learn_from_the_seed_or_begin_anew(seed_file, tmp_path):
    judge = evaluator(tmp_path, seed_file)
    judge.evaluate(trial(0), go_on)
    narrow = with_widths(SEED, {1: 32})
    ways = {
        "inherit": judge.evaluate(trial(1, narrow, epochs=3, parent=0), go_on),
        "distill": replace(judge, distill=True).evaluate(trial(1, narrow, epochs=3, parent=0), go_on),
        "scratch": judge.evaluate(trial(1, narrow, epochs=3), go_on),
    }
    assert len({outcome.metrics["loss"] for outcome in ways.values()}) == 3
    for outcome in ways.values():
        assert outcome.metrics["test_accuracy"] > 0
    assert ways["inherit"].metrics["accuracy"] > ways["scratch"].metrics["accuracy"]
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["trial-0.safetensors", "trial-1.safetensors"]


def test_a_proposal_that_diverges_is_a_failed_outcome_without_weights(seed_file, tmp_path):
    judge = evaluator(tmp_path, seed_file)
    judge.evaluate(trial(0), go_on)
    outcome = replace(judge, short=replace(SHORT, lr=1e30)).evaluate(trial(1, epochs=1, parent=0), go_on)
    assert outcome.state is TrialState.FAILED
    assert not trial_weights(tmp_path, 1).exists()


def test_a_parent_without_weights_and_a_full_disk_end_the_study_in_one_line(seed_file, tmp_path, monkeypatch):
    judge = evaluator(tmp_path, seed_file)
    with pytest.raises(NasError, match=r"trial-7.safetensors: no such file"):
        judge.evaluate(trial(8, parent=7), go_on)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nas.storage.os.fsync", full)
    with pytest.raises(NasError, match=r"trial-0.checkpoint.safetensors: weights not saved: No space left on device"):
        judge.evaluate(trial(0, epochs=1), go_on)
    assert not list(tmp_path.iterdir())


class Recorder:
    """Hears of trials, and presses Ctrl-C after some have ended."""

    def __init__(self, stop_after=None):
        self.ended_trials, self._stop_after = [], stop_after

    def started(self, entry): ...
    def reported(self, entry, epoch, metrics): ...
    def tick(self): ...

    def ended(self, entry):
        self.ended_trials.append(entry.trial.number)
        if len(self.ended_trials) == self._stop_after:
            raise KeyboardInterrupt


class InProcess:
    """An executor that starts no process."""

    def __init__(self, workers):
        assert workers == 1

    def run(self, queue, evaluator):
        while (trial := queue.ask()) is not None:
            queue.tell(trial, evaluator.evaluate(trial, lambda epoch, metrics: queue.report(trial, epoch, metrics)))


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.setattr(job, "LocalExecutor", InProcess)
    monkeypatch.chdir(tmp_path)


def settings(seed_file, **more) -> AdaptSettings:
    defaults = {
        "budget_ms": 0.8 * SEED_MS,
        "source": str(seed_file),
        "architecture": SEED.id,
        "target": "pixel1",
        "latency_version": PIXEL.version,
        "resolution": 16,
        "data": "digits",
        "delta": 0.08,
        "images": 160,
        "val_images": 150,
        "final_epochs": 3,
    }
    return AdaptSettings(**{**defaults, **more})


def run(store, seed_file, listener, measured_ms=None, **more):
    return job.adapt(
        settings(seed_file, **more),
        load_source(str(seed_file)),
        latency=PIXEL,
        store=store,
        listener=listener,
        name="a",
        measured_ms=measured_ms,
    )


def test_a_study_that_was_stopped_within_an_iteration_goes_on_to_the_same_network(
    seed_file, tmp_path, monkeypatch, here
):
    def recorded(store):
        return [(s.trial.proposal, s.trial.seed, s.trial.accuracy) for s in store.trials("a")]

    with Store.open(tmp_path / "whole.db") as store:
        whole = run(store, seed_file, Recorder())
        expected = recorded(store)
        trials = store.trials("a")
    (tmp_path / "broken").mkdir()
    monkeypatch.chdir(tmp_path / "broken")
    with Store.open("broken.db") as store:
        with pytest.raises(KeyboardInterrupt):
            run(store, seed_file, Recorder(stop_after=4))
        listener = Recorder()
        broken = run(store, seed_file, listener)
        assert recorded(store) == expected
        assert sorted(listener.ended_trials) == list(range(len(expected)))
        with pytest.raises(StudyError, match=r"begun with importance='taylor', not 'l2'"):
            run(store, seed_file, listener, importance="l2")
    assert broken.path == whole.path
    assert whole.path[-1].latency_ms <= 0.8 * SEED_MS
    assert read_network(whole.weights)[0] == whole.path[-1].architecture
    assert whole.final.trial.outcome.metrics["test_accuracy"] > 0.6
    proposals = [s for s in trials if s.trial.proposal.parent is not None and s is not trials[-1]]
    assert len(proposals) > 5
    for stored in proposals:
        metrics = stored.trial.outcome.metrics
        base = max((step for step in whole.path if step.number < stored.trial.number), key=lambda step: step.number)
        assert metrics["latency_change_ms"] == pytest.approx(stored.latency_ms - base.latency_ms)
        if stored.trial.proposal.epochs:
            assert metrics["accuracy_change"] == pytest.approx(stored.trial.accuracy - base.accuracy)
        else:
            assert metrics["loss_change"] >= 0 and stored.trial.accuracy is None
    kept = {path.name for path in (tmp_path / "a").iterdir()}
    held = {step.holder for step in whole.path} | {whole.final.trial.number}
    assert kept == {"seed.safetensors", *(f"trial-{number}.safetensors" for number in held)}


def test_other_weights_or_images_under_the_same_name_are_another_study(seed_file, tmp_path, here, monkeypatch):
    changing = tmp_path / "changing.safetensors"
    changing.write_bytes(seed_file.read_bytes())
    with Store.open("a.db") as store:
        with pytest.raises(KeyboardInterrupt):
            run(store, changing, Recorder(stop_after=1))
        save_weights(changing, build(SEED, seed=5), {"architecture": SEED.to_json(), "data": "digits"})
        with pytest.raises(StudyError, match="study 'a' was begun with other weights of that name"):
            run(store, changing, Recorder())
        changing.write_bytes(seed_file.read_bytes())
        with monkeypatch.context() as patch, pytest.raises(StudyError, match="begun with other images of that name"):
            patch.setattr(job, "data_content", lambda data: "others")
            run(store, changing, Recorder())
        run(store, changing, Recorder())


def test_readings_that_the_budget_came_from_decide_when_it_is_met(seed_file, here):
    """A machine that was slow when the seed was read for the budget: by its own scale the share is met."""
    with Store.open("a.db") as store:
        found = run(
            store,
            seed_file,
            Recorder(),
            budget_ms=0.8 * 1.1 * SEED_MS,
            final_epochs=0,
            proposals="zero",
            measured_ms=lambda network: 1.1 * PIXEL.estimate(network).ms,
        )
    ends = [PIXEL.estimate(step.architecture).ms for step in (found.path[0], found.path[-1])]
    assert 0.97 * 0.8 <= ends[1] / ends[0] <= 1.01 * 0.8


def invoke(arguments: str):
    return CliRunner().invoke(nas, arguments.split(), catch_exceptions=False)


def test_the_command_prints_the_path_and_its_result_can_be_exported(seed_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = invoke(
        f"adapt --from {seed_file} --budget {0.9 * SEED_MS}ms --data digits --resolution 16 --delta 0.05 "
        f"--rule mobilenet_v3 --epochs 1 --images 160 --val-images 150 --final-epochs 2 --workers 1 --json"
    )
    record = json.loads(shown.stdout)
    assert_same_form(record, EXAMPLES["adapt --json"])
    assert record["path"][0]["cut"] is None
    assert any(step["others"] for step in record["path"][1:])  # halving cuts several widths in a step
    assert record["path"][-1]["latency_ms"] <= 0.9 * SEED_MS
    assert record["latency"][1]["low_ms"] < record["latency"][1]["ms"] < record["latency"][1]["high_ms"]
    exported = json.loads(invoke(f"export trial:{record['final']['trial']} --format onnx-int8 --check --json").stdout)
    assert_same_form(exported, EXAMPLES["export ARCH --json"])
    assert exported["id"] == record["final"]["architecture"]
    assert exported["check"]["max_difference"] <= 1e-4
    assert exported["input"]["shape"] == ["batch", 3, 16, 16]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            "--from {} --budget 0.1ms",
            r"to 0.1 ms on pixel1; the smallest reachable is [\d.]+ ms",
        ),
        (
            "--from reference:mobilenet_v2 --budget 40ms",
            "mobilenet_v2 has no weights; give a file of weights",
        ),
        ("--from {} --budget 40ms --data cifar10x", "unknown data 'cifar10x'"),
        (
            "--from {} --budget 40ms --final-epochs 2 --epochs 2",
            "--final-epochs 2: .* no longer than a proposal's, --epochs 2; expected more, or 0",
        ),
        ("--from trial:1 --budget 40ms", "there is no trial 1 in the database"),
        ("--from {} --budget 40ms --distill --final-epochs 0", "say how the last network is trained"),
    ],
)
def test_a_mistake_is_one_line_before_any_work(arguments, message, seed_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Store.open("runs/trials.db").close()
    with pytest.raises(NasError, match=message) as caught:
        invoke(f"adapt --data digits {arguments.format(seed_file)}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "arguments",
    [
        "adapt --from trial:7 --budget 40ms",
        "adapt --from reference:mobilenet_v2 --budget 40ms --final-epochs 1",
        "adapt --from reference:mobilenet_v2 --budget 40ms --target nowhere",
        "adapt --from reference:mobilenet_v2 --budget 40ms --data nothing",
        "export trial:7 --format onnx",
        "export trial:1 --format timm --check",
        "export no_such_network --format onnx --untrained",
        "export mobilenet_v2 --format onnx --untrained --data nothing",
    ],
)
def test_a_mistake_that_is_known_without_torch_does_not_wait_for_it(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Store.open("runs/trials.db").close()
    for module in ("nas.adapt.run", "nas.sources", "nas.export.files"):
        monkeypatch.setitem(sys.modules, module, None)  # importing it is an ImportError
    with pytest.raises(NasError):
        invoke(arguments)


def test_the_name_of_a_search_is_refused_in_one_line(seed_file, here):
    with Store.open("a.db") as store:
        store.create_study("a", {"space": "mobilenet_v3", "data": "digits"})
        with pytest.raises(StudyError, match=r"study 'a' was begun by nas search, not by nas adapt; give another"):
            run(store, seed_file, Recorder())


def test_a_seed_for_other_classes_has_to_be_trained_first(seed_file, tmp_path, here):
    other = SEED.with_num_classes(7)
    save_weights(tmp_path / "other.safetensors", build(other), {"architecture": other.to_json()})
    with (
        Store.open("a.db") as store,
        pytest.raises(NasError, match=r"tells apart 7 classes, digits has 10; give --seed"),
    ):
        run(store, tmp_path / "other.safetensors", Recorder())


def test_a_network_within_the_budget_is_not_cut(seed_file, here):
    with Store.open("a.db") as store:
        found = run(store, seed_file, Recorder(), budget_ms=2 * SEED_MS, final_epochs=0)
    assert [step.architecture for step in found.path] == [SEED]
    assert read_network(found.weights)[0] == SEED


def test_a_budget_that_is_met_already_is_said_before_the_last_training(seed_file, here):
    command = f"adapt --from {seed_file} --budget {SEED_MS + 0.1}ms --data digits --images 160 --workers 1"
    shown = invoke(f"{command} --epochs 1 --final-epochs 2")
    assert "nothing to cut, only its last training of 2 epochs follows" in shown.stderr
    assert "nothing to cut, and nothing to train" in invoke(f"{command} --final-epochs 0").stderr
    refused = CliRunner().invoke(
        nas, ["adapt", "--from", "reference:mobilenet_v2", "--budget", "400ms", "--data", "digits"]
    )
    assert "has no weights" in str(refused.exception)
    assert "nothing to cut" not in refused.stderr


def test_a_loss_that_is_no_number_fails_its_proposal_and_the_others_go_on(seed_file, here, monkeypatch):
    def train_or_diverge(network, *arguments, **more):
        if network.blocks[0].conv.conv.out_channels < 32:  # the stem was cut
            return Outcome(error="the loss became nan in epoch 1; a smaller learning rate may help")
        return train(network, *arguments, **more)

    monkeypatch.setattr("nas.evaluators.adapt.train", train_or_diverge)
    with Store.open("a.db") as store:
        found = run(store, seed_file, Recorder(), proposals="full", epochs=1, budget_ms=0.95 * SEED_MS, final_epochs=0)
    assert found.counts[TrialState.FAILED] >= 1
    assert found.path[-1].latency_ms <= 0.95 * SEED_MS
    assert found.path[-1].architecture.blocks[0].channels == 32


def test_when_every_proposal_diverges_the_study_ends_and_says_so(seed_file, here):
    with (
        Store.open("a.db") as store,
        pytest.raises(StudyError, match="proposals of iteration 1 failed: the loss became"),
    ):
        run(store, seed_file, Recorder(), proposals="full", lr=1e30)


class Guessing:
    """Costs of the Pixel, of which the op that makes 128 channels is not a measured one."""

    base_ms, op_ms = PIXEL.costs.base_ms, PIXEL.costs.op_ms

    def guessed(self, layer) -> bool:
        return (layer.kind, layer.out_channels) == ("conv", 128)


def test_the_command_says_what_of_the_latency_and_the_steps_was_not_measured(seed_file, tmp_path, here, monkeypatch):
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("nas.latency.targets.load_target", lambda name, **_: replace(PIXEL, costs=Guessing()))
    command = (
        f"adapt --from {seed_file} --target host --budget 1s --data digits --resolution 16 --final-epochs 0 --workers 1"
    )
    shown = invoke(f"{command} --json")
    assert [entry["interpolated"] for entry in json.loads(shown.stdout)["latency"]] == [1, 1]
    assert shown.stderr.count("nas latency steps --target host would measure") == 1
    again = invoke(f"{command} --steps 8")
    lines = [line for line in again.stdout.splitlines() if line.endswith("; 1 of its ops interpolated)")]
    assert [line.split()[0] for line in lines] == ["seed", "final"]
    assert "nas latency steps" not in again.stderr
    assert "nas latency steps" not in invoke(command.replace("host", "pixel")).stderr


def test_a_result_that_nothing_trained_is_not_said_to_have_the_weights_of_what_it_was_cut_from(seed_file, here):
    command = (
        f"adapt --from {seed_file} --budget {0.95 * SEED_MS}ms --data digits --resolution 16 --proposals zero "
        f"--final-epochs 0 --workers 1"
    )
    final = json.loads(invoke(f"{command} --json").stdout)["final"]
    assert final["weights"] is None
    shown = invoke(command).stdout
    assert f"next: nas train trial:{final['trial']}" in shown
    assert "weights in" not in shown


def test_weights_of_a_reused_training_are_found_where_it_was_trained(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    network = build(SEED, seed=1)
    with Store.open("elsewhere/trials.db") as store:
        sizes, versions = Sizes(1, 1, 1), {"nas": "0"}
        for study, number in (("first", 0), ("first", 1), ("second", 0)):
            if store.study(study) is None:
                store.create_study(study, {"data": "digits", "resolution": 16})
            source = store.trials("first")[1].id if study == "second" else None
            store.add_trial(study, trial(number), sizes, 1.0, "pixel1", "1", versions, source=source)
            store.finish(study, number, Outcome({"accuracy": 0.5}), told=number)
        reused = store.trials("second")[0]
        path = store.weights_folder("first") / "trial-1.safetensors"
        save_weights(path, network, {"architecture": SEED.to_json()})
        found = trial_source(reused, store).network
    assert found is not None
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in found.state_dict().items())
    options = f"trial:{reused.id} --store elsewhere/trials.db"
    exported = json.loads(invoke(f"export {options} --format state-dict --out out --json").stdout)
    assert read_tensors(Path("out", exported["file"])).keys() == network.state_dict().keys()
    assert (exported["network"], exported["provenance"]["trial"]) == (f"trial:{reused.id}", reused.source)
    assert exported["provenance"]["study"] == "first"
    other = with_widths(SEED, {0: 8})
    save_weights(path, build(other), {"architecture": other.to_json()})
    with pytest.raises(NasError, match=r"trial-1.safetensors: holds the weights of another network than trial:3$"):
        invoke(f"export {options} --format onnx")
    path.unlink()
    line = (
        r"trial:3 has no weights: elsewhere/first/trial-1\.safetensors is not there \(it reuses .* trial:2\); [^\n]*$"
    )
    for command in (f"export {options} --format onnx", f"adapt --from {options} --budget 1s --data digits"):
        with pytest.raises(NasError, match=line):
            invoke(command)
