"""Weight sharing: a sub-network is the ordinary network with a part of the supernet's weights."""

import errno
import os
import signal
from dataclasses import replace
from random import Random

import numpy as np
import pytest
import torch
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nas.errors import ArchitectureError, NasError
from nas.layers import lower, total_macs
from nas.network.blocks import Residual
from nas.network.build import build
from nas.network.supernet import extract
from nas.space import load_space, spaces
from nas.space.places import largest, places_of, smallest, widest
from nas.training.calibration import calibrate, judge
from nas.training.data import load_data
from nas.training.distributed import run_together
from nas.training.loop import Recipe
from nas.training.supernet import Family, Sandwich, SupernetRecipe, train_supernet
from nas.training.supernet_job import supernet_job

TINY = """
name: tiny
resolution: 32
defaults: {kernel: [3, 5], expand: [1, 2, 3], se: [none, 0.25], act: [relu, hswish], per_layer: [kernel, expand]}
stages:
  - {op: conv, channels: [8, 16], kernel: 3, stride: 2, expand: 1, se: none}
  - {channels: [8, 16], depth: [0, 1, 2]}
  - {op: [conv, sepconv, mbconv], channels: [16, 24], depth: [1, 2], stride: 2, skip: [none, identity, pool]}
head: {type: [classic, pooled, plain], channels: [32, 64], expand: 2}
"""
RECIPE = SupernetRecipe(Recipe(epochs=2, resolution=8, batch_size=32, lr=0.3))
_FAMILIES: dict[str, Family] = {}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    path = tmp_path_factory.mktemp("space") / "tiny.yaml"
    path.write_text(TINY)
    return load_space(path).with_num_classes(10)


@pytest.fixture(scope="module")
def digits():
    return load_data("digits").limited(train_images=200, val_images=100)


def family(name: str) -> Family:
    """One family for each space, with weights and shifts that are no round numbers."""
    if name not in _FAMILIES:
        _FAMILIES[name] = Family(load_space(name).with_num_classes(10))
        torch.manual_seed(0)
        with torch.no_grad():
            for parameter in _FAMILIES[name].supernet.parameters():
                if parameter.ndim == 1:
                    parameter.uniform_(0.5, 1.5)
    return _FAMILIES[name]


@given(st.sampled_from(spaces()), st.integers(0, 2**32))
@settings(deadline=None, max_examples=20)
def test_a_network_cut_out_of_the_supernet_is_the_built_network_with_these_weights(name, seed):
    shared = family(name)
    genotype = shared.space.sample(Random(seed))
    subnetwork = shared.network(genotype)
    built = build(shared.space.decode(genotype), seed=1)
    built.load_state_dict(extract(subnetwork).state_dict())
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        for network in (built, subnetwork):
            network.train()(x)  # statistics that are not fresh
            network.eval()
        torch.testing.assert_close(built(x), subnetwork(x), rtol=1e-5, atol=1e-5)


@given(st.sampled_from(spaces()), st.integers(0, 2**32))
@settings(deadline=None, max_examples=8)
def test_outputs_and_gradients_are_those_of_sliced_weights(name, seed):
    """The oracle: autograd through slices, taken by another rule, of the supernet's weights."""
    shared = family(name)
    shared.supernet.require_grads()
    genotype = shared.space.sample(Random(seed))
    architecture, places = shared.space.decode(genotype), places_of(shared.space, genotype)
    subnetwork, x = shared.network(genotype), torch.randn(2, 3, 32, 32)
    weights = {key: value.detach().clone().requires_grad_() for key, value in shared.supernet.named_parameters()}
    oracle = build(architecture)
    sliced = {key: sliced_weight(key, value, places, weights) for key, value in oracle.named_parameters()}
    expected = torch.func.functional_call(oracle, sliced, (x,))
    found = subnetwork(x)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    found.square().sum().backward()
    expected.square().sum().backward()
    for key, value in shared.supernet.named_parameters():
        wanted = weights[key].grad
        torch.testing.assert_close(value.grad, torch.zeros_like(value) if wanted is None else wanted)


