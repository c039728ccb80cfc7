"""Many genotypes at a time: the same figures as one network after the other."""

from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.batch import compile_macs, compile_memory, compile_params, compile_space
from nas.errors import MissingOpError, SpaceError
from nas.latency.calibration import Calibration
from nas.latency.corrected import CorrectedTable
from nas.latency.corrections import Corrections
from nas.latency.model import OpSumModel
from nas.latency.table import Row, Table, as_deployed
from nas.latency.targets import load_target
from nas.layers import lower, peak_activation_bytes, total_macs, total_params
from nas.space import load_space, spaces

SPACES = {name: load_space(name).with_num_classes(10) for name in spaces()}
PIXEL1 = load_target("pixel1")
MODEL = OpSumModel(replace(PIXEL1.device, calibration=Calibration(0.9, 1.5)), PIXEL1.costs, "1")  # offset, too
COMPILED = {name: compile_space(space, MODEL) for name, space in SPACES.items()}


def corrected_model(space):
    """Like that of `host`: rows corrected by their features, a constant, and ops that others stand for."""
    layers = sorted({as_deployed(layer) for layer in space.layers()}, key=str)
    rng = Random(str(len(layers)))
    rows = {layer: Row(layer, layer.macs / 1e7 + rng.uniform(0.01, 0.2), 0.0) for layer in layers}
    similar = [layer for layer in layers if layer.kind == "conv" and layer.kernel == 1 and layer.out_size > 1]
    for layer in rng.sample(similar, len(similar) // 4):
        near = replace(layer, out_channels=layer.out_channels + 4)
        rows[near] = Row(near, rows.pop(layer).ms, 0.0)
    corrections = {"network": 0.7, "op": 0.01, "row_pointwise": 0.6, "pointwise_out": 0.3, "scale_ragged": 0.2}
    return OpSumModel(PIXEL1.device, CorrectedTable(rows, Corrections(corrections)), "1")


def raw_genotypes(space, count, rng):
    """Any choice for any gene, of layers that are absent too."""
    sizes = [len(gene.choices) for gene in space.genes]
    return np.array([[rng.randrange(size) for size in sizes] for _ in range(count)], np.uint8)


@pytest.mark.parametrize("name", SPACES)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 4))
@settings(deadline=None, max_examples=60)
def test_a_batch_has_the_latency_of_each_single_estimate(name, seed, count):
    space = SPACES[name]
    genotypes = raw_genotypes(space, count, Random(seed))
    single = [MODEL.estimate(space.decode(tuple(map(int, genotype)))).ms for genotype in genotypes]
    np.testing.assert_allclose(COMPILED[name].estimate(genotypes), single, rtol=1e-9)


@pytest.mark.parametrize("name", SPACES)
def test_a_corrected_table_with_interpolated_ops_is_the_same_sum(name):
    space = SPACES[name]
    model = corrected_model(space)
    genotypes = raw_genotypes(space, 30, Random(5))
    single = [model.estimate(space.decode(tuple(map(int, genotype)))) for genotype in genotypes]
    assert any(latency.interpolated for latency in single)
    estimates = compile_space(space, model).estimate(genotypes)
    np.testing.assert_allclose(estimates, [latency.ms for latency in single], rtol=1e-9)


@pytest.mark.parametrize("name", SPACES)
def test_canonical_genotypes_cost_what_the_raw_ones_do(name):
    space = SPACES[name]
    genotypes = raw_genotypes(space, 20, Random(1))
    canonical = np.array([space.canonical(tuple(map(int, genotype))) for genotype in genotypes])
    np.testing.assert_allclose(COMPILED[name].estimate(canonical), COMPILED[name].estimate(genotypes), rtol=1e-12)


@pytest.mark.parametrize("name", SPACES)
def test_macs_params_and_memory_of_a_batch_are_exact(name):
    space = SPACES[name]
    genotypes = raw_genotypes(space, 30, Random(2))
    layers = [lower(space.decode(tuple(map(int, genotype)))) for genotype in genotypes]
    assert compile_macs(space)(genotypes).tolist() == [total_macs(each) for each in layers]
    assert compile_params(space)(genotypes).tolist() == [total_params(each) for each in layers]
    assert compile_memory(space)(genotypes).tolist() == [peak_activation_bytes(each) for each in layers]


def test_absent_stages_and_every_depth_are_covered():
    space = SPACES["mobilenet_v3"]
    depths = [i for i, gene in enumerate(space.genes) if gene.name.endswith(".depth")]
    genotypes = np.repeat(raw_genotypes(space, 1, Random(3)), 2 + 4, axis=0)
    for row, choice in enumerate((0, 1, 2, 3, 0, 1)):
        for gene in depths:
            genotypes[row, gene] = min(choice, len(space.genes[gene].choices) - 1)
    single = [MODEL.estimate(space.decode(tuple(map(int, genotype)))).ms for genotype in genotypes]
    assert len(set(single)) >= 4
    np.testing.assert_allclose(COMPILED["mobilenet_v3"].estimate(genotypes), single, rtol=1e-9)


def test_more_genotypes_than_a_chunk_keep_their_order():
    space = SPACES["mobilenet_v2"]
    few = raw_genotypes(space, 97, Random(4))
    many = np.tile(few, (90, 1))
    estimate = COMPILED["mobilenet_v2"].estimate
    np.testing.assert_array_equal(estimate(many), np.tile(estimate(few), 90))
    assert estimate(few[:0]).shape == (0,)


def test_wrong_genotypes_are_refused():
    space, estimate = SPACES["mobilenet_v1"], COMPILED["mobilenet_v1"].estimate
    with pytest.raises(SpaceError, match=r"mobilenet_v1: resolution: choice 4; expected 0 to 3"):
        estimate(np.array([[0, 0], [4, 0]]))
    with pytest.raises(SpaceError, match=r"mobilenet_v1: width: choice -1; expected 0 to 3"):
        estimate(np.array([[0, -1]]))
    with pytest.raises(SpaceError, match=r"float64 of shape \(1, 2\); expected whole numbers of shape \(N, 2\)"):
        estimate(np.zeros((1, len(space.genes))))
    with pytest.raises(SpaceError, match=r"shape \(1, 3\)"):
        estimate(np.zeros((1, 3), int))


def test_a_space_with_ops_that_the_model_lacks_is_refused_by_name():
    space = SPACES["mobilenet_v1"]
    layers = sorted({as_deployed(layer) for layer in space.layers()}, key=str)
    table = Table({layer: Row(layer, 1.0, 0.0) for layer in layers[1:]})
    model = OpSumModel(MODEL.device, table, "1")
    with pytest.raises(MissingOpError, match=r"1 op: .*nas latency measure"):
        compile_space(space, model)
