"""The parts of a study: its file, networks at a latency, ablations, agreement, intervals."""

import math
from dataclasses import replace
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest
from scipy.stats import ttest_ind

from nas.architecture import ConvBlock, LinearBlock, MBConvBlock
from nas.batch import compile_space
from nas.begun import Milliseconds
from nas.errors import NasError, SpecError
from nas.latency.targets import load_target
from nas.layers import lower, total_macs
from nas.pipeline.ablation import CHANGES, without
from nas.pipeline.agreement import agreement, choices_of, draw, untrimmed
from nas.pipeline.interval import difference_interval, mean_interval
from nas.pipeline.kept import load_result, save_result
from nas.pipeline.networks import block_rows
from nas.pipeline.run import report_folder
from nas.pipeline.scaling import random_feasible, scaled_network, scaled_reference
from nas.pipeline.spec import ABLATIONS
from nas.pipeline.study_file import load_study, require_scale
from nas.reward import make_reward
from nas.space import load_reference, load_space
from nas.strategies.problem import Problem
from tests.pipeline_helpers import STUDY, write_study

RUNS = Path(__file__).parents[1] / "runs"
SHIPPED = ("rediscover_large", "rediscover_small")
PIXEL = load_target("pixel1")
MS = Milliseconds(PIXEL)
SPACE = load_space("mobilenet_v3")
LARGE, SMALL = (load_reference(f"mobilenet_v3_{size}") for size in ("large", "small"))


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_studies_are_right_and_search_as_the_paper_did(name):
    study = load_study(RUNS / name / "study.yaml")
    assert list(study.scales) == ["small", "imagenet", "pilot"]
    assert (study.target, study.adapt.rule, study.ablations.without) == ("pixel1", "mobilenet_v3", ABLATIONS)
    assert study.search.reward == {"rediscover_large": "soft:-0.07", "rediscover_small": "soft:-0.15"}[name]
    assert all(len(scale.train.seeds) >= 3 for scale in study.scales.values())
    small = require_scale(study, None)
    assert (small.data, small.search.resolution, small.train.resolution) == ("cifar10", 64, 64)
    assert require_scale(study, "imagenet").data.startswith("imagefolder:")
    SPACE.encode(untrimmed(load_reference(study.reference)))  # a point of the space, its filters put back


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("target: pixel1", "target: 1", "target: found 1; expected text"),
        ("name: tiny", "name: a/b", "name: 'a/b' cannot name a study"),
        ("little.yaml", "absent.yaml", r"space: .*absent.yaml: No such file"),
        ("known.yaml", "mobilenet_v9", "reference: unknown network 'mobilenet_v9'; expected one of"),
        ("1.9ms", "1.9", "search.budget: found 1.9; expected a latency with its unit, such as 80ms"),
        ("soft:-0.07", "soft:high", "search.reward: reward soft:high: 'high' is no number"),
        ("soft:-0.07", "soft@1", "search.reward: found 'soft@1'; expected no @"),
        ("soft:-0.07", "soft:0.07", "search.reward: the reward's exponent is 0.07; expected 0 or a negative"),
        ("surrogate", "magic", "search.strategy: found 'magic'; expected one of"),
        ("budget: reference", "budget: theirs", "adapt.budget: found 'theirs'"),
        ("budget: reference", "budget: 2ms", "adapt.budget: found '2ms'; expected at most that of the search, 1.9ms"),
        ("[other.yaml]", "other.yaml", "scaled: found 'other.yaml'; expected a list"),
        ("netadapt]", "depth]", r"ablations.without\[4\]: found 'depth'; expected one of se, hswish"),
        ("data: digits", "data: mnist", "scales.main.data: unknown data 'mnist'"),
        ("trials: 4", "trials: 0", "scales.main.search.trials: found 0; expected a whole number, at least 1"),
        ("trials: 4, ", "", "scales.main.search: missing trials"),
        ("proposals: halving", "proposals: some", "scales.main.adapt.proposals: found 'some'"),
        ("delta: 0.05", "delta: 5", "scales.main.adapt.delta: found 5; expected a number from 0 to below 1"),
        ("seeds: [0, 1]", "seeds: [0]", "scales.main.train.seeds: found .0.; expected a list of at least 2"),
        ("seeds: [0, 1]", "seeds: [0, 0]", "expected a list of at least 2 different members"),
        ("lr: 0.1", "lr: fast", "scales.main.train.lr: found 'fast'; expected a number above 0"),
        ("early_stop: false", "early_stop: maybe", "early_stop: found 'maybe'; expected true or false"),
        ("lr: 0.1", "speed: 1, lr: 0.1", "scales.main.train: unknown key 'speed'; expected one of"),
        ("name: tiny", "name: !!python/object/apply:os.system [ls]", "study.yaml: not plain YAML"),
    ],
)
def test_a_wrong_study_file_is_one_line_with_the_place(old, new, message, tmp_path):
    assert old in STUDY
    path = write_study(tmp_path, STUDY.replace(old, new, 1))
    with pytest.raises(SpecError, match=message) as caught:
        load_study(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_an_unknown_scale_is_refused(tmp_path):
    with pytest.raises(NasError, match="scale 'huge'; expected one of main"):
        require_scale(load_study(write_study(tmp_path)), "huge")


@pytest.mark.parametrize("name", ["mobilenet_v2", "mnasnet_a1"])
@pytest.mark.parametrize("budget_ms", [50.0, 16.0])
def test_a_scaled_reference_is_the_widest_that_keeps_to_the_budget(name, budget_ms):
    scaled = scaled_reference(name, 10, budget_ms, MS)
    assert 0.93 * budget_ms < MS(scaled) <= budget_ms
    assert scaled.num_classes == 10
    assert len(scaled.blocks) == len(load_reference(name).blocks)


def test_a_scaled_network_keeps_its_shape_and_the_budget():
    scaled = scaled_network(LARGE, 40.0, MS)
    assert 0.93 * 40 < MS(scaled) <= 40
    kernels = [[getattr(block, "kernel", None) for block in network.blocks] for network in (LARGE, scaled)]
    assert kernels[0] == kernels[1]
    assert scaled_network(LARGE, 60.0, MS) == LARGE
    with pytest.raises(NasError, match=r"no width keeps to 0\.1 ms"):
        scaled_network(LARGE, 0.1, MS)


def test_a_random_network_uses_its_budget():
    problem = Problem(SPACE, MS, 50.0, make_reward("hard", 50.0))
    drawn = random_feasible(problem, Random(0))
    assert 45 <= MS(drawn) <= 50
    assert drawn == random_feasible(problem, Random(0))


@pytest.mark.parametrize("network", [LARGE, SMALL], ids=["large", "small"])
@pytest.mark.parametrize("what", CHANGES)
def test_an_ablation_leaves_out_one_thing_alone(what, network):
    changed = without(network, what)
    assert changed != network
    assert without(changed, what) == changed
    blocks = list(zip(network.blocks, changed.blocks, strict=False))
    match what:
        case "se":
            assert all(getattr(block, "se_channels", 0) == 0 for _, block in blocks)
            assert [replace(b, se_channels=0) if hasattr(b, "se_channels") else b for b, _ in blocks] == [
                replace(b, se_channels=0) if hasattr(b, "se_channels") else b for _, b in blocks
            ]
        case "hswish":
            assert all(getattr(block, "act", "relu") == "relu" for _, block in blocks)
            assert total_macs(lower(changed)) == total_macs(lower(network))
        case "kernel5":
            assert max(getattr(block, "kernel", 0) for _, block in blocks) == 3
        case "late_head":
            assert not any(isinstance(block, LinearBlock) for block in changed.blocks)
            assert [type(block) for block in changed.blocks[-3:-1]] == [MBConvBlock, ConvBlock]


def test_the_late_head_saves_what_the_paper_says():
    """1905.02244, section 5.1: 7 ms and 30 M MAdds; the model of pixel1 and our counts are near that."""
    early = without(LARGE, "late_head")
    assert MS(early) - MS(LARGE) == pytest.approx(7, abs=2)
    assert total_macs(lower(early)) - total_macs(lower(LARGE)) == pytest.approx(30e6, rel=0.2)


def test_a_network_agrees_with_itself_and_random_ones_as_often_as_chance_says():
    reference = choices_of(SPACE, SPACE.encode(untrimmed(LARGE)))
    estimate = compile_space(SPACE, PIXEL).estimate
    genotypes = draw(SPACE, estimate, (50, 80), 150, Random(1))
    assert len(genotypes) == 150
    assert all(50 <= MS(SPACE.decode(genotype)) <= 80 for genotype in genotypes[:20])
    drawn = [choices_of(SPACE, genotype) for genotype in genotypes]
    by_kind = {one.kind: one for one in agreement(reference, [reference], drawn)}
    assert all(one.found == 1 for one in by_kind.values())
    assert by_kind["act"].chance == pytest.approx(0.5, abs=0.1)
    assert by_kind["kernel"].chance == pytest.approx(1 / 3, abs=0.1)
    assert by_kind["act"].low < by_kind["act"].chance < by_kind["act"].high < 1
    assert by_kind["kernel"].choices == 15
    assert {"head.type", "stem channels", "depth", "channels", "expand", "se"} < by_kind.keys()
    twice = {one.kind: one for one in agreement(reference, [reference, reference], drawn)}
    assert (twice["act"].low, twice["act"].high) == (
        by_kind["act"].low,
        by_kind["act"].high,
    )  # one network, found twice
    (half,) = [one for one in agreement(reference, [reference, drawn[0]], drawn) if one.kind == "act"]
    assert half.found < 1


def test_choices_of_absent_layers_are_no_choices():
    genotype = SPACE.encode(untrimmed(SMALL))
    chosen = choices_of(SPACE, genotype)
    assert chosen["stages[1].depth"] == 0
    assert not any(name.startswith("stages[1].") and name != "stages[1].depth" for name in chosen)
    kernels = [name for name in chosen if name.endswith(".kernel")]
    assert len(kernels) == sum(
        isinstance(block, MBConvBlock) or hasattr(block, "project_act") for block in SMALL.blocks
    )


def test_intervals_are_students_and_welchs():
    ours, theirs = [0.70, 0.72, 0.71], [0.66, 0.70, 0.65]
    mean = mean_interval(ours)
    assert (mean.mean, mean.high - mean.mean) == pytest.approx((0.71, 4.3027 * 0.01 / math.sqrt(3)), rel=1e-4)
    difference, known = (
        difference_interval(ours, theirs),
        ttest_ind(ours, theirs, equal_var=False).confidence_interval(),
    )
    assert (difference.low, difference.high) == pytest.approx((known.low, known.high))
    assert difference_interval([0.5, 0.5], [0.5, 0.5]).low == 0


def test_blocks_are_beside_each_other_by_size():
    rows = block_rows(SMALL, LARGE)
    assert [row["size"] for row in rows] == sorted((row["size"] for row in rows), reverse=True)
    assert sum(row["found"] is not None for row in rows) == len(SMALL.blocks) - 1
    assert sum(row["reference"] is not None for row in rows) == len(LARGE.blocks) - 1
    last = rows[-1]
    assert (last["size"], last["found"]["channels"], last["reference"]["channels"]) == (1, 1024, 1280)


def test_the_band_of_chance_is_that_of_what_is_shown():
    """Four of five searches that end alike weigh as four: random networks lie outside of the band as seldom as said."""
    rng = Random(0)
    reference = {f"stages[0].layers[{i}].act": "relu" for i in range(8)}
    draw_one = lambda: {name: rng.choice(["relu", "hswish"]) for name in reference}  # noqa: E731
    drawn, outside = [draw_one() for _ in range(300)], 0
    for _ in range(150):
        often, once = draw_one(), draw_one()
        (one,) = agreement(reference, [often] * 4 + [once], drawn)
        outside += not one.low <= one.found <= one.high
    assert outside <= 0.08 * 150


def test_a_report_stands_beside_the_study_only_if_it_is_what_that_documents(tmp_path):
    first, other = SimpleNamespace(name="pilot", data="cifar10"), SimpleNamespace(name="full", data="cifar10")
    study = SimpleNamespace(path=tmp_path / "study.yaml", scales={"pilot": first, "full": other})

    def folder(scale=first, data="cifar10", place=None):
        bench = SimpleNamespace(study=study, scale=scale, data=data, folder=place or tmp_path / scale.name)
        return report_folder(bench)

    assert folder() == tmp_path
    assert folder(scale=other) == tmp_path / "full"
    assert folder(data="digits") == tmp_path / "pilot"
    assert folder(place=tmp_path / "elsewhere") == tmp_path / "elsewhere"


def test_what_is_soon_made_again_is_made_again_of_other_inputs(tmp_path):
    path = tmp_path / "export.json"
    save_result(path, {"network": "a", "seed": 1}, {"file": "a.onnx"})
    assert load_result(path, {"network": "a", "seed": 1}, anew="seed") == {"file": "a.onnx"}
    assert load_result(path, {"network": "a", "seed": 0}, anew="seed") is None
    with pytest.raises(NasError, match='was made with network="a", not "b"'):
        load_result(path, {"network": "b", "seed": 1}, anew="seed")
