"""The proxy evaluator on digits."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from nas.architecture import Architecture, ConvBlock, MBConvBlock, PoolBlock
from nas.errors import DataError, NasError, StudyError
from nas.evaluators.full import FullEvaluator
from nas.evaluators.proxy import ProxyEvaluator, trial_weights
from nas.network.build import build
from nas.space import load_reference
from nas.training.checkpoint import load_weights
from nas.training.data import load_data
from nas.training.full import checkpoint_path, full_recipe, train_fully
from nas.training.loop import Recipe, measure
from nas.trial import Proposal, Trial, TrialState

NETWORK = Architecture(
    224, (ConvBlock(16, 3, 1, "hswish"), MBConvBlock(24, 64, 3, 2, "relu", se_channels=8), PoolBlock()), num_classes=10
)
EVALUATOR = ProxyEvaluator("digits", Recipe(epochs=3, resolution=8, batch_size=32), train_images=400, val_images=150)


def trial(architecture=NETWORK, parent=None) -> Trial:
    return Trial(4, Proposal(architecture, parent=parent), asked_after=0, state=TrialState.RUNNING, seed=11)


def go_on(epoch, metrics) -> bool:
    return False


def test_weights_of_a_trial_give_its_accuracy_again(tmp_path):
    outcome = replace(EVALUATOR, folder=tmp_path).evaluate(trial(), go_on)
    path = trial_weights(tmp_path, 4)
    assert [path] == list(tmp_path.iterdir())
    network = build(NETWORK, seed=99)
    load_weights(path, network)
    data = load_data("digits").limited(val_images=150)
    assert measure(network, data, data.val, 8)["accuracy"] == outcome.metrics["accuracy"]
    with safe_open(path, framework="pt") as file:
        assert Architecture.from_json(file.metadata()["architecture"]) == NETWORK


def test_a_network_that_diverges_is_a_failed_outcome_and_leaves_no_weights(tmp_path):
    evaluator = replace(EVALUATOR, folder=tmp_path, recipe=replace(EVALUATOR.recipe, lr=1e30))
    outcome = evaluator.evaluate(trial(), go_on)
    assert outcome.state is TrialState.FAILED
    assert not list(tmp_path.iterdir())


def test_a_network_for_another_number_of_classes_is_an_error():
    with pytest.raises(DataError, match="digits has 10 classes, the network tells apart 7"):
        EVALUATOR.evaluate(trial(NETWORK.with_num_classes(7)), go_on)


def test_a_trial_that_is_to_inherit_weights_is_an_error_rather_than_trained_from_scratch():
    with pytest.raises(StudyError, match="trial 4 is to inherit weights"):
        EVALUATOR.evaluate(trial(parent=2), go_on)


def test_number_of_threads_is_set():
    before = torch.get_num_threads()
    try:
        replace(EVALUATOR, threads=before + 1, recipe=replace(EVALUATOR.recipe, epochs=1)).evaluate(trial(), go_on)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_a_published_network_runs_at_the_proxy_resolution_and_keeps_its_own():
    network = load_reference("mobilenet_v3_small").with_num_classes(10)
    evaluator = replace(EVALUATOR, recipe=Recipe(epochs=1, resolution=32), train_images=128, val_images=50)
    assert evaluator.evaluate(trial(network), go_on).state is TrialState.COMPLETE
    assert network.resolution == 224


def test_full_training_ends_with_a_test_figure_and_goes_on_after_a_kill(tmp_path):
    weights = tmp_path / "net.safetensors"
    data, recipe = load_data("digits").limited(train_images=400), full_recipe(epochs=4, resolution=8)
    expected = train_fully(NETWORK, data, recipe, go_on, tmp_path / "unbroken.safetensors")
    stopped = train_fully(NETWORK, data, recipe, lambda epoch, metrics: epoch == 2, weights)
    assert stopped.stopped
    assert "test_accuracy" not in stopped.metrics
    assert checkpoint_path(weights).exists()
    epochs = []
    finished = train_fully(NETWORK, data, recipe, lambda epoch, metrics: epochs.append(epoch) is not None, weights)
    assert epochs == [3, 4]
    assert finished.metrics["test_accuracy"] == expected.metrics["test_accuracy"]
    assert finished.metrics["accuracy"] == expected.metrics["accuracy"]
    network = build(NETWORK)
    load_weights(weights, network)
    assert measure(network, data, data.test, 8)["accuracy"] == finished.metrics["test_accuracy"]


def test_a_step_of_clipped_gradients_is_as_long_as_the_clip_allows(tmp_path):
    recipe = replace(full_recipe(epochs=1, resolution=8), weight_decay=0.0, warmup=0.0, batch_size=400)
    weights, before, after = tmp_path / f"{NETWORK.id}-seed11.safetensors", build(NETWORK, seed=11), build(NETWORK)
    FullEvaluator("digits", recipe, tmp_path, train_images=400, clip=0.01).evaluate(trial(), go_on)
    load_weights(weights, after)
    pairs = zip(before.parameters(), after.parameters(), strict=True)
    moved = torch.stack([(new - old).norm() for old, new in pairs]).norm().item()
    nesterov = 1 + recipe.momentum  # a first step is the gradient and, once more, its share that is momentum
    assert moved == pytest.approx(recipe.lr * nesterov * 0.01, rel=1e-3)


def test_a_training_does_not_go_on_with_another_clip(tmp_path):
    weights, data, recipe = tmp_path / "net.safetensors", load_data("digits").limited(100), full_recipe(2, 8)
    train_fully(NETWORK, data, recipe, lambda epoch, metrics: True, weights, clip=1.0)
    with pytest.raises(NasError, match="other settings"):
        train_fully(NETWORK, data, recipe, go_on, weights, clip=2.0)


def test_full_training_refuses_data_with_another_number_of_classes(tmp_path):
    with pytest.raises(DataError, match="tells apart 7"):
        train_fully(
            NETWORK.with_num_classes(7), load_data("digits"), full_recipe(1, 8), go_on, tmp_path / "net.safetensors"
        )


def test_a_folder_of_photographs_can_be_learned(tmp_path):
    rng = np.random.default_rng(0)
    for name, colour in (("leaf", (30, 160, 40)), ("brick", (170, 60, 40))):
        (tmp_path / name).mkdir()
        for index in range(60):
            noise = rng.integers(-25, 25, (24, 32, 3))
            Image.fromarray(np.uint8(np.array(colour) + noise)).save(tmp_path / name / f"{index}.jpg")
    evaluator = ProxyEvaluator(f"imagefolder:{tmp_path}", Recipe(epochs=8, resolution=16, batch_size=16))
    outcome = evaluator.evaluate(trial(NETWORK.with_num_classes(2)), go_on)
    assert outcome.metrics["accuracy"] > 0.9
