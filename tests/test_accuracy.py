"""Accuracy models: what they learn, what they say of networks that they have not seen, and what they refuse."""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from nas.accuracy.effects import load_effects
from nas.accuracy.fit import RULE, TrainedNetworks, fit_accuracy, held_out
from nas.accuracy.model import AccuracyModel, Effect, accuracy_file, load_accuracy_model, save_accuracy_model
from nas.accuracy.predictor import load_predictor, make_predictor
from nas.accuracy.ridge import fit_quadratic
from nas.accuracy.score import score
from nas.accuracy.table import provenance, read_trained
from nas.cli.main import nas
from nas.errors import AccuracyError, SpaceError, SpecError
from nas.space import load_reference, load_space
from tests.test_mnasnet_imagenet import TABLE

TINY = """
name: tiny
resolution: 32
stages:
  - {op: conv, channels: 8, stride: 2, act: [relu, hswish]}
  - {channels: [8, 16, 24], depth: [1, 2, 3], expand: [2, 3, 4], kernel: [3, 5], se: [none, 0.25]}
head: {type: classic, channels: 32}
"""
ACT, KERNEL = 0, 3  # the genes


@pytest.fixture
def space(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return load_space(path)


def truth(genotypes):
    """Accuracy by a formula with an interaction: depth helps wide networks more."""
    _, depth, width, kernel, expand, se = genotypes.T
    return 50 + 2.0 * depth + 3.0 * width + 1.0 * depth * width + 0.7 * kernel + 1.5 * expand + 0.5 * se


def trained(space, act=(0,), noise=0.0, skip=lambda genotype: False):
    """All networks of the space with these activations, trained to the formula's accuracy but for noise."""
    choices = [range(len(gene.choices)) for gene in space.genes]
    assert [gene.name.partition(".")[2] for gene in space.genes] == [
        "act",
        "depth",
        "channels",
        "kernel",
        "expand",
        "se",
    ]
    drawn = [g for g in product(*choices) if g[ACT] in act and not skip(g)]
    genotypes = np.array(drawn)
    accuracies = truth(genotypes) + noise * np.random.default_rng(0).standard_normal(len(drawn))
    return TrainedNetworks(genotypes, accuracies, tuple(space.decode(g).id for g in drawn))


def test_a_model_learns_main_effects_and_interactions_from_a_part_of_the_networks(space):
    everything = trained(space)
    out = held_out(everything)
    model = fit_accuracy(space, everything.part(~out), predicts="test")
    predicted = make_predictor(space, model).predict(everything.genotypes[out]).accuracy
    assert np.abs(predicted - everything.accuracies[out]).max() < 0.2
    assert model.error["held_out"] == {"rule": RULE, "networks": 0}
    assert fit_accuracy(space, everything, predicts="test").error["held_out"]["kendall"] > 0.98


def test_the_interval_holds_the_share_that_it_promises(space):
    model = fit_accuracy(space, trained(space, noise=0.5), predicts="test")
    assert 80 <= model.error["held_out"]["inside_interval"] <= 98
    assert model.half_width == pytest.approx(1.645 * 0.5, rel=0.25)  # 90 % of a normal distribution


def test_held_out_trainings_of_one_network_stand_on_one_side(space):
    twice = trained(space)
    both = TrainedNetworks(np.tile(twice.genotypes, (2, 1)), np.tile(twice.accuracies, 2), twice.ids * 2)
    assert (held_out(both)[: len(twice)] == held_out(both)[len(twice) :]).all()
    assert 0.1 < held_out(both).mean() < 0.3


def test_ridge_is_the_same_through_either_gram_matrix():
    """More terms than networks, or fewer: the dual and the primal solution agree where both can be had."""
    rng = np.random.default_rng(1)
    features, new = rng.standard_normal((40, 3)), rng.standard_normal((5, 3))
    targets = features[:, 0] + features[:, 1] * features[:, 2]
    (primal,) = fit_quadratic(features, targets, [1.0])  # 9 terms, 40 networks
    few = slice(0, 8)
    (dual,) = fit_quadratic(features[few], targets[few], [1e-6])  # 9 terms, 8 networks: passes through all of them
    assert np.allclose(dual(features[few]), targets[few], atol=1e-3)
    z = (features - primal.mean) / primal.scale
    kernel = (1 + z @ z.T / 3) ** 2
    kernel -= kernel.mean(0) + kernel.mean(1)[:, None] - kernel.mean()
    weights = np.linalg.solve(kernel + np.eye(40), targets - targets.mean())
    against = (1 + ((new - primal.mean) / primal.scale) @ z.T / 3) ** 2
    expected = (against - (1 + z @ z.T / 3).__pow__(2).mean(0)) @ (weights - weights.mean())
    shift = primal(new) - expected
    assert np.allclose(shift, shift[0])


def test_a_model_is_read_as_it_was_written(space, tmp_path):
    model = fit_accuracy(
        space, trained(space), predicts="test", effects=[Effect("stages[0].act", "hswish", "relu", 1, "x")]
    )
    path = tmp_path / "folder" / "accuracy.json"
    save_accuracy_model(model, path)
    again = AccuracyModel.from_dict(json.loads(path.read_text()))
    genotypes = trained(space).genotypes
    before, after = (make_predictor(space, m).predict(genotypes) for m in (model, again))
    assert np.allclose(before.accuracy, after.accuracy, atol=1e-3)
    assert again.effects == model.effects
    save_accuracy_model(again, path)
    assert AccuracyModel.from_dict(json.loads(path.read_text())).version == again.version


def test_a_published_effect_is_added_and_widens_the_interval_by_itself(space):
    effect = Effect("stages[0].act", "hswish", "relu", 0.8, "a paper")
    model = fit_accuracy(space, trained(space), predicts="test", effects=[effect])
    prediction = make_predictor(space, model).predict(np.array([[0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]]))
    relu, hswish = prediction.accuracy
    assert hswish - relu == pytest.approx(0.8)
    half = prediction.high - prediction.accuracy
    assert half[1] - half[0] == pytest.approx(0.8)


def test_an_effect_gives_way_to_trained_networks(space):
    effect = Effect("stages[0].act", "hswish", "relu", 30.0, "a paper")
    model = fit_accuracy(space, trained(space, act=(0, 1)), predicts="test", effects=[effect])
    relu, hswish = make_predictor(space, model).predict(np.array([[0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]])).accuracy
    assert hswish - relu == pytest.approx(0.0, abs=0.1)


def test_a_choice_that_nothing_is_known_of_is_refused(space):
    model = fit_accuracy(space, trained(space, skip=lambda g: g[1] == 2), predicts="test")
    predictor = make_predictor(space, model)
    predictor.predict(np.array([[0, 1, 1, 1, 1, 1]]))
    with pytest.raises(AccuracyError, match=r"stages\[1\].depth = 3: no network .* expected one of 1, 2"):
        predictor.predict(np.array([[0, 1, 1, 1, 1, 1], [0, 2, 1, 1, 1, 1]]))
    with pytest.raises(AccuracyError, match=r"stages\[0\].act = hswish"):
        predictor.predict(np.array([[1, 1, 1, 1, 1, 1]]))


def test_the_interval_widens_outside_the_range_of_sizes(space):
    """All choices are known, but no network that has all the large ones at once."""
    model = fit_accuracy(space, trained(space, skip=lambda g: sum(g[1:5]) > 4), predicts="test")
    inside, outside = [0, 1, 1, 0, 1, 0], [0, 2, 2, 1, 2, 1]
    prediction = make_predictor(space, model).predict(np.array([inside, outside]))
    half = prediction.high - prediction.accuracy
    assert half[0] == pytest.approx(model.half_width)
    assert half[1] > 2 * half[0]


def test_networks_are_predicted_whatever_their_classes_and_refused_from_elsewhere(space):
    model = fit_accuracy(space, trained(space), predicts="test")
    predictor, genotype = make_predictor(space, model), (0, 1, 2, 0, 1, 0)
    networks = [space.with_num_classes(classes).decode(genotype) for classes in (10, 1000)]
    alone = predictor.predict(np.array([genotype])).accuracy
    assert predictor.predict_networks(networks).accuracy == pytest.approx(np.tile(alone, 2))
    with pytest.raises(SpaceError, match="not a point of tiny"):
        predictor.predict_networks([load_reference("mobilenet_v2")])


def test_a_model_of_another_version_of_the_space_is_refused(space, tmp_path):
    model = fit_accuracy(space, trained(space), predicts="test")
    path = tmp_path / "other.yaml"
    path.write_text(TINY.replace("depth: [1, 2, 3]", "depth: [1, 2]"))
    with pytest.raises(AccuracyError, match=r"stages\[1\].depth = 1, 2, 3, which space tiny does not have"):
        make_predictor(load_space(path), model)


@pytest.mark.parametrize(
    "change",
    [
        ("resolution: 32", "resolution: 48"),
        ("stride: 2, act", "stride: 1, act"),
        ("channels: 8, stride", "channels: 16, stride"),
        ("channels: 32}", "channels: 40}"),
    ],
)
def test_a_model_of_networks_that_have_something_else_in_common_is_refused(space, tmp_path, change):
    assert change[0] in TINY
    model = fit_accuracy(space, trained(space), predicts="test")
    path = tmp_path / "other.yaml"
    path.write_text(TINY.replace(*change))
    with pytest.raises(AccuracyError, match="fitted on other networks than those of space tiny"):
        make_predictor(load_space(path), model)


def test_a_fit_names_the_choices_that_no_network_had(space, tmp_path):
    path, table = tmp_path / "tiny.yaml", tmp_path / "trained.csv"
    networks = trained(space, skip=lambda genotype: genotype[KERNEL])  # and one activation alone
    names = [gene.name for gene in space.genes]
    lines = [
        ",".join(str(gene.choices[c]) for gene, c in zip(space.genes, genotype, strict=True)) + f",{accuracy}"
        for genotype, accuracy in zip(networks.genotypes, networks.accuracies, strict=True)
    ]
    table.write_text("\n".join([",".join([*names, "accuracy"]), *lines]))
    result = CliRunner().invoke(nas, ["space", "fit-accuracy", "--space", str(path), "--data", str(table)])
    assert result.exit_code == 0
    assert "nothing is known of stages[0].act = hswish, stages[1].kernel = 5: no search can predict" in result.stderr


def test_too_few_or_equal_networks_make_no_model(space):
    few = trained(space)
    with pytest.raises(AccuracyError, match="19 different trained networks; expected at least 20"):
        fit_accuracy(space, few.part(np.arange(len(few)) < 19), predicts="test")
    with pytest.raises(AccuracyError, match="all networks have the accuracy 50"):
        fit_accuracy(space, TrainedNetworks(few.genotypes, np.full(len(few), 50.0), few.ids), predicts="test")


def test_a_correlation_that_is_not_defined_is_none():
    for predicted, accuracies in (([60.0], [61.0]), ([60.0, 61.0], [62.0, 62.0])):
        found = score(np.array(predicted), np.array(accuracies))
        assert found["kendall"] is None
        assert found["spearman"] is None
        assert found["mae"] > 0


# Files

GENE_COLUMNS = "stages[1].depth,stages[1].channels,accuracy\n1,8,0.5\n2,24,0.625\n"


def test_trained_networks_are_read_by_genes_by_json_and_by_words(space, tmp_path):
    path = tmp_path / "trained.csv"
    path.write_text("\ufeff# made up, with the mark that Excel begins with\n\n" + GENE_COLUMNS)
    by_genes = read_trained(path, space)
    assert by_genes.genotypes.tolist() == [[0, 0, 0, 0, 0, 0], [0, 1, 2, 0, 0, 0]]
    assert by_genes.accuracies.tolist() == [50.0, 62.5]
    networks = [space.with_num_classes(10).decode(tuple(g)).to_json().replace('"', '""') for g in by_genes.genotypes]
    path.write_text("architecture,top1\n" + "".join(f'"{network}",{50 + i}\n' for i, network in enumerate(networks)))
    assert read_trained(path, space).genotypes.tolist() == by_genes.genotypes.tolist()
    assert provenance(path)["file"] == "trained.csv"
    table = load_space("mnasnet_imagenet")
    path.write_text("arch,val_top1\ne6k3l1 e4k5l2 e6k3l3 e6k5l3s e6k5l2 e1k3l4 e1k3l2,59.4\n")
    (network,) = read_trained(path, table).genotypes.tolist()
    named = {gene.name: gene.choices[choice] for gene, choice in zip(table.genes, network, strict=True)}
    assert named["stages[4].se"] == 0.25
    assert (named["stages[1].expand"], named["stages[6].depth"], named["stages[5].act"]) == (6, 4, "relu")


BAD = {
    "no accuracy": ("stages[1].depth\n1\n", "no column for the accuracy; expected one of accuracy, top1"),
    "no network": ("epochs,accuracy\n1,0.5\n", "line 2: names no network"),
    "another choice": ("stages[1].depth,accuracy\n7,0.5\n", r"line 2: stages\[1\].depth = 7; expected one of 1, 2, 3"),
    "no number": ("stages[1].depth,accuracy\n1,good\n", "line 2: accuracy good; expected 0 to 100"),
    "too much": ("stages[1].depth,accuracy\n1,101\n", "line 2: accuracy 101; expected 0 to 100"),
    "not a number": ("stages[1].depth,accuracy\n1,nan\n", "line 2: accuracy nan"),
    "a cell more": ("stages[1].depth,accuracy\n# so\n1,2,3\n", "line 3: 3 cells; expected 2"),
    "no rows": ("stages[1].depth,accuracy\n", "no row; expected"),
    "broken json": ("architecture,accuracy\n{,0.5\n", "line 2: "),
    "a gene that is none": (
        "stages[1].depht,accuracy\n1,0.5\n",
        r"column 'stages\[1\].depht' is no gene of space tiny",
    ),
    "two units": (
        "stages[1].depth,accuracy\n1,0.5\n2,0.6\n3,61\n",
        "most accuracies are at most 1, one is 61; expected one unit",
    ),
    "wrong words": ("arch,accuracy\ne6k3,0.5\n", "line 2: "),
}


@pytest.mark.parametrize("case", BAD)
def test_a_wrong_table_is_one_line_with_its_place(case, space, tmp_path):
    text, message = BAD[case]
    path = tmp_path / "trained.csv"
    path.write_text(text)
    with pytest.raises(AccuracyError, match=message) as caught:
        read_trained(path, space)
    assert str(path) in str(caught.value)


def test_absent_and_binary_tables_are_refused(space, tmp_path):
    with pytest.raises(AccuracyError, match="No such file"):
        read_trained(tmp_path / "absent.csv", space)
    (tmp_path / "binary.csv").write_bytes(bytes(range(256)))
    with pytest.raises(AccuracyError, match="not a text file"):
        read_trained(tmp_path / "binary.csv", space)


def test_a_damaged_model_is_one_line(tmp_path):
    (tmp_path / "tiny.yaml").write_text(TINY)
    path = accuracy_file(tmp_path / "tiny.yaml")
    path.parent.mkdir()
    for text in ("", "[]", "{}", '{"coefficients": {"mean": [1], "quadratic": []}}'):
        path.write_text(text)
        with pytest.raises(AccuracyError, match="no accuracy model"):
            load_accuracy_model(tmp_path / "tiny.yaml")


def test_a_space_without_a_model_says_what_to_do():
    with pytest.raises(
        AccuracyError, match=r"mobilenet_v3 has no accuracy model .* expected --data .* mnasnet_imagenet"
    ):
        load_accuracy_model("mobilenet_v3")


def test_effects_are_shared_by_the_stages_of_an_entry_and_checked(space, tmp_path):
    path = tmp_path / "effects.yaml"
    good = "effects:\n  - {key: act, stages: [0], choice: hswish, instead_of: relu, points: 0.5, source: x}\n"
    path.write_text(good)
    assert load_effects(path, space) == (Effect("stages[0].act", "hswish", "relu", 0.5, "x"),)
    for wrong, message in (
        (good.replace("hswish", "swish"), r"effects\[0\].choice: found 'swish'; expected one of relu, hswish"),
        (good.replace("[0]", "[1]"), r"effects\[0\]: space tiny has no gene stages\[1\].act"),
        (good.replace("0.5", "much"), r"effects\[0\].points: found 'much'"),
        (good.replace("points", "point"), "unknown key 'point'"),
    ):
        path.write_text(wrong)
        with pytest.raises(SpecError, match=message):
            load_effects(path, space)


# The model that ships

SHIPPED = load_accuracy_model("mnasnet_imagenet")


def test_the_shipped_model_states_the_figures_that_it_was_asked_for():
    held = SHIPPED.error["held_out"]
    assert held["kendall"] >= 0.90
    assert held["mae"] <= 0.40
    assert 87 <= held["inside_interval"] <= 93
    assert SHIPPED.networks == 4122


def test_the_shipped_model_is_what_the_fit_gives(tmp_path):
    """The figures and predictions of the file are those of a fit to the table, which takes some ten seconds."""
    if not TABLE.exists():
        pytest.skip("the table of trained networks is not here")
    space = load_space("mnasnet_imagenet")
    table = read_trained(TABLE, space)
    predicted = load_predictor("mnasnet_imagenet").predict(table.genotypes)
    errors = np.abs(predicted.accuracy - table.accuracies)
    assert errors.mean() < 0.33  # these networks were seen
    assert provenance(TABLE)["sha256"] == SHIPPED.provenance["sha256"]
    assert SHIPPED.effects == load_effects(Path(accuracy_file("mnasnet_imagenet")).with_name("effects.yaml"), space)


def test_mobilenet_v3s_activation_is_worth_what_its_paper_says():
    predictor = load_predictor("mnasnet_imagenet")
    genotype = np.zeros((2, len(predictor.space.genes)), np.int64)
    acts = [index for index, gene in enumerate(predictor.space.genes) if gene.name.endswith(".act")]
    genotype[1, acts] = 1
    prediction = predictor.predict(genotype)
    assert prediction.accuracy[1] - prediction.accuracy[0] == pytest.approx(0.9, abs=1e-3)
    assert (prediction.high - prediction.low)[1] - (prediction.high - prediction.low)[0] == pytest.approx(1.8, abs=1e-3)
