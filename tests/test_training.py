"""The training loop and its checkpoints, on real digits."""

import json
import warnings
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from nas import storage
from nas.architecture import Architecture, ConvBlock, MBConvBlock, PoolBlock
from nas.errors import NasError
from nas.network.build import build
from nas.training.batches import eval_batches, train_batches
from nas.training.checkpoint import load_weights, save_weights
from nas.training.data import load_data
from nas.training.loop import Recipe, measure, precision, train

DATA = load_data("digits").limited(train_images=400, val_images=200)
NETWORK = Architecture(
    16,
    (
        ConvBlock(16, 3, 1, "hswish"),
        MBConvBlock(24, 64, 3, 2, "relu", se_channels=8),
        MBConvBlock(24, 48, 5, 2, "hswish"),
        PoolBlock(),
    ),
    num_classes=10,
)
RECIPE = Recipe(epochs=4, resolution=16, batch_size=32, lr=0.1)


def go_on(epoch, metrics) -> bool:
    return False


def test_a_small_network_learns_digits():
    network = build(NETWORK)
    untrained = measure(network, DATA, DATA.val, 16)
    outcome = train(network, DATA, replace(RECIPE, epochs=6), go_on)
    assert untrained["accuracy"] < 0.3
    assert outcome.metrics["accuracy"] > 0.7
    assert outcome.metrics["loss"] < untrained["loss"]
    assert outcome.metrics["images_per_second"] > 0
    assert measure(network, DATA, DATA.val, 16)["accuracy"] == outcome.metrics["accuracy"]


def test_measured_accuracy_and_loss_are_those_of_every_image():
    network = build(NETWORK).eval()
    images, labels = (torch.cat(parts) for parts in zip(*eval_batches(DATA, DATA.test, 16), strict=True))
    with torch.inference_mode():
        logits = network(images)
    metrics = measure(network, DATA, DATA.test, 16)
    assert len(labels) == len(DATA.test) == 359
    assert metrics["accuracy"] == pytest.approx((logits.argmax(1) == labels).double().mean().item())
    assert metrics["loss"] == pytest.approx(torch.nn.functional.cross_entropy(logits, labels).item(), rel=1e-4)


def test_every_epoch_is_reported_and_the_last_report_is_the_outcome():
    reported = []
    outcome = train(build(NETWORK), DATA, RECIPE, lambda epoch, metrics: reported.append((epoch, metrics)) is not None)
    assert [epoch for epoch, _ in reported] == [1, 2, 3, 4]
    assert outcome.metrics == reported[-1][1]
    assert not outcome.stopped


def test_training_stops_when_the_report_says_so():
    outcome = train(build(NETWORK), DATA, RECIPE, lambda epoch, metrics: epoch == 2)
    assert outcome.stopped
    assert outcome.metrics["accuracy"] > 0


def trained(seed: int) -> dict[str, torch.Tensor]:
    network = build(NETWORK)
    train(network, DATA, replace(RECIPE, epochs=1, seed=seed), go_on)
    return network.state_dict()


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.values(), other.values(), strict=True))


def test_seed_alone_decides_what_training_gives():
    assert same(trained(seed=3), trained(seed=3))
    assert not same(trained(seed=3), trained(seed=4))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_loss_that_is_no_number_is_an_error_value():
    outcome = train(build(NETWORK), DATA, replace(RECIPE, lr=1e30), go_on)
    assert outcome.error is not None
    assert "the loss became" in outcome.error
    assert "epoch 1" in outcome.error


def test_learning_rate_rises_in_a_line_and_falls_to_nearly_zero():
    rates = [RECIPE.lr_at(step, 100) for step in range(100)]
    assert max(rates) == rates[20] == RECIPE.lr
    assert rates[:21] == sorted(rates[:21])
    assert rates[20:] == sorted(rates[20:], reverse=True)
    assert 0 < rates[0] < 0.1 * RECIPE.lr
    assert 0 < rates[-1] < 0.01 * RECIPE.lr


# ---------------------------------------------------------------- batches


def test_training_batches_are_full_shuffled_and_show_no_image_twice():
    still = replace(DATA, mean=(0, 0, 0), std=(1, 1, 1))
    batches = list(train_batches(still, 64, 8, np.random.default_rng(0)))
    assert [len(labels) for _, labels in batches] == [64] * 6
    assert not torch.equal(torch.cat([labels for _, labels in batches]), torch.from_numpy(DATA.train.labels[:384]))
    assert all(images.is_contiguous(memory_format=torch.channels_last) for images, _ in batches)


def test_fewer_images_than_a_batch_are_one_batch():
    few = DATA.limited(train_images=10)
    assert [len(labels) for _, labels in train_batches(few, 64, 8, np.random.default_rng(0))] == [10]