def sliced_weight(key, parameter, places, weights):
    head, _, rest = key.partition(".")
    if head == "classifier":
        whole = weights[f"places.{places[-1]}.{rest}"]
    else:
        index, _, rest = rest.partition(".")
        whole = weights[f"places.{places[int(index)]}.{rest.removeprefix('body.')}"]
    slices = [slice(0, n) for n in parameter.shape[:2]]
    if parameter.ndim == 4:
        middle, reach = whole.shape[-1] // 2, parameter.shape[-1] // 2
        slices += [slice(middle - reach, middle + reach + 1)] * 2
    return whole[tuple(slices)]


def test_weights_of_a_subnetwork_are_views_and_follow_the_supernet():
    shared = family("mobilenet_v1")
    network = shared.network(smallest(shared.space))
    copied = extract(network)
    before = network.classifier.weight.clone()
    with torch.no_grad():
        for parameter in shared.supernet.parameters():
            parameter.add_(1)
    torch.testing.assert_close(network.classifier.weight, before + 1)
    torch.testing.assert_close(copied.classifier.weight, before)


def test_fresh_residual_blocks_are_their_shortcuts_only_where_every_network_has_one(tiny):
    always = Family(load_space("mobilenet_v3")).network(largest(load_space("mobilenet_v3")))
    for index, block in enumerate(always.blocks):
        if isinstance(block, Residual):
            assert not block.last.norm.weight.any(), index
    assert not any(place.residual for name, place in widest(tiny).items() if name.startswith("stage2"))


def test_places_of_every_network_are_places_of_the_space(tiny):
    for space in (tiny, *map(load_space, spaces())):
        rng, places = Random(1), widest(space)
        for _ in range(12):
            genotype = space.sample(rng)
            found = places_of(space, genotype)
            layers = lower(space.decode(genotype))
            assert len(found) == layers[-1].block + 1
            for layer in layers:
                wide = {other.role: other for other in places[found[layer.block]].layers}
                if layer.role not in ("add", "shortcut"):
                    other = wide[layer.role]
                    assert layer.in_channels <= other.in_channels
                    assert layer.out_channels <= other.out_channels
                    assert layer.kernel <= other.kernel or layer.kind == "pool"


def test_every_place_is_as_wide_as_some_network_makes_it(tiny):
    """Nothing is shared that no network uses: of a small space, all networks together reach every weight."""
    shared = Family(tiny)
    with torch.no_grad():
        for parameter in shared.supernet.parameters():
            parameter.zero_()
        rng = Random(0)
        for _ in range(100):
            for parameter in shared.network(tiny.sample(rng)).parameters():
                parameter.fill_(1)
    assert all(parameter.all() for parameter in shared.supernet.parameters())


@pytest.mark.parametrize("name", spaces())
def test_no_random_network_is_larger_than_the_largest_or_smaller_than_the_smallest(name):
    space, rng = load_space(name), Random(0)
    low, high = (total_macs(lower(space.decode(end(space)))) for end in (smallest, largest))
    drawn = [total_macs(lower(space.decode(space.sample(rng)))) for _ in range(25)]
    assert low <= min(drawn) <= max(drawn) <= high


def test_a_network_of_another_space_is_refused(tiny):
    shared, v2 = Family(tiny), load_space("mobilenet_v2")
    genotype = v2.sample(Random(0))
    with pytest.raises(ArchitectureError, match="is not one of the supernet's"):
        shared.supernet.subnetwork(v2.decode(genotype), places_of(v2, genotype))


def test_calibration_sets_statistics_to_those_of_the_images(digits):
    network = nn.Sequential(nn.BatchNorm2d(3))
    calibrate(network, digits, resolution=8, images=150)
    pixels = torch.from_numpy(digits.train.read(np.arange(150))).float() / 255
    expected = (pixels.mean((0, 1, 2)) - torch.tensor(digits.mean)) / torch.tensor(digits.std)
    torch.testing.assert_close(network[0].running_mean, expected, rtol=1e-3, atol=1e-3)
    assert network[0].momentum == nn.BatchNorm2d(3).momentum


