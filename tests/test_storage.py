"""Weights in a file system that is not this host's: fsspec's memory stands for a bucket."""

import pytest

pytest.importorskip("upath")

from nas.errors import NasError
from nas.evaluators.full import FullEvaluator, full_weights
from nas.evaluators.proxy import ProxyEvaluator, trial_weights
from nas.network.build import build
from nas.storage import open_folder, read_bytes, write_bytes
from nas.store.store import Store
from nas.training.checkpoint import read_network, read_tensors
from nas.training.loop import Recipe
from nas.trial import Proposal, Trial, TrialState
from tests.test_proxy import NETWORK


@pytest.fixture
def bucket(request):
    return open_folder(f"memory://{request.node.name}")


def test_a_file_is_written_and_read(bucket):
    write_bytes(bucket / "deep" / "file", b"content")
    assert read_bytes(bucket / "deep" / "file") == b"content"


def test_what_cannot_be_read_or_opened_is_one_line(bucket):
    with pytest.raises(NasError, match=r"memory://.*/absent: "):
        read_bytes(bucket / "absent")
    with pytest.raises(NasError, match=r"--storage nosuch://x: .*expected a folder, or a URL"):
        open_folder("nosuch://x")


def test_a_trained_candidate_leaves_its_weights_there(bucket):
    trial = Trial(3, Proposal(NETWORK), 0, TrialState.RUNNING, seed=5)
    evaluator = ProxyEvaluator("digits", Recipe(1, 16), train_images=32, val_images=32, folder=bucket)
    evaluator.evaluate(trial, lambda epoch, metrics: False)
    architecture, network = read_network(trial_weights(bucket, 3))
    assert architecture == trial.proposal.architecture
    assert network.state_dict().keys() == build(architecture).state_dict().keys()


def test_a_training_goes_on_from_the_checkpoint_there(bucket):
    trial = Trial(0, Proposal(NETWORK), 0, TrialState.RUNNING, seed=5)
    evaluator = FullEvaluator("digits", Recipe(2, 16), bucket, train_images=32)
    evaluator.evaluate(trial, lambda epoch, metrics: True)  # stopped after the first epoch
    heard = []
    evaluator.evaluate(trial, lambda epoch, metrics: heard.append(epoch))
    assert heard == [2]
    assert read_tensors(full_weights(bucket, NETWORK, trial.seed))


def test_a_study_remembers_its_storage(tmp_path):
    with Store.open(tmp_path / "trials.db") as store:
        store.create_study("here", {})
        store.create_study("there", {"storage": "memory://weights"})
        assert store.weights_folder("here") == tmp_path / "here"
        assert str(store.weights_folder("there")) == "memory://weights/there"