def test_evaluated_images_are_normalised_and_otherwise_as_they_are():
    batches = list(eval_batches(DATA, DATA.val, 8))
    images, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
    pixels = torch.from_numpy(DATA.val.read(np.arange(200))).permute(0, 3, 1, 2) / 255
    torch.testing.assert_close(images, (pixels - DATA.mean[0]) / DATA.std[0], rtol=1e-4, atol=1e-5)
    assert labels.tolist() == DATA.val.labels.tolist()


# ---------------------------------------------------------------- checkpoints


class Killed(Exception):
    pass


def killed_after(epochs: int):
    def report(epoch, metrics):
        if epoch == epochs:
            raise Killed
        return False

    return report


@pytest.mark.parametrize("epochs_done", [1, 3])
def test_a_resumed_training_equals_the_unbroken_one(tmp_path, epochs_done):
    path = tmp_path / "training.safetensors"
    unbroken = build(NETWORK)
    expected = train(unbroken, DATA, RECIPE, go_on)
    with pytest.raises(Killed):
        train(build(NETWORK), DATA, RECIPE, killed_after(epochs_done), path)
    resumed, epochs = build(NETWORK, seed=99), []
    outcome = train(resumed, DATA, RECIPE, lambda epoch, metrics: epochs.append(epoch) is not None, path)
    assert epochs == list(range(epochs_done + 1, 5))
    assert same(resumed.state_dict(), unbroken.state_dict())
    assert outcome.metrics["accuracy"] == expected.metrics["accuracy"]
    assert outcome.metrics["loss"] == expected.metrics["loss"]


def test_a_finished_training_is_not_done_again(tmp_path):
    path = tmp_path / "training.safetensors"
    first = train(build(NETWORK), DATA, RECIPE, go_on, path)
    again = train(build(NETWORK), DATA, RECIPE, killed_after(1), path)
    assert again.metrics == first.metrics


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: path.write_bytes(b"garbage"), "not a safetensors file"),
        (lambda path: path.write_bytes(path.read_bytes()[:-10]), "not a safetensors file"),
        (lambda path: save_file({"x": torch.zeros(1)}, path), "not a checkpoint of a training"),
        (
            lambda path: save_file({"x": torch.zeros(1)}, path, {"progress": json.dumps({"epoch": 1})}),
            "not a checkpoint",
        ),
    ],
)
def test_a_file_that_is_no_checkpoint_is_an_error_that_names_it(tmp_path, change, message):
    path = tmp_path / "training.safetensors"
    train(build(NETWORK), DATA, replace(RECIPE, epochs=1), go_on, path)
    change(path)
    with pytest.raises(NasError, match=rf"training\.safetensors: .*{message}"):
        train(build(NETWORK), DATA, replace(RECIPE, epochs=1), go_on, path)


def test_a_checkpoint_of_another_recipe_or_network_is_refused(tmp_path):
    path = tmp_path / "training.safetensors"
    train(build(NETWORK), DATA, replace(RECIPE, epochs=1), go_on, path)
    with pytest.raises(NasError, match="belongs to a training with other settings"):
        train(build(NETWORK), DATA, replace(RECIPE, epochs=2), go_on, path)
    wider = NETWORK.with_block(0, ConvBlock(24, 3, 1, "hswish"))
    with pytest.raises(NasError, match="weights of another network"):
        train(build(wider), DATA, replace(RECIPE, epochs=1), go_on, path)


def test_weights_come_back_as_they_were_saved(tmp_path):
    saved, loaded = build(NETWORK, seed=1), build(NETWORK, seed=2)
    save_weights(tmp_path / "new" / "w.safetensors", saved, {"data": "digits"})
    load_weights(tmp_path / "new" / "w.safetensors", loaded)
    assert same(saved.state_dict(), loaded.state_dict())
    with pytest.raises(NasError, match="gone"):
        load_weights(tmp_path / "gone.safetensors", loaded)


def test_a_full_disk_is_one_line_and_leaves_the_former_file(tmp_path, monkeypatch):
    path = tmp_path / "w.safetensors"
    save_weights(path, build(NETWORK, seed=1), {})
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage.os, "fsync", full)
    with pytest.raises(NasError, match=r"w\.safetensors: weights not saved: No space left on device"):
        save_weights(path, build(NETWORK, seed=2), {})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("native", "expected"), [(True, torch.autocast), (False, nullcontext)])
def test_half_precision_is_that_of_the_device_not_an_emulation(native, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: native or including_emulation)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # there is no CUDA here
        assert isinstance(precision(torch.device("cuda")), expected)