def test_a_step_trains_the_largest_on_labels_and_the_others_on_its_outputs_too(tiny):
    shared = Family(tiny)
    shared.supernet.require_grads()
    x, labels = torch.randn(8, 3, 16, 16), torch.arange(8)
    rng = Random(3)
    Sandwich(shared, RECIPE).backward(x, labels, rng)
    found = [parameter.grad.clone() for parameter in shared.supernet.parameters()]
    shared.supernet.zero_grads()
    rng = Random(3)
    genotypes = [largest(tiny), smallest(tiny), *(tiny.sample(rng) for _ in range(2))]
    networks = [shared.network(genotype) for genotype in genotypes]
    logits = networks[0](x)
    nn.functional.cross_entropy(logits, labels).backward()
    targets = (logits.detach().softmax(1) + nn.functional.one_hot(labels, 10)) / 2
    for network in networks[1:]:
        nn.functional.cross_entropy(network(x), targets).backward()
    for parameter, gradient in zip(shared.supernet.parameters(), found, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


class Killed(Exception):
    pass


def test_a_training_that_was_killed_goes_on_to_the_same_weights(tiny, digits, tmp_path, monkeypatch):
    whole, broken = Family(tiny), Family(tiny)
    train_supernet(whole, digits, RECIPE, lambda *_: None, tmp_path / "whole.safetensors")
    monkeypatch.setattr("nas.training.supernet._SAVE_SECONDS", 0.0)
    monkeypatch.setattr("nas.training.supernet._WATCH_SECONDS", 0.0)

    def die(step, steps, metrics):
        if step == 8:
            raise Killed

    path = tmp_path / "broken.safetensors"
    with pytest.raises(Killed):
        train_supernet(broken, digits, RECIPE, die, path)
    again = Family(tiny, seed=5)
    steps = []
    metrics = train_supernet(again, digits, RECIPE, lambda step, *_: steps.append(step), path)
    assert steps[0] == 9
    assert {"accuracy_smallest", "accuracy_middle", "accuracy_largest"} <= metrics.keys()
    for one, other in zip(whole.supernet.parameters(), again.supernet.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_diverging_training_is_one_line(tiny, digits, tmp_path):
    recipe = replace(RECIPE, training=replace(RECIPE.training, lr=1e30))
    with pytest.raises(NasError, match="loss became"):
        train_supernet(Family(tiny), digits, recipe, lambda *_: None, tmp_path / "x.safetensors")


def test_networks_with_shared_weights_recognise_digits(tiny, tmp_path):
    shared, data = Family(tiny), load_data("digits")
    recipe = replace(RECIPE, training=replace(RECIPE.training, epochs=3))
    metrics = train_supernet(shared, data, recipe, lambda *_: None, tmp_path / "x.safetensors")
    assert metrics["accuracy_largest"] > 0.85
    rng = Random(4)
    judged = [judge(shared.network(tiny.sample(rng)), data, data.val, 8, 500)["accuracy"] for _ in range(6)]
    assert sum(judged) / len(judged) > 0.25  # chance is 0.1


def average_in_two(job, peers):
    folder, values = job
    mine = torch.tensor(values[peers.rank])
    peers.average([mine[:1], mine[1:].view(-1, 1)])
    (folder / f"{peers.rank}").write_text(repr(mine.tolist()))


def test_peers_average_their_gradients(tmp_path):
    run_together(2, average_in_two, (tmp_path, [[1.0, 2.0, 3.0], [3.0, 6.0, 9.0]]))
    assert [(tmp_path / rank).read_text() for rank in "01"] == ["[2.0, 4.0, 6.0]"] * 2


def dies(job, peers):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_is_killed_is_one_line():
    with pytest.raises(NasError, match=r"a process of the training failed: .*SIGKILL"):
        run_together(2, dies, None)


def test_a_trained_supernet_needs_no_writable_cache(tmp_path, monkeypatch):
    """Root may write anywhere, so the lock stands for the folder that refuses."""

    def refuse(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setenv("NAS_CACHE", str(tmp_path))
    monkeypatch.setattr(FileLock, "acquire", refuse)
    job = supernet_job("mobilenet_v3", "digits", resolution=32, epochs=1)
    with pytest.raises(NasError, match=r"\.lock: Read-only file system"):
        job.ready(lambda *_: None)
    job.path.touch()
    assert job.ready(lambda *_: None) == job.path
