"""What every evaluator does: it can be sent to a worker, reports each epoch, stops when told, repeats itself."""

import pickle
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from nas.architecture import Architecture, ConvBlock, PoolBlock, SepConvBlock
from nas.evaluators.adapt import AdaptEvaluator
from nas.evaluators.proxy import ProxyEvaluator
from nas.training.loop import Recipe
from nas.trial import Proposal, Trial, TrialState

ROOT = Path(__file__).parents[2]
SCRATCH = TemporaryDirectory()
RECIPE = Recipe(epochs=3, resolution=8, batch_size=32)
EVALUATORS = {
    "adapt": AdaptEvaluator("digits", Path(SCRATCH.name), None, RECIPE, Recipe(9, 8), val_images=100),
    "proxy": ProxyEvaluator("digits", RECIPE, train_images=200, val_images=100),
}
NETWORK = Architecture(224, (ConvBlock(8, 3, 1, "hswish"), SepConvBlock(16, 3, 2, "relu"), PoolBlock()), num_classes=10)
TIMINGS = {"train_seconds", "images_per_second"}


def trial(seed: int = 5, epochs: int | None = None) -> Trial:
    return Trial(3, Proposal(NETWORK, epochs=epochs), asked_after=0, state=TrialState.RUNNING, seed=seed)


def go_on(epoch, metrics) -> bool:
    return False


def untimed(metrics):
    return {name: value for name, value in metrics.items() if name not in TIMINGS}


@pytest.fixture(params=EVALUATORS)
def evaluator(request):
    return EVALUATORS[request.param]


def test_outcome_has_an_accuracy_between_0_and_1_and_is_complete(evaluator):
    outcome = evaluator.evaluate(trial(), go_on)
    assert 0 <= outcome.metrics["accuracy"] <= 1
    assert outcome.state is TrialState.COMPLETE
    assert all(isinstance(value, float) for value in outcome.metrics.values())


def test_epochs_are_reported_in_order_from_1_and_the_last_is_the_outcome(evaluator):
    reported = []
    outcome = evaluator.evaluate(trial(), lambda epoch, metrics: reported.append((epoch, dict(metrics))) is not None)
    assert [epoch for epoch, _ in reported] == list(range(1, len(reported) + 1))
    assert reported[-1][1]["accuracy"] == outcome.metrics["accuracy"]


def test_a_report_that_returns_true_stops_the_trial(evaluator):
    reported = []
    outcome = evaluator.evaluate(trial(), lambda epoch, metrics: reported.append(epoch) is None)
    assert reported == [1]
    assert outcome.state is TrialState.STOPPED
    assert "accuracy" in outcome.metrics


def test_proposal_may_ask_for_its_own_number_of_epochs(evaluator):
    reported = []
    evaluator.evaluate(trial(epochs=2), lambda epoch, metrics: reported.append(epoch) is not None)
    assert reported == [1, 2]


def test_same_seed_gives_the_same_metrics_and_another_seed_others(evaluator):
    once, again, other = (evaluator.evaluate(trial(seed), go_on) for seed in (5, 5, 6))
    assert untimed(once.metrics) == untimed(again.metrics)
    assert untimed(once.metrics) != untimed(other.metrics)


def test_a_copy_sent_to_another_process_gives_the_same_metrics(evaluator, tmp_path):
    work = tmp_path / "work"
    work.write_bytes(pickle.dumps((evaluator, trial())))
    code = (
        "import pickle, sys, pathlib\n"
        "evaluator, trial = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes())\n"
        "outcome = evaluator.evaluate(trial, lambda epoch, metrics: False)\n"
        "pathlib.Path(sys.argv[1]).write_bytes(pickle.dumps(outcome))\n"
    )
    subprocess.run([sys.executable, "-c", code, str(work)], cwd=ROOT, check=True)
    there = pickle.loads(work.read_bytes())
    assert untimed(there.metrics) == untimed(evaluator.evaluate(trial(), go_on).metrics)
